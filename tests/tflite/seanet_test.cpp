// Operators of a 16-bit speech network with the results TensorFlow Lite Micro gives for them.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "ir/interpret.h"
#include "tests/support/data.h"
#include "tflite/import.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

/// "1,-2,3" as a tensor of that type.
Tensor read_numbers(const fs::path& path, const TensorType& type) {
  const std::string text = read_file(path);
  Tensor t(type.dtype, type.shape());
  const char* at = text.c_str();
  visit_numeric(type.dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
      for (int64_t i = 0; i < t.size(); ++i) {
        char* end = nullptr;
        t.mutable_data<T>()[i] = T(std::strtoll(at, &end, 10));
        at = *end == ',' ? end + 1 : end;
      }
  });
  return t;
}

struct Tally {
  int files = 0;
  int64_t elements = 0, different = 0, largest = 0;
};

void check(const fs::path& model, Tally& tally) {
  const Graph g = import_tflite(model);
  const std::string stem = (model.parent_path() / model.stem()).string();
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < g.inputs().size(); ++i) {
    const TensorType& type = g.value(g.inputs()[i]).tensor();
    inputs.push_back(read_numbers(stem + "_input" + std::to_string(i) + "_" +
                                      (type.dtype == DType::i32 ? "int32" : "int16") + ".csv",
                                  type));
  }
  const Tensor got = interpret(g, inputs).at(0);
  const Tensor want =
      read_numbers(stem + "_golden_" + (got.dtype() == DType::i32 ? "int32" : "int16") + ".csv",
                   TensorType(got.dtype(), got.shape()));
  ++tally.files;
  for (int64_t i = 0; i < got.size(); ++i) {
    const int64_t d = std::abs(got.int_at(i) - want.int_at(i));
    ++tally.elements;
    tally.different += d != 0 ? 1 : 0;
    tally.largest = std::max(tally.largest, d);
  }
}

void check_folder(const std::string& operation, int files, double allowed_share) {
  const std::string folder = "models/tflite_micro_seanet/" + operation;
  ESP_SKIP_WITHOUT_DATA(folder);
  Tally tally;
  for (const auto& entry : fs::directory_iterator(testing::data_path(folder)))
    if (entry.path().extension() == ".tflite") check(entry.path(), tally);
  EXPECT_EQ(tally.files, files);
  EXPECT_LE(tally.largest, 1);
  EXPECT_LE(double(tally.different), allowed_share * double(tally.elements))
      << tally.different << " of " << tally.elements << " differ by one";
  std::printf("%s: %lld of %lld elements differ by one step\n", operation.c_str(),
              static_cast<long long>(tally.different), static_cast<long long>(tally.elements));
}

// Fixed-point scales of 31 bits there, floats here: what lies near a half may fall to either side.
TEST(TfliteSeanet, Sums) { check_folder("add", 17, 0.001); }
// 64-bit sums are scaled by 16 bits of the multiplier there. With the whole multiplier conv20, for
// one, differs from its golden results in 92 of 1280 elements, as it does here.
TEST(TfliteSeanet, Convolutions) { check_folder("conv", 22, 0.1); }
TEST(TfliteSeanet, Padding) { check_folder("pad", 19, 0); }
TEST(TfliteSeanet, Quantisation) { check_folder("quantize", 2, 0.01); }

}  // namespace
}  // namespace espalier
