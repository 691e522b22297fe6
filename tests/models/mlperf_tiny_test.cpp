// The MLPerf Tiny reference networks as TFLite files, on the data there is, beside what was
// published for them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/files.h"
#include "data/source.h"
#include "formats/cifar.h"
#include "formats/csv.h"
#include "ir/interpret.h"
#include "kernels/primitive.h"
#include "onnx/export.h"
#include "onnx/import.h"
#include "onnx/tensor_proto.h"
#include "passes/float_interface.h"
#include "passes/open_batch.h"
#include "runtime/session.h"
#include "tests/support/data.h"
#include "tflite/import.h"
#include "train/trainer.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

const std::string kModels = "mlperf_tiny/models/";
const std::string kImage = kModels + "image_classification/trained_models/";
const std::string kKeyword = kModels + "keyword_spotting/trained_models/";
const std::string kPerson = kModels + "visual_wake_words/trained_models/";
const std::string kAnomaly = kModels + "anomaly_detection/trained_models/";
const std::string kStreaming = kModels + "streaming_wakeword/trained_models/";

Graph load(const std::string& name) { return import_tflite(testing::data_path(name)); }

int64_t largest(const Tensor& t) {
  int64_t best = 0;
  for (int64_t i = 1; i < t.size(); ++i)
    if (t.at(i) > t.at(best)) best = i;
  return best;
}

/// The network at batch 1.
std::shared_ptr<const Program> compiled(const Graph& g) {
  std::vector<Shape> shapes;
  for (ValueId v : g.inputs()) {
    Shape shape;
    for (const Dim& d : g.value(v).tensor().dims) shape.push_back(d.known() ? d.value() : 1);
    shapes.push_back(shape);
  }
  return compile(specialised(g, shapes), {.threads = 1});
}

TEST(MlperfTiny, NothingIsLeftToTheReference) {
  ESP_SKIP_WITHOUT_DATA(kModels);
  for (const std::string& name :
       {kImage + "pretrainedResnet.tflite", kImage + "pretrainedResnet_quant.tflite",
        kImage + "pretrainedResnet_large_int8.tflite", kKeyword + "kws_ref_model_float32.tflite",
        kKeyword + "kws_ref_model.tflite", kPerson + "vww_96_float.tflite",
        kPerson + "vww_96_int8.tflite", kAnomaly + "ad01_fp32.tflite",
        kAnomaly + "ad01_int8.tflite", kStreaming + "str_ww_ref_model.tflite"})
    EXPECT_EQ(compiled(load(name))->reference_count(), 0) << name;
}

TEST(MlperfTiny, TheBatchOpens) {
  ESP_SKIP_WITHOUT_DATA(kModels);
  for (const std::string& name :
       {kImage + "pretrainedResnet.tflite", kKeyword + "kws_ref_model.tflite",
        kPerson + "vww_96_int8.tflite", kAnomaly + "ad01_fp32.tflite"}) {
    const Graph g = load(name);
    EXPECT_FALSE(g.value(g.inputs()[0]).tensor().dims[0].known()) << name;
    EXPECT_FALSE(g.value(g.outputs()[0]).tensor().dims[0].known()) << name;
  }
}

/// Ten test pictures with the answers of published submissions.
struct Published {
  std::vector<int64_t> indices, labels;
  std::vector<std::vector<double>> answers;  ///< ten each
};

Published published(const std::string& submission) {
  const fs::path path = testing::data_path("mlperf_tiny/ic01/index_and_published_outputs.csv");
  const CsvTable table = load_csv(path);
  Published p;
  for (const auto& row : table.rows) {
    p.indices.push_back(std::stoll(row[table.column("cifar10_test_index", path.string())]));
    p.labels.push_back(std::stoll(row[table.column("label", path.string())]));
    const size_t first = table.column(submission + "_c0", path.string());
    p.answers.emplace_back();
    for (size_t c = 0; c < 10; ++c) p.answers.back().push_back(std::stod(row[first + c]));
  }
  return p;
}

/// Picture i of the lossless test set as [1, 32, 32, 3] numbers from 0 to 255.
Tensor picture(const CifarRecords& all, int64_t i) {
  Tensor t(DType::f32, {1, 32, 32, 3});
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t p = 0; p < 1024; ++p)
      t.mutable_data<float>()[p * 3 + c] = float(all.images.at((i * 3 + c) * 1024 + p));
  return t;
}

/// How far answers are from the published ones at most; the same class must win.
double largest_difference(const std::string& model, const std::string& submission) {
  Model network(with_float_interface(load(model)));
  const CifarRecords all = load_cifar(testing::data_path("cifar10/lossless_test_first1000.bin.gz"));
  const Published p = published(submission);
  double worst = 0;
  for (size_t k = 0; k < p.indices.size(); ++k) {
    const Tensor y = network.run({picture(all, p.indices[k])}).at(0);
    EXPECT_EQ(all.labels.int_at(p.indices[k]), p.labels[k]);
    const auto& want = p.answers[k];
    EXPECT_EQ(largest(y), std::max_element(want.begin(), want.end()) - want.begin()) << k;
    for (int64_t c = 0; c < 10; ++c) worst = std::max(worst, std::abs(y.at(c) - want[size_t(c)]));
  }
  return worst;
}

TEST(MlperfTiny, ResNet8AnswersAsPublishedSubmissionsDo) {
  ESP_SKIP_WITHOUT_DATA("mlperf_tiny/ic01");
  // Published with three digits.
  EXPECT_LE(largest_difference(kImage + "pretrainedResnet.tflite", "bosch_float_H7A3ZI"), 0.00051);
  // Fixed-point scales round twice there: the same network with every sum scaled exactly gives
  // what is given here. One step of a logit is 0.17, which moves an answer near one half by 0.04.
  const double int8 =
      largest_difference(kImage + "pretrainedResnet_quant.tflite", "renesas_tflm_int8");
  std::printf("int8 ResNet8: answers differ from those published by at most %.4f\n", int8);
  EXPECT_LE(int8, 0.09);
}

Evaluation evaluated(const std::string& model) {
  const auto data = load_dataset(
      DataSpec::parse(
          "cifar:" + testing::data_path("cifar10/lossless_test_first1000.bin.gz").string() +
          "?normalize=raw&layout=nhwc&split=all"),
      Split::test);
  const Evaluation e = evaluate(with_float_interface(load(model)), *data, Loss::kCrossEntropy, 100);
  std::printf("%s: top-1 %.1f %% of %lld\n", model.c_str(), 100 * e.accuracy,
              static_cast<long long>(e.samples));
  return e;
}

TEST(MlperfTiny, ResNet8IsAsAccurateAsTheClosedDivisionAsks) {
  ESP_SKIP_WITHOUT_DATA("cifar10/lossless_test_first1000.bin.gz");
  EXPECT_GE(evaluated(kImage + "pretrainedResnet.tflite").accuracy, 0.85);
  EXPECT_GE(evaluated(kImage + "pretrainedResnet_quant.tflite").accuracy, 0.85);
}

TEST(MlperfTiny, KeywordsAreSpottedInInt8) {
  ESP_SKIP_WITHOUT_DATA("mlperf_tiny/kws01");
  Model network(load(kKeyword + "kws_ref_model.tflite"));
  Model real(with_open_batch(load(kKeyword + "kws_ref_model_float32.tflite")));
  const fs::path folder = testing::data_path("mlperf_tiny/kws01");
  int right = 0, float_right = 0, samples = 0;
  for (const auto& row : load_csv(folder / "y_labels.csv", CsvHeader::absent).rows) {
    if (!fs::exists(folder / row[0])) continue;
    const std::string bytes = read_file(folder / row[0]);
    ASSERT_EQ(bytes.size(), 490u);
    Tensor x(DType::i8, {1, 49, 10, 1}), f(DType::f32, {1, 49, 10, 1});
    for (int64_t i = 0; i < 490; ++i) {
      x.mutable_data<int8_t>()[i] = int8_t(bytes[size_t(i)]);
      // The input's scale and zero point.
      f.mutable_data<float>()[i] = (float(int8_t(bytes[size_t(i)])) - 83.0f) * 0.5847029f;
    }
    const int64_t label = std::stoll(row[2]);
    right += largest(network.run({x}).at(0)) == label ? 1 : 0;
    float_right += largest(real.run({f}).at(0)) == label ? 1 : 0;
    ++samples;
  }
  std::printf("keywords: int8 %d, float %d right of %d\n", right, float_right, samples);
  EXPECT_EQ(samples, 300);
  // The reference is right on 90.1 % of the full 1,000.
  EXPECT_GE(right, 264);
}

TEST(MlperfTiny, IntegerNetworksRunIntegerKernels) {
  ESP_SKIP_WITHOUT_DATA(kModels);
  if (kernels::integer_sums_saturate()) GTEST_SKIP() << "without VNNI, some regions run in float";
  for (const std::string& name :
       {kImage + "pretrainedResnet_quant.tflite", kPerson + "vww_96_int8.tflite",
        kKeyword + "kws_ref_model.tflite", kAnomaly + "ad01_int8.tflite"}) {
    int whole = 0, apart = 0;
    const auto program = compiled(load(name));
    for (const auto& i : program->instructions()) {
      if (i.macs == 0) continue;
      // A region that a kernel takes whole keeps its name; one that was taken apart is a Conv.
      (i.node.starts_with("espalier.Fused") ? whole : apart) += 1;
    }
    EXPECT_GT(whole, 0) << name;
    EXPECT_EQ(apart, 0) << name;
  }
}

TEST(MlperfTiny, FloatAndIntegerAnomalyDetectorsAgree) {
  ESP_SKIP_WITHOUT_DATA(kAnomaly + "ToyCar");
  const std::string folder = kAnomaly + "ToyCar/baseline_tf23/model/";
  Model real(load(folder + "model_ToyCar.tflite"));
  Tensor x(DType::f32, {1, 640});
  for (int64_t i = 0; i < 640; ++i)
    x.mutable_data<float>()[i] = float(-30 + 20 * std::sin(0.05 * double(i)));
  const Tensor want = real.run({x}).at(0);
  for (const char* name : {"model_ToyCar_quant.tflite", "model_ToyCar_quant_fullint.tflite",
                           "model_ToyCar_quant_fullint_micro_intio.tflite"}) {
    Model quantised(with_float_interface(load(folder + name)));
    const Tensor got = quantised.run({x}).at(0);
    double error = 0, energy = 0;
    for (int64_t i = 0; i < got.size(); ++i) {
      error += std::pow(got.at(i) - want.at(i), 2);
      energy += std::pow(want.at(i), 2);
    }
    std::printf("%s: relative error %.4f\n", name, std::sqrt(error / energy));
    EXPECT_LE(std::sqrt(error / energy), 0.15) << name;
  }
}

TEST(TfliteModels, DtlnAnswersAsItsOnnxTwin) {
  ESP_SKIP_WITHOUT_DATA("models/dtln");
  for (const std::string stem : {"models/dtln/model_1", "models/dtln/model_2"}) {
    const fs::path set = testing::data_path(stem + ".test/test_data_set_0");
    Model network(load(stem + ".tflite"));
    const auto y =
        network.run({read_tensor_proto(set / "input_0.pb"), read_tensor_proto(set / "input_1.pb")});
    for (size_t k = 0; k < 2; ++k) {
      const Tensor want = read_tensor_proto(set / ("output_" + std::to_string(k) + ".pb"));
      ASSERT_EQ(y[k].shape(), want.shape());
      for (int64_t i = 0; i < want.size(); ++i) ASSERT_NEAR(y[k].at(i), want.at(i), 1e-4) << stem;
    }
  }
}

TEST(TfliteModels, GoByWayOfOnnx) {
  ESP_SKIP_WITHOUT_DATA(kModels);
  for (const std::string& name :
       {kImage + "pretrainedResnet.tflite", kImage + "pretrainedResnet_quant.tflite",
        kPerson + "vww_96_int8.tflite", kKeyword + "kws_ref_model.tflite"}) {
    const Graph g = load(name);
    const Graph again = import_onnx_bytes(export_onnx_bytes(g), "again.onnx");
    const TensorType type = g.value(g.inputs()[0]).tensor();
    Shape shape = {2};
    for (size_t i = 1; i < type.dims.size(); ++i) shape.push_back(type.dims[i].value());
    Tensor x(DType::f32, shape);
    for (int64_t i = 0; i < x.size(); ++i)
      x.mutable_data<float>()[i] = float(100 * std::sin(0.1 * double(i)));
    x = x.cast(type.dtype);
    Model first(g), second(again);
    const Tensor a = first.run({x}).at(0), b = second.run({x}).at(0);
    for (int64_t i = 0; i < a.size(); ++i)
      ASSERT_NEAR(a.at(i), b.at(i), type.dtype == DType::i8 ? 1 : 1e-5) << name;
  }
}

}  // namespace
}  // namespace espalier
