#include "train/update_program.h"

#include <cmath>
#include <cstdio>

#include "base/rng.h"

namespace espalier {
namespace {

constexpr double kTiny = 1e-8;
constexpr const char* kRegisterNames[UpdateProgram::kRegisters] = {"w", "g",  "s0", "s1",
                                                                   "u", "t0", "t1"};

bool is_state(int r) {
  return r >= UpdateProgram::kFirstState && r < UpdateProgram::kFirstState + UpdateProgram::kStates;
}

double computed(const UpdateInstruction& i, double a, double b) {
  switch (i.op) {
    case ProgramOp::kAdd: return a + b;
    case ProgramOp::kSubtract: return a - b;
    case ProgramOp::kMultiply: return a * b;
    case ProgramOp::kDivide: return a / (std::abs(b) + kTiny);
    case ProgramOp::kMix: return i.number * a + (1 - i.number) * b;
    case ProgramOp::kScale: return i.number * a;
    case ProgramOp::kSign: return a > 0 ? 1 : a < 0 ? -1 : 0;
    case ProgramOp::kRoot: return std::sqrt(std::abs(a));
  }
  return 0;
}

ValueId written(Builder& b, const UpdateInstruction& i, ValueId x, ValueId y) {
  switch (i.op) {
    case ProgramOp::kAdd: return b.add(x, y);
    case ProgramOp::kSubtract: return b.sub(x, y);
    case ProgramOp::kMultiply: return b.mul(x, y);
    case ProgramOp::kDivide: return b.div(x, b.add(b.one("Abs", {y}), kTiny));
    case ProgramOp::kMix: return b.add(b.mul(x, i.number), b.mul(y, 1 - i.number));
    case ProgramOp::kScale: return b.mul(x, i.number);
    case ProgramOp::kSign: return b.one("Sign", {x});
    case ProgramOp::kRoot: return b.sqrt(b.one("Abs", {x}));
  }
  return kNoValue;
}

std::string number_text(double v) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.4g", v);
  return buffer;
}

std::string text_of(const UpdateInstruction& i) {
  const std::string a = kRegisterNames[i.a], b = kRegisterNames[i.b];
  const std::string to = std::string(kRegisterNames[i.to]) + " = ";
  switch (i.op) {
    case ProgramOp::kAdd: return to + a + " + " + b;
    case ProgramOp::kSubtract: return to + a + " - " + b;
    case ProgramOp::kMultiply: return to + a + " * " + b;
    case ProgramOp::kDivide: return to + a + " / |" + b + "|";
    case ProgramOp::kMix: return to + "mix(" + a + ", " + b + ", " + number_text(i.number) + ")";
    case ProgramOp::kScale: return to + number_text(i.number) + " * " + a;
    case ProgramOp::kSign: return to + "sign(" + a + ")";
    case ProgramOp::kRoot: return to + "sqrt|" + a + "|";
  }
  return "";
}

}  // namespace

bool reads_b(ProgramOp op) {
  return op != ProgramOp::kScale && op != ProgramOp::kSign && op != ProgramOp::kRoot;
}
bool has_number(ProgramOp op) { return op == ProgramOp::kMix || op == ProgramOp::kScale; }

std::string UpdateProgram::text() const {
  std::string s;
  for (const UpdateInstruction& i : code) s += text_of(i) + "; ";
  return s + "rate " + number_text(rate);
}

UpdateProgram UpdateProgram::simplified() const {
  // Registers an update depends on at the end of a step: the update, and states that a later step
  // reads before it writes them. States found on the way make a further round.
  std::array<bool, kRegisters> at_end{};
  at_end[kUpdate] = true;
  std::vector<bool> used(code.size(), false);
  for (bool grown = true; grown;) {
    std::array<bool, kRegisters> wanted = at_end;
    for (size_t k = code.size(); k-- > 0;) {
      const UpdateInstruction& i = code[k];
      used[k] = wanted[size_t(i.to)];
      if (!used[k]) continue;
      wanted[size_t(i.to)] = false;
      wanted[size_t(i.a)] = true;
      if (reads_b(i.op)) wanted[size_t(i.b)] = true;
    }
    grown = false;
    for (int r = kFirstState; r < kFirstState + kStates; ++r)
      if (wanted[size_t(r)] && !at_end[size_t(r)]) at_end[size_t(r)] = grown = true;
  }
  UpdateProgram kept;
  kept.rate = rate;
  for (size_t k = 0; k < code.size(); ++k)
    if (used[k]) kept.code.push_back(code[k]);
  return kept;
}

int UpdateProgram::states() const {
  std::array<bool, kRegisters> found{};
  for (const UpdateInstruction& i : simplified().code) found[size_t(i.to)] = true;
  int count = 0;
  for (int r = 0; r < kRegisters; ++r) count += is_state(r) && found[size_t(r)];
  return count;
}

void UpdateProgram::run(std::array<double, kRegisters>& r) const {
  for (int k = kUpdate; k < kRegisters; ++k) r[size_t(k)] = 0;
  for (const UpdateInstruction& i : code)
    r[size_t(i.to)] = computed(i, r[size_t(i.a)], r[size_t(i.b)]);
}

uint64_t UpdateProgram::behaviour() const {
  constexpr int kElements = 6, kSteps = 5;
  constexpr double kSmallRate = 0.01;
  const Rng rng(1, stream_of("behaviour of programs"));
  std::string seen;
  for (int element = 0; element < kElements; ++element) {
    std::array<double, kRegisters> r{};
    r[kWeight] = rng.normal(uint64_t(element));
    for (int step = 0; step < kSteps; ++step) {
      r[kGradient] = 0.1 * rng.fork(1).normal(uint64_t(element * kSteps + step));
      run(r);
      r[kWeight] -= kSmallRate * r[kUpdate];
      if (!std::isfinite(r[kUpdate])) return 0;
      char digits[32];
      std::snprintf(digits, sizeof digits, "%.4e ", rate * r[kUpdate]);
      seen += digits;
    }
  }
  return stream_of(seen);
}

UpdateProgram gradient_descent() {
  return {{{ProgramOp::kScale, UpdateProgram::kUpdate, UpdateProgram::kGradient, 0, 1.0}}, 1};
}

void ProgramHook::on_updates(StepGraph& s) {
  Builder b(s.graph);
  // What the trainer's own optimiser keeps is read by nobody any more.
  const ValueId rate = b.mul(s.rate, program_.rate);
  for (StepParameter& p : s.parameters) {
    const Shape shape = s.graph.value(p.value).tensor().shape();
    std::array<ValueId, UpdateProgram::kRegisters> r;
    const ValueId zero = b.constant(Tensor(DType::f32, shape));
    r.fill(zero);
    r[UpdateProgram::kWeight] = p.value;
    r[UpdateProgram::kGradient] = b.cast(p.gradient, DType::f32);
    std::array<ValueId, UpdateProgram::kRegisters> states;
    states.fill(kNoValue);
    for (const UpdateInstruction& i : program_.code)
      if (is_state(i.to) && states[size_t(i.to)] == kNoValue)
        r[size_t(i.to)] = states[size_t(i.to)] =
            s.add_optimizer_state(p.name + ":" + kRegisterNames[i.to], shape);
    for (const UpdateInstruction& i : program_.code)
      r[size_t(i.to)] = written(b, i, r[size_t(i.a)], r[size_t(i.b)]);
    for (int k = 0; k < UpdateProgram::kRegisters; ++k)
      if (states[size_t(k)] != kNoValue) s.set_next(states[size_t(k)], r[size_t(k)]);
    ValueId kept = p.value;
    if (p.decays && weight_decay_ > 0)
      kept = b.sub(kept, b.mul(kept, b.mul(s.rate, weight_decay_)));
    p.updated = b.sub(kept, b.mul(r[UpdateProgram::kUpdate], rate));
  }
}

}  // namespace espalier
