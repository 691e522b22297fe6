#include "cli/emulation.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/rng.h"
#include "cli/output.h"
#include "deploy/compiled_c.h"
#include "deploy/emulated_c.h"
#include "runtime/random_input.h"

namespace espalier::cli {
namespace {

constexpr int kSteps = 3;
constexpr float kRate = 1e-3f;

/// Random numbers; of 8-bit integers all there are.
Tensor made_up(const TensorType& type, const Rng& rng) {
  if (size_of(type.dtype) != 1 || type.dtype == DType::boolean) return random_input(type, rng);
  Tensor t(type.dtype, type.shape());
  for (int64_t i = 0; i < t.size(); ++i)
    static_cast<uint8_t*>(t.mutable_raw())[i] = uint8_t(rng.uniform(uint64_t(i), 0, 256));
  return t;
}

std::vector<DeviceCall> calls_of(const CFile& file, const CTraining* training, uint64_t seed) {
  std::vector<DeviceCall> calls;
  for (size_t k = 0; k < file.networks().size(); ++k) {
    const bool step = training && file.networks()[k].name == training->step.name;
    for (int s = 0; s < (step ? kSteps : 1); ++s) {
      DeviceCall call{k, {}};
      for (const CArgument& a : file.networks()[k].inputs)
        call.inputs.push_back(
            made_up(a.type, Rng(seed, uint64_t(s + 1)).fork(uint64_t(call.inputs.size()))));
      if (step) call.inputs.back() = Tensor::scalar(kRate);
      calls.push_back(std::move(call));
    }
  }
  return calls;
}

/// The largest difference, in 8-bit integers in steps, of reals beside the largest number: where
/// all are small they are what was left of what cancels, as gradients of a bias before a norm.
double difference(const Tensor& a, const Tensor& b) {
  double most = 0, largest = 1e-4;
  for (int64_t i = 0; i < a.size(); ++i) {
    most = std::max(most, apart(a.at(i), b.at(i)));
    if (std::isfinite(b.at(i))) largest = std::max(largest, std::abs(b.at(i)));
  }
  return is_float(a.dtype()) ? most / largest : most;
}

/// By how much the device's answers and states differ from those of this machine.
double compared(const CFile& file, const EmulatedC& device, const DeviceRun& run,
                std::span<const DeviceCall> calls) {
  const CompiledC here(file, {"-O2", "-ffp-contract=off"});
  if (!file.states().empty()) here.init();
  double most = 0;
  for (size_t i = 0; i < calls.size(); ++i) {
    ESP_CHECK(run.answers[i].code == 0, "the device cannot handle what this machine can");
    const std::vector<Tensor> outputs = here.run(calls[i].network, calls[i].inputs);
    for (size_t o = 0; o < outputs.size(); ++o)
      most = std::max(most, difference(run.answers[i].outputs[o], outputs[o]));
  }
  for (const CState& s : file.states())
    most = std::max(most, difference(device.state(run.states, s.name), here.state(s.name)));
  return most;
}

}  // namespace

void EmulationOptions::add_to(CLI::App& app) {
  CLI::Option* emulated =
      app.add_option("--emulate", device,
                     "With -o net.c: compile it for a microcontroller, run it there under QEMU and "
                     "compare")
          ->check(CLI::IsMember(EmulatedC::devices()))
          ->option_text("cortex-m4");
  const DeviceMemory usual;
  flash = usual.flash;
  ram = usual.ram;
  app.add_option("--flash", flash, "With --emulate: the device's, for code and constants")
      ->transform(CLI::AsSizeValue(false))
      ->option_text("1MB")
      ->needs(emulated);
  app.add_option("--ram", ram, "With --emulate: the device's, for arena, inputs, results and stack")
      ->transform(CLI::AsSizeValue(false))
      ->option_text("256KB")
      ->needs(emulated);
}

void emulate(const CFile& file, const CTraining* training, const EmulationOptions& options,
             uint64_t seed, nlohmann::ordered_json* json) {
  const EmulatedC device(file, options.device, {options.flash, options.ram});
  const std::vector<DeviceCall> calls = calls_of(file, training, seed);
  const DeviceRun run = device.run(calls);
  const size_t touched =
      std::max(run.touched_bytes, device.run(calls, {.filling = 0x5a}).touched_bytes);
  const double apart = compared(file, device, run, calls);
  const bool reals = training || std::ranges::any_of(file.networks(), [](const CNetwork& n) {
                       return std::ranges::any_of(
                           n.outputs, [](const CArgument& a) { return is_float(a.type.dtype); });
                     });
  ESP_CHECK(apart <= (reals ? 1e-3 : 1), "the device answers otherwise than this machine");
  if (json) {
    nlohmann::ordered_json each;
    for (size_t i = 0; i < calls.size(); ++i)
      each[file.networks()[calls[i].network].name] = run.answers[i].instructions;
    (*json)["emulated"] = {{"device", options.device},
                           {"flash_bytes", run.flash_bytes},
                           {"static_bytes", run.static_bytes},
                           {"stack_bytes", run.stack_bytes},
                           {"arena_bytes", file.arena_bytes()},
                           {"touched_bytes", touched},
                           {"instructions", each},
                           {"difference", apart}};
    return;
  }
  std::printf("\nemulated %s: flash %zu of %llu bytes; RAM %zu, stack %zu of %llu\n",
              options.device.c_str(), run.flash_bytes,
              static_cast<unsigned long long>(options.flash), run.static_bytes, run.stack_bytes,
              static_cast<unsigned long long>(options.ram));
  std::printf("arena: %zu bytes stated, %zu written to\n", file.arena_bytes(), touched);
  Table table({"", ">instructions", ">per multiply-accumulate"});
  for (size_t i = 0; i < calls.size(); ++i) {
    const CNetwork& n = file.networks()[calls[i].network];
    if (i + 1 < calls.size() && calls[i + 1].network == calls[i].network) continue;  // the last
    char each[32] = "";
    if (n.macs > 0) std::snprintf(each, sizeof each, "%.1f", run.answers[i].instructions / n.macs);
    char all[32];
    std::snprintf(all, sizeof all, "%.3g M", run.answers[i].instructions / 1e6);
    table.row({n.name, all, each});
  }
  table.print();
  if (apart == 0)
    std::printf("results are those of this machine, bit for bit\n");
  else
    std::printf("results differ from this machine's by %.2g\n", apart);
}

}  // namespace espalier::cli
