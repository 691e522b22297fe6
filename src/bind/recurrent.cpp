// LSTM, GRU and RNN by our own recurrence: the products with the inputs of all steps at once, then
// the steps.
#include <algorithm>

#include "bind/attribute_reader.h"
#include "bind/families.h"
#include "kernels/convolution.h"
#include "kernels/recurrent.h"

namespace espalier::bind {
namespace {

using kernels::Cell;

struct Direction {
  std::shared_ptr<const kernels::PrimitiveSequence> project;
  Tensor recurrent;
  std::vector<float> state_bias;
};

struct RecurrentPlan {
  Cell cell = Cell::kLstm;
  int64_t time = 0, batch = 0, hidden = 0;
  bool backwards = false;  ///< the first direction
  bool first_h = false, first_c = false;
  bool want_y = false, want_h = false, want_c = false;
  std::vector<Direction> directions;

  int64_t columns() const { return kernels::recurrent_columns(cell, hidden); }
  size_t state() const { return size_t(batch * hidden); }
  size_t projected() const { return size_t(time * batch * columns()); }
  /// Floats of scratch: products with the inputs, three states. What follows starts on a cache
  /// line.
  size_t floats() const { return (projected() + 3 * state() + kLine - 1) / kLine * kLine; }
  static constexpr size_t kLine = 64 / sizeof(float);
};

class RecurrentLaunch : public Launch {
 public:
  explicit RecurrentLaunch(std::shared_ptr<const RecurrentPlan> plan) : plan_(std::move(plan)) {
    for (const Direction& d : plan_->directions) calls_.push_back(d.project->call());
  }

  void place(std::span<const void* const> operands, std::span<void* const> results,
             void* scratch) override {
    operands_.assign(operands.begin(), operands.end());
    results_.assign(results.begin(), results.end());
    results_.resize(3, nullptr);
    projected_ = static_cast<float*>(scratch);
    void* const to = projected_;
    for (auto& call : calls_)
      call->place({operands.data(), 1}, {&to, 1}, projected_ + plan_->floats());
  }

  void run() override {
    for (size_t d = 0; d < calls_.size(); ++d) {
      calls_[d]->run();
      run_direction(d);
    }
  }

 private:
  void run_direction(size_t d) {
    const RecurrentPlan& p = *plan_;
    const Direction& direction = p.directions[d];
    const auto directions = int64_t(p.directions.size());
    float* h = projected_ + p.projected();
    // The cell of an LSTM, the gated state of a GRU.
    float *c = h + p.state(), *spare = c + p.state();
    begin(p.first_h, 5, d, h);
    begin(p.first_c, 6, d, c);
    auto* y = p.want_y ? static_cast<float*>(results_[0]) + d * p.state() : nullptr;
    kernels::recurrent_run({p.cell, p.time, p.batch, p.hidden, p.backwards || d == 1, projected_,
                            direction.recurrent.data<float>(), direction.state_bias.data(), h, c,
                            spare, c, y, directions * p.batch * p.hidden, p.hidden});
    if (p.want_h) std::copy_n(h, p.state(), static_cast<float*>(results_[1]) + d * p.state());
    if (p.want_c) std::copy_n(c, p.state(), static_cast<float*>(results_[2]) + d * p.state());
  }
  /// The state before the first step.
  void begin(bool given, size_t operand, size_t direction, float* to) const {
    const size_t n = plan_->state();
    if (given)
      std::copy_n(static_cast<const float*>(operands_[operand]) + direction * n, n, to);
    else
      std::fill_n(to, n, 0.0f);
  }

  std::shared_ptr<const RecurrentPlan> plan_;
  std::vector<std::unique_ptr<kernels::PrimitiveCall>> calls_;
  std::vector<const void*> operands_;
  std::vector<void*> results_;
  float* projected_ = nullptr;
};

class RecurrentKernel : public Kernel {
 public:
  RecurrentKernel(std::string family, std::shared_ptr<const RecurrentPlan> plan)
      : plan_(std::move(plan)) {
    name = std::move(family);
    absorbed = {1, 2, 3};
    size_t more = 0;
    for (const Direction& d : plan_->directions) {
      more = std::max(more, d.project->scratch_bytes());
      packed_bytes +=
          d.project->kept_bytes() + d.recurrent.bytes() + d.state_bias.size() * sizeof(float);
    }
    scratch_bytes = plan_->floats() * sizeof(float) + more;
  }
  std::unique_ptr<Launch> launch() const override {
    return std::make_unique<RecurrentLaunch>(plan_);
  }

 private:
  std::shared_ptr<const RecurrentPlan> plan_;
};

/// Operators this loop computes, the gate functions it computes them with, and its name.
struct Family {
  Cell cell;
  std::vector<std::string> functions;
  const char* name;
};

/// Why the loop does not compute this form; empty where it does.
std::string obstacle(const BindRequest& r, const AttributeReader& a, const Family& family) {
  for (size_t i = 0; i < r.in.size(); ++i)
    if (r.in.has(i) && i != 4 && r.in_dtype(i) != DType::f32)
      return "an operand is " + std::string(name_of(r.in_dtype(i)));
  for (size_t i = 1; i < 4; ++i)
    if (r.in.has(i) && !r.in.constant(i)) return "weights are no constants";
  if (r.in.has(4)) return "sequences have lengths of their own";
  if (r.in.has(7)) return "it has peepholes";
  if (a.integer("layout", 0) != 0) return "the batch comes first";
  if (family.cell == Cell::kLstm && a.integer("input_forget", 0) != 0)
    return "the forget gate follows the input gate";
  if (a.get<float>("clip", 0) > 0) return "gates are clipped";
  const auto functions = a.get<std::vector<std::string>>("activations", {});
  for (size_t i = 0; i < functions.size(); ++i)
    if (functions[i] != family.functions[i % family.functions.size()])
      return "a gate's function is " + functions[i];
  return "";
}

/// Biases of the products with the input and with the state, [gates hidden] each, as the columns of
/// the projection take them; what only the product with the state gets goes to `state_bias`.
std::vector<float> joint_bias(Cell cell, const float* both, int64_t hidden,
                              std::vector<float>& state_bias) {
  const int64_t n = kernels::gates_of(cell) * hidden;
  std::vector<float> sum(both, both + n);
  const int64_t joint = cell == Cell::kGruLinear ? 2 * hidden : n;
  for (int64_t i = 0; i < joint; ++i) sum[size_t(i)] += both[n + i];
  if (joint < n) std::copy(both + n + joint, both + 2 * n, state_bias.begin());
  return kernels::recurrent_by_columns(cell, sum.data(), hidden, 1);
}

Bound bind_recurrent(const BindRequest& r, Family family) {
  const AttributeReader a(*r.room, r.attrs);
  if (const std::string why = obstacle(r, a, family); !why.empty()) return Refuse{why};
  if (family.cell == Cell::kGru && a.integer("linear_before_reset", 0) != 0)
    family.cell = Cell::kGruLinear;
  const Cell cell = family.cell;
  const Shape x = r.in_shape(0), w = r.in_shape(1);
  auto plan = std::make_shared<RecurrentPlan>();
  plan->cell = cell;
  plan->time = x[0];
  plan->batch = x[1];
  plan->hidden = r.in_shape(2)[2];
  if (numel(x) == 0 || plan->hidden == 0) return Refuse{"a tensor is empty"};
  plan->backwards = a.get<std::string>("direction", "forward") == "reverse";
  plan->first_h = r.in.has(5);
  plan->first_c = r.in.has(6);
  const auto wanted = [&](size_t i) { return i < r.out.size() && r.wanted[i]; };
  plan->want_y = wanted(0);
  plan->want_h = wanted(1);
  plan->want_c = wanted(2);
  const int64_t hidden = plan->hidden, columns = plan->columns(), input = x[2],
                rows = kernels::gates_of(cell) * hidden;
  for (int64_t d = 0; d < w[0]; ++d) {
    const auto by_columns = kernels::recurrent_by_columns(
        cell, r.in.constant(1)->data<float>() + d * rows * input, hidden, input);
    kernels::MatmulSpec s;
    s.a = {x[0] * x[1], input};
    s.b = {input, columns};
    s.y = {x[0] * x[1], columns};
    s.a_strides = {input, 1};
    s.b_strides = {columns, 1};
    s.b_constant = by_columns.data();
    Direction direction;
    if (cell == Cell::kGruLinear)
      direction.state_bias.resize(size_t(kernels::recurrent_columns(Cell::kRnn, hidden)));
    std::vector<float> bias;
    if (r.in.has(3)) {
      bias = joint_bias(cell, r.in.constant(3)->data<float>() + d * 2 * rows, hidden,
                        direction.state_bias);
      s.bias = kernels::Weight{DType::f32, {1, columns}, bias.data(), 0};
    }
    auto prepared = kernels::prepare_matmul(s);
    if (!prepared.sequence) return Refuse{prepared.refusal};
    direction.project = std::move(prepared.sequence);
    direction.recurrent = kernels::recurrent_blocks(
        cell, r.in.constant(2)->data<float>() + d * rows * hidden, hidden);
    plan->directions.push_back(std::move(direction));
  }
  return std::make_shared<RecurrentKernel>(family.name, std::move(plan));
}

Bound bind_lstm(const BindRequest& r) {
  return bind_recurrent(r, {Cell::kLstm, {"Sigmoid", "Tanh", "Tanh"}, "lstm"});
}
Bound bind_gru(const BindRequest& r) {
  return bind_recurrent(r, {Cell::kGru, {"Sigmoid", "Tanh"}, "gru"});
}
Bound bind_rnn(const BindRequest& r) { return bind_recurrent(r, {Cell::kRnn, {"Tanh"}, "rnn"}); }

}  // namespace

Entries recurrent_entries() {
  return {{"LSTM", {"lstm", bind_lstm}}, {"GRU", {"gru", bind_gru}}, {"RNN", {"rnn", bind_rnn}}};
}

}  // namespace espalier::bind
