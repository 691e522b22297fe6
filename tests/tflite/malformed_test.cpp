// Whatever is wrong with a file is one clear error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "tests/support/data.h"
#include "tests/tflite/models.h"
#include "tflite/import.h"

namespace espalier {
namespace {

using ::testing::AllOf;
using testing::FlatWriter;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TfModel;

UserError error_of(const std::string& bytes) {
  try {
    import_tflite_bytes(bytes, "net.tflite");
  } catch (const UserError& e) {
    return e;
  }
  ADD_FAILURE() << "the file was accepted";
  return bad_input("", "");
}

void expect_bad(const TfModel& m, const std::string& text) {
  const UserError e = error_of(m.bytes());
  EXPECT_EQ(e.code(), ExitCode::kBadInput) << e.what();
  EXPECT_THAT(e.what(), AllOf(HasSubstr(text), HasSubstr("net.tflite")));
}

void expect_unsupported(const TfModel& m, const std::string& text) {
  const UserError e = error_of(m.bytes());
  EXPECT_EQ(e.code(), ExitCode::kUnsupported) << e.what();
  EXPECT_THAT(e.what(), AllOf(HasSubstr(text), HasSubstr("net.tflite")));
}

/// A quantised convolution, a pool and a product.
TfModel whole() {
  TfModel m;
  const int32_t x = m.input({"x", testing::kI8, {1, 4, 4, 2}, {}, {0.1f}, {0}, 0, {-1, 4, 4, 2}});
  const Tensor w(DType::i8, {2, 3, 3, 2});
  const int32_t c = m.op(
      3, {x, m.constant("w", w, {0.1f, 0.2f}, {0, 0}), m.constant("b", Tensor(DType::i32, {2}))},
      {"c", testing::kI8, {1, 4, 4, 2}, {}, {0.1f}, {0}}, {int8_t{0}, 1, 1, int8_t{1}});
  const int32_t p =
      m.op(1, {c}, {"p", testing::kI8, {1, 2, 2, 2}, {}, {0.1f}, {0}}, {int8_t{1}, 2, 2, 2, 2});
  const int32_t r = m.op(22, {p, m.ints({-1, 8})}, {"r", testing::kI8, {1, 8}, {}, {0.1f}, {0}});
  const int32_t f = m.constant("f", Tensor(DType::i8, {3, 8}), {0.1f}, {0});
  return m.output(m.op(9, {r, f, -1}, {"y", testing::kI8, {1, 3}, {}, {0.1f}, {0}}));
}

/// Imports, or is refused by an error that names the file; anything else fails the test.
void import_or_error(std::string_view bytes) {
  try {
    import_tflite_bytes(bytes, "net.tflite");
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("net.tflite"));
  }
}

TEST(MalformedTflite, TheFileItselfIsFine) { EXPECT_EQ(whole().import().outputs().size(), 1u); }

TEST(MalformedTflite, OtherFilesAreNamedAsSuch) {
  EXPECT_THAT(error_of("").what(), HasSubstr("net.tflite: is no TFLite file"));
  EXPECT_THAT(error_of("<!DOCTYPE html>").what(), HasSubstr("is no TFLite file"));
  EXPECT_THAT(error_of(std::string(100, '\0')).what(), HasSubstr("is no TFLite file"));
  EXPECT_THAT(error_of(whole().bytes(7)).what(), HasSubstr("schema version 7"));
}

TEST(MalformedTflite, CutShortAnywhereIsAnErrorAndNeverACrash) {
  const std::string bytes = whole().bytes();
  for (size_t n = 0; n < bytes.size(); ++n) import_or_error(std::string_view(bytes).substr(0, n));
  EXPECT_THAT(error_of(bytes.substr(0, bytes.size() / 2)).what(), HasSubstr("cut short"));
}

TEST(MalformedTflite, DamagedBytesAreNeverACrash) {
  const std::string bytes = whole().bytes();
  const Rng rng(3, 1);
  for (uint64_t k = 0; k < 6000; ++k) {
    std::string damaged = bytes;
    for (uint64_t f = 0; f <= k % 3; ++f) {
      const auto at = size_t(rng.uniform(8 * k + 2 * f, 8, double(bytes.size())));
      damaged[at] = char(rng.uniform(8 * k + 2 * f + 1, 0, 256));
    }
    import_or_error(damaged);
  }
}

TEST(MalformedTflite, RealFilesCutShortOrDamaged) {
  ESP_SKIP_WITHOUT_DATA("mlperf_tiny/models");
  const std::string folder = "mlperf_tiny/models/";
  const Rng rng(4, 1);
  for (const std::string name :
       {"image_classification/trained_models/pretrainedResnet_quant.tflite",
        "keyword_spotting/trained_models/kws_ref_model.tflite"}) {
    const std::string bytes = read_file(testing::data_path(folder + name));
    for (size_t n = 0; n < bytes.size(); n += 64)
      import_or_error(std::string_view(bytes).substr(0, n));
    for (uint64_t k = 0; k < 300; ++k) {
      std::string damaged = bytes;
      // Mostly among what describes the network, behind the weights.
      const double from = k % 4 == 0 ? 8 : double(bytes.size()) * 0.7;
      damaged[size_t(rng.uniform(2 * k, from, double(bytes.size())))] =
          char(rng.uniform(2 * k + 1, 0, 256));
      import_or_error(damaged);
    }
  }
}

TEST(MalformedTflite, ListsThatClaimMoreThanTheFileAreRefused) {
  // Many tensors that share one long shape: small on disk, huge in memory.
  FlatWriter w;
  using Child = FlatWriter::Child;
  size_t shared = 0;
  const auto tensor = [&] {
    if (shared == 0) {
      const std::vector<float> scales(20000, 1.0f);
      shared =
          w.table({w.list(std::vector<int32_t>{1}), int8_t{0}, uint32_t{0}, w.string("t"),
                   Child([&, scales] {
                     return w.table({FlatWriter::Field(), FlatWriter::Field(), w.list(scales)});
                   })});
    }
    return shared;
  };
  std::vector<Child> tensors(3000, tensor);
  const Child graph = [&] { return w.table({w.tables(tensors)}); };
  const std::string bytes = w.finish([&] { return w.table({uint32_t{3}, {}, w.tables({graph})}); });
  const UserError e = error_of(bytes);
  EXPECT_EQ(e.code(), ExitCode::kBadInput) << e.what();
}

TEST(MalformedTflite, UnsupportedOperatorsAreToldAllAtOnce) {
  TfModel m;
  const int32_t x = m.input({"x", testing::kF32, {1, 4}});
  const int32_t a = m.op(118, {x}, {"branch", testing::kF32, {1, 4}});
  const int32_t b = m.tensor({"custom", testing::kF32, {1, 4}});
  m.op({32, {a}, {b}, {}, "TFLite_Detection_PostProcess"});
  const int32_t c = m.op(118, {b}, {"again", testing::kF32, {1, 4}});
  m.output(m.op(209, {c}, {"y", testing::kF32, {1, 4}}));
  const UserError e = error_of(m.bytes());
  EXPECT_EQ(e.code(), ExitCode::kUnsupported);
  EXPECT_THAT(e.what(), AllOf(HasSubstr("custom operator TFLite_Detection_PostProcess"),
                              HasSubstr("IF (2 of them)"), HasSubstr("operator number 209")));
  EXPECT_THAT(e.what(), Not(HasSubstr("RELU")));
}

TEST(MalformedTflite, MistakesNameTheirPlace) {
  {
    TfModel m = whole();
    m.output(
        m.op(19, {m.tensor({"nothing", testing::kF32, {1, 4}})}, {"z", testing::kF32, {1, 4}}));
    expect_bad(m, "tensor 'nothing' is read before anything gives it");
  }
  {
    TfModel m;
    const int32_t x = m.input({"x", testing::kF32, {1, 4}});
    m.output(m.op(3, {x, m.constant("w", Tensor(DType::f32, {1, 1, 1, 4})), -1},
                  {"y", testing::kF32, {1, 4}}, {int8_t{0}, 1, 1}));
    expect_bad(m, "tensor 'x': is f32[1,4], a picture of four axes is needed");
  }
  {
    TfModel m;
    const int32_t x = m.input({"x", testing::kF32, {1, 4, 4, 2}});
    m.output(m.op(3, {x, m.constant("w", Tensor(DType::f32, {1, 1, 1, 2})), -1},
                  {"y", testing::kF32, {1, 4, 4, 1}}, {int8_t{0}, 0, 1}));
    expect_bad(m, "CONV_2D 'y': has a stride or dilation of 0");
  }
  {
    TfModel m;
    const int32_t x = m.input({"x", testing::kF32, {1, 4}});
    m.output(m.op(19, {x}, {"y", testing::kI32, {1, 4}}));
    expect_bad(m, "gives f32, the file says 'y' is i32");
  }
  {
    TfModel m;
    m.input({"x", testing::kF32, {1, 4}});
    m.tensor({"w", testing::kF32, {2}, "123"});
    m.output(0);
    expect_bad(m, "tensor 'w': is f32[2] but holds 3 bytes");
  }
  {
    TfModel m;
    m.input({"x", testing::kI8, {1, 4}, {}, {0.0f}, {0}});
    m.output(0);
    expect_bad(m, "tensor 'x': has a scale that is no positive number");
  }
  {
    TfModel m;
    m.input({"x", testing::kI8, {1, 4}, {}, {0.5f}, {int64_t{1} << 40}});
    m.output(0);
    expect_bad(m, "tensor 'x': has the zero point 1099511627776");
  }
  {
    // A padding that feeds itself.
    TfModel m;
    const int32_t x = m.input({"x", testing::kF32, {1, 4, 4, 1}});
    const int32_t pads =
        m.constant("pads", Tensor::from<int32_t>({4, 2}, {0, 0, 1, 1, 1, 1, 0, 0}));
    m.op({34, {x, pads}, {x}, {}, {}});
    m.output(m.op(19, {x}, {"y", testing::kF32, {1, 6, 6, 1}}));
    expect_bad(m, "tensor 'x' is given twice");
  }
  {
    TfModel m;
    m.input({"x", 8, {1, 4}});
    m.output(0);
    expect_unsupported(m, "complex numbers");
  }
  {
    TfModel m;
    const int32_t x = m.input({"x", testing::kF32, {4}}), n = m.input({"n", testing::kI32, {1}});
    m.output(m.op(69, {x, n}, {"y", testing::kF32, {8}}));
    expect_unsupported(m, "how often it repeats is computed while the network runs");
  }
  {
    TfModel m;
    m.output(7);
    expect_bad(m, "the graph's outputs name tensor 7, the file has 0");
  }
}

}  // namespace
}  // namespace espalier
