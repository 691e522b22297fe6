// Files are parsed piece by piece, 4 MB each: what crosses their borders arrives whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/text.h"
#include "onnx/export.h"
#include "onnx/import.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

/// Numbers that tell where they stand.
Tensor counted(int64_t size, int first) {
  Tensor t(DType::f32, {size});
  for (int64_t i = 0; i < size; ++i) t.mutable_data<float>()[i] = float(first) + float(i % 9973);
  return t;
}

struct OnnxPieces : ::testing::Test {
  OnnxPieces() {
    Builder b(graph);
    // Smaller than a piece, larger than two, and so that no border falls between two of them.
    for (int64_t size : {700'001, 2'300'003, 5, 400'009}) {
      const ValueId x = graph.add_input("x" + std::to_string(size),
                                        parse_type("f32[" + std::to_string(size) + "]"));
      stored.push_back(counted(size, int(stored.size())));
      graph.add_output(b.add(x, b.constant(stored.back())));
    }
    export_onnx(graph, path);
  }
  ~OnnxPieces() override { fs::remove(path); }

  fs::path path =
      fs::temp_directory_path() / ("espalier_pieces_" + std::to_string(::getpid()) + ".onnx");
  Graph graph;
  std::vector<Tensor> stored;
};

TEST_F(OnnxPieces, WeightsAcrossBordersArriveWhole) {
  ASSERT_GT(fs::file_size(path), 3u * (4 << 20));
  const Graph back = import_onnx(path);
  size_t found = 0;
  for (ValueId v : back.constants()) {
    const Tensor& t = *back.value(v).constant;
    for (const Tensor& s : stored)
      if (t.size() == s.size()) found += std::memcmp(t.raw(), s.raw(), s.bytes()) == 0;
  }
  EXPECT_EQ(found, stored.size());
}

TEST_F(OnnxPieces, FilesCutAtABorderAreRefused) {
  for (const uintmax_t size : {2u * (4u << 20), (4u << 20) + 1, (4u << 20) - 1}) {
    fs::resize_file(path, size);
    try {
      import_onnx(path);
      FAIL() << "of " << size << " bytes";
    } catch (const UserError& e) {
      EXPECT_THAT(e.what(), ::testing::HasSubstr("damaged or cut short"));
    }
  }
}

}  // namespace
}  // namespace espalier
