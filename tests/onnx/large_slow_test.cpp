// Weights beside the model are never in memory twice, and may be larger than a protobuf message.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "ir/builder.h"
#include "onnx/export.h"
#include "onnx/import.h"
#include "onnx/onnx_proto.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMegabyte = 1 << 20;

int64_t peak_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return int64_t(usage.ru_maxrss) * 1024;
}

/// By how much `work` raises this process' peak of resident memory, measured in a child.
int64_t growth_of(const std::function<void()>& work) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const int64_t before = peak_bytes();
    int64_t grown = -1;
    try {
      work();
      grown = peak_bytes() - before;
    } catch (const std::exception&) {
    }
    const bool told = ::write(ends[1], &grown, sizeof grown) == sizeof grown;
    ::_exit(told ? 0 : 1);
  }
  int64_t grown = -1;
  EXPECT_EQ(::read(ends[0], &grown, sizeof grown), ssize_t(sizeof grown));
  ::waitpid(child, nullptr, 0);
  ::close(ends[0]);
  ::close(ends[1]);
  return grown;
}

class LargeOnnx : public ::testing::Test {
 protected:
  LargeOnnx()
      : folder(fs::path(::testing::TempDir()) / ("espalier_large_" + std::to_string(::getpid()))) {
    fs::create_directories(folder);
  }
  ~LargeOnnx() override { fs::remove_all(folder); }
  fs::path folder;
};

TEST_F(LargeOnnx, ExportAndImportHoldTheWeightsOnce) {
  constexpr int64_t kBytes = 256 * kMegabyte;
  const auto make = [&] {
    Graph g;
    const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{1}));
    Tensor w(DType::f32, {kBytes / 4});
    for (int64_t i = 0; i < w.size(); i += 1024) w.mutable_data<float>()[i] = float(i);
    const ValueId c = g.add_constant("w", std::move(w), Role::kParameter);
    g.add_output(Builder(g).add(x, c));
    return g;
  };
  const int64_t written =
      growth_of([&] { export_onnx(make(), folder / "net.onnx", {.external_above = 1024}); });
  EXPECT_GE(written, kBytes) << "the weights themselves";
  EXPECT_LE(written, kBytes + 64 * kMegabyte);
  const int64_t read = growth_of([&] {
    const Graph g = import_onnx(folder / "net.onnx");
    const Tensor& w = *g.value(g.find("w")).constant;
    if (w.at(1024 * 1024) != 1024 * 1024 || w.bytes() != size_t(kBytes)) std::abort();
  });
  EXPECT_GE(read, 0);
  EXPECT_LE(read, 64 * kMegabyte) << "the file is mapped";
}

TEST_F(LargeOnnx, WeightsBeyondTwoGigabytesAreMapped) {
  constexpr int64_t kElements = 700'000'000;  // 2.8 GB, a hole in the file but for its last number
  {
    std::ofstream data(folder / "w.bin", std::ios::binary);
    data.seekp(4 * (kElements - 1));
    const float last = 42;
    data.write(reinterpret_cast<const char*>(&last), sizeof last);
  }
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  auto& graph = *model.mutable_graph();
  graph.set_name("large");
  const auto value = [](onnx::ValueInfoProto& v, const char* name, int64_t extent) {
    v.set_name(name);
    v.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
    v.mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(extent);
  };
  value(*graph.add_input(), "x", 1);
  value(*graph.add_output(), "y", kElements);
  auto& w = *graph.add_initializer();
  w.set_name("w");
  w.set_data_type(onnx::TensorProto::FLOAT);
  w.add_dims(kElements);
  w.set_data_location(onnx::TensorProto::EXTERNAL);
  auto& location = *w.add_external_data();
  location.set_key("location");
  location.set_value("w.bin");
  auto& node = *graph.add_node();
  node.set_op_type("Add");
  node.add_input("x");
  node.add_input("w");
  node.add_output("y");
  const int64_t grown = growth_of([&] {
    const Graph g = import_onnx_bytes(model.SerializeAsString(), "large.onnx", folder);
    const Tensor& t = *g.value(g.find("w")).constant;
    if (t.bytes() != 4 * size_t(kElements) || t.at(kElements - 1) != 42) std::abort();
  });
  EXPECT_GE(grown, 0);
  EXPECT_LE(grown, 64 * kMegabyte);
}

}  // namespace
}  // namespace espalier
