// The MLPerf Tiny networks, and every operator with a C form, on an emulated Cortex-M4: what it
// answers is what the same C answers here, and as accurate as published.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "base/files.h"
#include "base/rng.h"
#include "deploy/compiled_c.h"
#include "deploy/emulated_c.h"
#include "formats/cifar.h"
#include "formats/csv.h"
#include "ir/interpret.h"
#include "tests/c_export/emulator.h"
#include "tests/support/data.h"
#include "tests/support/run_op.h"
#include "tests/support/samples.h"
#include "tflite/import.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

const std::string kModels = "mlperf_tiny/models/";

int64_t largest(const Tensor& t) {
  int64_t best = 0;
  for (int64_t i = 1; i < t.size(); ++i)
    if (t.at(i) > t.at(best)) best = i;
  return best;
}

/// A network of one input at batch 1, in C here and on a device of the usual memory.
struct TwoMachines {
  CFile file{"net"};
  DeviceRun run;
  std::vector<Tensor> answers;

  TwoMachines(const std::string& model, const std::vector<Tensor>& inputs) {
    const Graph g = import_tflite(testing::data_path(kModels + model));
    file.add(specialised(g, {{inputs.at(0).shape()}}), "net_run");
    std::vector<DeviceCall> calls;
    for (const Tensor& x : inputs) calls.push_back({0, {x}});
    const EmulatedC device(file, "cortex-m4");
    run = device.run(calls);
    const CompiledC here(file, {"-O2", "-ffp-contract=off"});
    size_t other = 0;
    for (size_t i = 0; i < calls.size(); ++i) {
      const Tensor want = here.run(0, calls[i].inputs).at(0);
      answers.push_back(run.answers[i].outputs.at(0));
      other += std::memcmp(answers.back().raw(), want.raw(), want.bytes()) != 0;
    }
    EXPECT_EQ(other, 0u) << "answers differ from this machine's";
    std::printf("%s: flash %zu, RAM %zu + stack %zu bytes, %.1f million instructions\n",
                model.c_str(), run.flash_bytes, run.static_bytes, run.stack_bytes,
                run.answers.at(0).instructions / 1e6);
    EXPECT_LE(run.flash_bytes, size_t{1} << 20);
    EXPECT_LE(run.static_bytes + run.stack_bytes, size_t{256} << 10);
  }
};

TEST(MlperfTinyOnADevice, KeywordsAreSpotted) {
  ESP_SKIP_WITHOUT_EMULATOR();
  ESP_SKIP_WITHOUT_DATA("mlperf_tiny/kws01");
  const fs::path folder = testing::data_path("mlperf_tiny/kws01");
  std::vector<Tensor> inputs;
  std::vector<int64_t> labels;
  for (const auto& row : load_csv(folder / "y_labels.csv", CsvHeader::absent).rows) {
    if (!fs::exists(folder / row[0])) continue;
    const std::string bytes = read_file(folder / row[0]);
    Tensor x(DType::i8, {1, 49, 10, 1});
    ASSERT_EQ(bytes.size(), x.bytes());
    std::memcpy(x.mutable_raw(), bytes.data(), bytes.size());
    inputs.push_back(x);
    labels.push_back(std::stoll(row[2]));
  }
  const TwoMachines both("keyword_spotting/trained_models/kws_ref_model.tflite", inputs);
  int right = 0;
  for (size_t i = 0; i < labels.size(); ++i) right += largest(both.answers[i]) == labels[i];
  std::printf("keywords: %d right of %zu\n", right, labels.size());
  // The reference is right on 90.1 % of the full 1,000.
  EXPECT_GE(right, 264);
}

TEST(MlperfTinyOnADevice, PicturesAreClassified) {
  ESP_SKIP_WITHOUT_EMULATOR();
  ESP_SKIP_WITHOUT_DATA("cifar10/lossless_test_first1000.bin.gz");
  constexpr int64_t kPictures = 200;
  const CifarRecords all = load_cifar(testing::data_path("cifar10/lossless_test_first1000.bin.gz"));
  std::vector<Tensor> inputs;
  for (int64_t i = 0; i < kPictures; ++i) {
    Tensor x(DType::i8, {1, 32, 32, 3});
    for (int64_t c = 0; c < 3; ++c)
      for (int64_t p = 0; p < 1024; ++p)
        x.mutable_data<int8_t>()[p * 3 + c] =
            int8_t(all.images.int_at((i * 3 + c) * 1024 + p) - 128);
    inputs.push_back(x);
  }
  const TwoMachines both("image_classification/trained_models/pretrainedResnet_quant.tflite",
                         inputs);
  int right = 0;
  for (int64_t i = 0; i < kPictures; ++i)
    right += largest(both.answers[size_t(i)]) == all.labels.int_at(i);
  std::printf("pictures: %d right of %lld\n", right, static_cast<long long>(kPictures));
  EXPECT_GE(right, kPictures * 85 / 100);
}

TEST(MlperfTinyOnADevice, TheOthersAnswerAsHere) {
  ESP_SKIP_WITHOUT_EMULATOR();
  ESP_SKIP_WITHOUT_DATA(kModels);
  for (const std::string model : {"visual_wake_words/trained_models/vww_96_int8.tflite",
                                  "anomaly_detection/trained_models/ad01_int8.tflite",
                                  "streaming_wakeword/trained_models/str_ww_ref_model.tflite"}) {
    const Graph g = import_tflite(testing::data_path(kModels + model));
    Shape shape;
    for (const Dim& d : g.value(g.inputs()[0]).tensor().dims)
      shape.push_back(d.known() ? d.value() : 1);
    std::vector<Tensor> inputs;
    for (uint64_t k = 0; k < 3; ++k) {
      Tensor x(DType::i8, shape);
      const Rng rng(9, k);
      for (int64_t i = 0; i < x.size(); ++i)
        x.mutable_data<int8_t>()[i] = int8_t(rng.bits(uint64_t(i)));
      inputs.push_back(x);
    }
    const TwoMachines both(model, inputs);
  }
}

TEST(RoomsOnADevice, SamplesComputeWhatTheyComputeHere) {
  ESP_SKIP_WITHOUT_EMULATOR();
  CFile file("rooms");
  std::vector<DeviceCall> calls;
  for (const testing::SampleCase& c : testing::all_sample_cases()) {
    if (c.room->emit.refused()) continue;
    std::vector<Tensor> feed;
    const Graph g = testing::sample_graph(c, testing::sample_operands(c), &feed);
    try {
      file.add(g, "n" + std::to_string(calls.size()));
    } catch (const UserError&) {
      continue;  // tests/deploy/rooms_test.cpp knows why
    }
    calls.push_back({calls.size(), feed});
  }
  ASSERT_GE(calls.size(), 500u);
  const EmulatedC device(file, "cortex-m4", {.flash = 4 << 20, .ram = 4 << 20});
  const DeviceRun run = device.run(calls);
  const CompiledC here(file, {"-O1", "-ffp-contract=off"});
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::vector<Tensor> want = here.run(i, calls[i].inputs);
    for (size_t o = 0; o < want.size(); ++o)
      EXPECT_LE(testing::mismatch(run.answers[i].outputs[o], want[o], 1e-5, 1e-6), 1)
          << file.networks()[i].name << " result " << o;
  }
}

}  // namespace
}  // namespace espalier
