// Exported C on emulated microcontrollers: it answers, learns and needs memory as it does here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/rng.h"
#include "compress/quantize.h"
#include "deploy/c_training.h"
#include "deploy/compiled_c.h"
#include "deploy/emulated_c.h"
#include "ir/interpret.h"
#include "tests/c_export/emulator.h"
#include "tests/support/networks.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

Tensor numbers(const TensorType& type, uint64_t seed) {
  Tensor t(type.dtype, type.shape());
  const Rng rng(seed, 1);
  for (int64_t i = 0; i < t.size(); ++i)
    if (type.dtype == DType::f32)
      t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -1, 1));
    else if (type.dtype == DType::i64)
      t.mutable_data<int64_t>()[i] = int64_t(rng.bits(uint64_t(i)) % 5);
    else
      static_cast<uint8_t*>(t.mutable_raw())[i] = uint8_t(rng.bits(uint64_t(i)));
  return t;
}

std::vector<DeviceCall> calls_of(const CFile& file, size_t times) {
  std::vector<DeviceCall> calls;
  for (size_t k = 0; k < file.networks().size(); ++k)
    for (size_t s = 0; s < times; ++s) {
      DeviceCall call{k, {}};
      for (const CArgument& a : file.networks()[k].inputs)
        call.inputs.push_back(a.type.dims.empty() ? Tensor::scalar(0.05f)
                                                  : numbers(a.type, 10 * k + s));
      calls.push_back(std::move(call));
    }
  return calls;
}

Graph in_8_bits(const Graph& network, const Shape& input) {
  const Graph floats = prepared_for_quantization(network);
  Calibrator calibrator(floats, RangeMethod::kMinMax);
  for (uint64_t s = 0; s < 4; ++s)
    calibrator.observe(std::vector<Tensor>{numbers(TensorType(DType::f32, input), 50 + s)});
  return quantize(floats, calibrator.ranges());
}

const std::vector<std::string> kExact = {"-O2", "-ffp-contract=off"};

TEST(EmulatedC, AnswersBitForBit) {
  ESP_SKIP_WITHOUT_EMULATOR();
  const Shape input = {1, 3, 8, 8};
  CFile file("net");
  file.add(specialised(in_8_bits(testing::residual(), input), {{input}}), "residual");
  file.add(specialised(in_8_bits(testing::depthwise(), input), {{input}}), "depthwise");
  file.add(specialised(testing::mlp(), {{Shape{2, 12}}}), "mlp");
  const std::vector<DeviceCall> calls = calls_of(file, 2);
  const CompiledC here(file, kExact);
  for (const std::string& name : EmulatedC::devices()) {
    SCOPED_TRACE(name);
    const EmulatedC device(file, name);
    const DeviceRun run = device.run(calls);
    for (size_t i = 0; i < calls.size(); ++i) {
      const Tensor want = here.run(calls[i].network, calls[i].inputs).at(0);
      const DeviceRun::Answer& got = run.answers[i];
      EXPECT_EQ(got.code, 0);
      EXPECT_EQ(std::memcmp(got.outputs.at(0).raw(), want.raw(), want.bytes()), 0) << i;
      EXPECT_GT(got.instructions, file.networks()[calls[i].network].macs);
    }
    EXPECT_EQ(std::max(run.touched_bytes, device.run(calls, {.filling = 0x5a}).touched_bytes),
              file.arena_bytes());
    EXPECT_GT(run.static_bytes, file.arena_bytes());
    EXPECT_GT(run.flash_bytes, file.weight_bytes());
    EXPECT_GT(run.stack_bytes, 64u);
    EXPECT_LT(run.stack_bytes, 4096u);
  }
}

/// Three steps: every parameter and every moment, which are sums of gradients.
TEST(EmulatedC, LearnsAsHere) {
  ESP_SKIP_WITHOUT_EMULATOR();
  const Graph network = testing::depthwise();
  StepOptions o;
  o.input = {2, 3, 8, 8};
  o.optimizer = {"sgd", {{"momentum", 0.9}}, 0};
  CFile file("learner");
  const CTraining training = add_training(file, network, build_training_step(network, o));
  std::vector<DeviceCall> calls = calls_of(file, 3);
  std::erase_if(calls, [&](const DeviceCall& c) {
    return file.networks()[c.network].name != training.step.name;
  });
  const EmulatedC device(file, "cortex-m4");
  const DeviceRun run = device.run(calls);
  const CompiledC here(file, kExact);
  here.init();
  for (size_t i = 0; i < calls.size(); ++i)
    EXPECT_NEAR(run.answers[i].outputs[0].at(0),
                here.run(calls[i].network, calls[i].inputs).at(0).at(0), 1e-6);
  ASSERT_GT(file.states().size(), 10u);
  for (const CState& s : file.states()) {
    const Tensor got = device.state(run.states, s.name), want = here.state(s.name);
    for (int64_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got.at(i), want.at(i), 2e-6) << s.name;
  }
  const DeviceRun none = device.run({});
  CompiledC fresh(file, kExact);
  fresh.init();
  const std::string first = file.states()[0].name;
  EXPECT_EQ(std::memcmp(device.state(none.states, first).raw(), fresh.state(first).raw(),
                        fresh.state(first).bytes()),
            0);
}

std::string refused(const CFile& file, const std::string& device, const DeviceMemory& memory) {
  try {
    EmulatedC(file, device, memory).run({});
  } catch (const UserError& e) {
    return std::string(e.what()) + " | " + e.hint();
  }
  return "nothing was thrown";
}

TEST(EmulatedC, WhatDoesNotFitIsSaid) {
  CFile file("net");
  file.add(specialised(testing::mlp(), {{Shape{2, 12}}}), "mlp");
  EXPECT_THAT(refused(file, "cortex-m5", {}), HasSubstr("did you mean 'cortex-m"));
  ESP_SKIP_WITHOUT_EMULATOR();
  EXPECT_THAT(refused(file, "cortex-m4", {.flash = 1024, .ram = 1 << 16}),
              HasSubstr("FLASH overflowed by"));
  EXPECT_THAT(refused(file, "cortex-m4", {.flash = 1 << 20, .ram = 512}), HasSubstr("RAM"));
  EXPECT_THAT(refused(file, "cortex-m4", {.flash = 1 << 20, .ram = 1 << 16}),
              HasSubstr("nothing was thrown"));
}

}  // namespace
}  // namespace espalier
