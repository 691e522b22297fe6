// LSTM by our own recurrence: the products with the inputs of all steps at once, then the steps.
#include <algorithm>

#include "bind/attribute_reader.h"
#include "bind/families.h"
#include "kernels/convolution.h"
#include "kernels/lstm.h"

namespace espalier::bind {
namespace {

struct LstmDirection {
  std::shared_ptr<const kernels::PrimitiveSequence> project;
  std::vector<float> recurrent;
};

struct LstmPlan {
  int64_t time = 0, batch = 0, hidden = 0;
  bool backwards = false;  ///< the first direction
  bool first_h = false, first_c = false;
  bool want_y = false, want_h = false, want_c = false;
  std::vector<LstmDirection> directions;

  int64_t columns() const { return kernels::lstm_columns(hidden); }
  size_t state() const { return size_t(batch * hidden); }
  /// Floats of scratch: products with the inputs, three states. What follows starts on a cache
  /// line.
  size_t floats() const {
    return (size_t(time * batch * columns()) + 3 * state() + kLine - 1) / kLine * kLine;
  }
  static constexpr size_t kLine = 64 / sizeof(float);
};

class LstmLaunch : public Launch {
 public:
  explicit LstmLaunch(std::shared_ptr<const LstmPlan> plan) : plan_(std::move(plan)) {
    for (const LstmDirection& d : plan_->directions) calls_.push_back(d.project->call());
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
    const LstmPlan& p = *plan_;
    const auto directions = int64_t(p.directions.size());
    float* h = projected_ + p.time * p.batch * p.columns();
    float *c = h + p.state(), *spare = c + p.state();
    begin(p.first_h, 5, d, h);
    begin(p.first_c, 6, d, c);
    auto* y = p.want_y ? static_cast<float*>(results_[0]) + d * p.state() : nullptr;
    kernels::lstm_run({p.time, p.batch, p.hidden, p.backwards || d == 1, projected_,
                       p.directions[d].recurrent.data(), h, c, spare, y,
                       directions * p.batch * p.hidden, p.hidden});
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

  std::shared_ptr<const LstmPlan> plan_;
  std::vector<std::unique_ptr<kernels::PrimitiveCall>> calls_;
  std::vector<const void*> operands_;
  std::vector<void*> results_;
  float* projected_ = nullptr;
};

class LstmKernel : public Kernel {
 public:
  explicit LstmKernel(std::shared_ptr<const LstmPlan> plan) : plan_(std::move(plan)) {
    name = "lstm";
    absorbed = {1, 2, 3};
    size_t more = 0;
    for (const LstmDirection& d : plan_->directions) {
      more = std::max(more, d.project->scratch_bytes());
      packed_bytes += d.project->kept_bytes() + d.recurrent.size() * sizeof(float);
    }
    scratch_bytes = plan_->floats() * sizeof(float) + more;
  }
  std::unique_ptr<Launch> launch() const override { return std::make_unique<LstmLaunch>(plan_); }

 private:
  std::shared_ptr<const LstmPlan> plan_;
};

/// Why the loop does not compute this form; empty where it does.
std::string obstacle(const BindRequest& r, const AttributeReader& a) {
  for (size_t i = 0; i < r.in.size(); ++i)
    if (r.in.has(i) && i != 4 && r.in_dtype(i) != DType::f32)
      return "an operand is " + std::string(name_of(r.in_dtype(i)));
  for (size_t i = 1; i < 4; ++i)
    if (r.in.has(i) && !r.in.constant(i)) return "weights are no constants";
  if (r.in.has(4)) return "sequences have lengths of their own";
  if (r.in.has(7)) return "it has peepholes";
  if (a.integer("layout", 0) != 0) return "the batch comes first";
  if (a.integer("input_forget", 0) != 0) return "the forget gate follows the input gate";
  if (a.get<float>("clip", 0) > 0) return "gates are clipped";
  const auto functions = a.get<std::vector<std::string>>("activations", {});
  const char* const usual[] = {"Sigmoid", "Tanh", "Tanh"};
  for (size_t i = 0; i < functions.size(); ++i)
    if (functions[i] != usual[i % 3]) return "a gate's function is " + functions[i];
  return "";
}

Bound bind_lstm(const BindRequest& r) {
  const AttributeReader a(*r.room, r.attrs);
  if (const std::string why = obstacle(r, a); !why.empty()) return Refuse{why};
  const Shape x = r.in_shape(0), w = r.in_shape(1);
  auto plan = std::make_shared<LstmPlan>();
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
  const int64_t hidden = plan->hidden, columns = plan->columns(), input = x[2];
  for (int64_t d = 0; d < w[0]; ++d) {
    const float* weight = r.in.constant(1)->data<float>() + d * 4 * hidden * input;
    const auto by_columns = kernels::lstm_by_columns(weight, hidden, input);
    kernels::MatmulSpec s;
    s.a = {x[0] * x[1], input};
    s.b = {input, columns};
    s.y = {x[0] * x[1], columns};
    s.a_strides = {input, 1};
    s.b_strides = {columns, 1};
    s.b_constant = by_columns.data();
    std::vector<float> bias;
    if (r.in.has(3)) {
      // Biases of the products with the input and with the state.
      const float* both = r.in.constant(3)->data<float>() + d * 8 * hidden;
      std::vector<float> sum(both, both + 4 * hidden);
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += both[4 * size_t(hidden) + i];
      bias = kernels::lstm_by_columns(sum.data(), hidden, 1);
      s.bias = kernels::Weight{DType::f32, {1, columns}, bias.data(), 0};
    }
    auto prepared = kernels::prepare_matmul(s);
    if (!prepared.sequence) return Refuse{prepared.refusal};
    plan->directions.push_back(
        {std::move(prepared.sequence),
         kernels::lstm_blocks(r.in.constant(2)->data<float>() + d * 4 * hidden * hidden, hidden)});
  }
  return std::make_shared<LstmKernel>(std::move(plan));
}

}  // namespace

Entries recurrent_entries() { return {{"LSTM", {"lstm", bind_lstm}}}; }

}  // namespace espalier::bind
