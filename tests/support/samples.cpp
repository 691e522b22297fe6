#include "tests/support/samples.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>

#include "base/rng.h"
#include "ir/registry.h"
#include "ops/catalogue.h"

namespace espalier::testing {

std::string SampleCase::name() const {
  std::string s = room->full_name() + "_" + std::to_string(index);
  for (char& c : s)
    if (!isalnum(static_cast<unsigned char>(c))) c = '_';
  return s;
}

std::vector<SampleCase> all_sample_cases() {
  ops::register_rooms();
  std::vector<SampleCase> cases;
  for (const Room* room : all_rooms())
    for (size_t i = 0; i < room->samples.size(); ++i) cases.push_back({room, i});
  return cases;
}

namespace {

Tensor draw(const OperandSpec& spec, DType float_type, const std::vector<double>& kinks,
            const Rng& rng) {
  if (spec.value) return is_float(spec.dtype) ? spec.value->cast(float_type) : *spec.value;
  Tensor wide(DType::f64, spec.shape);
  double* p = wide.mutable_data<double>();
  for (int64_t i = 0; i < wide.size(); ++i) {
    if (!is_float(spec.dtype)) {
      p[i] = std::floor(rng.uniform(uint64_t(i), spec.lo, spec.hi + 1));
      continue;
    }
    p[i] = rng.uniform(uint64_t(i), spec.lo, spec.hi);
    for (double kink : kinks)
      if (std::abs(p[i] - kink) < 0.02) p[i] = kink + (p[i] < kink ? -0.02 : 0.02);
  }
  return wide.cast(is_float(spec.dtype) ? float_type : spec.dtype);
}

}  // namespace

std::vector<SampleCase> sample_cases_where(const std::function<bool(const SampleCase&)>& applies) {
  std::vector<SampleCase> cases;
  for (SampleCase& c : all_sample_cases())
    if (applies(c)) cases.push_back(std::move(c));
  return cases;
}

void PrintTo(const SampleCase& c, std::ostream* out) { *out << c.name(); }

std::vector<Tensor> sample_operands(const SampleCase& c, DType float_type) {
  std::vector<Tensor> operands;
  for (size_t i = 0; i < c.sample().inputs.size(); ++i) {
    const OperandSpec& spec = c.sample().inputs[i];
    operands.push_back(
        spec.absent ? Tensor()
                    : draw(spec, float_type, c.room->kinks, Rng(17, stream_of(c.name())).fork(i)));
  }
  return operands;
}

Graph sample_graph(const SampleCase& c, const std::vector<Tensor>& operands,
                   std::vector<Tensor>* inputs) {
  Graph g;
  g.name = c.name();
  Values values;
  for (size_t i = 0; i < operands.size(); ++i) {
    const OperandSpec& spec = c.sample().inputs[i];
    if (spec.absent) {
      values.push_back(kNoValue);
    } else if (spec.constant) {
      values.push_back(g.add_constant("k" + std::to_string(i), operands[i]));
    } else {
      values.push_back(g.add_input("x" + std::to_string(i),
                                   TensorType(operands[i].dtype(), operands[i].shape())));
      if (inputs) inputs->push_back(operands[i]);
    }
  }
  Builder b(g);
  for (size_t i = 0; i < values.size(); ++i) {
    using Form = OperandSpec::Form;
    const Form form = c.sample().inputs[i].form;
    if (form == Form::kSequence) values[i] = b.one("SequenceConstruct", {values[i], values[i]});
    if (form == Form::kOptional) values[i] = b.one("Optional", {values[i]});
  }
  b.op(*c.room, c.sample().attrs, values, "", {});
  const NodeId id = g.order().back();
  if (c.sample().results > 0) g.drop_results(id, size_t(c.sample().results));
  g.set_outputs(g.node(id).outputs);
  return g;
}

std::vector<Tensor> flattened(std::span<const Datum> data) {
  std::vector<Tensor> tensors;
  for (const Datum& d : data) {
    if (d.is_tensor()) {
      tensors.push_back(d.tensor());
      continue;
    }
    const auto inside = flattened(d.items());
    tensors.insert(tensors.end(), inside.begin(), inside.end());
  }
  return tensors;
}

bool has_fixed_sizes(const SampleCase& c) {
  const Graph g = sample_graph(c, sample_operands(c), nullptr);
  const Node& n = g.node(g.order().back());
  const auto fixed = [&](ValueId v) { return v == kNoValue || g.value(v).type.is_static(); };
  return std::ranges::all_of(n.inputs, fixed) && std::ranges::all_of(n.outputs, fixed);
}

double mismatch(const Tensor& a, const Tensor& b, double rtol, double atol) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape())
    return std::numeric_limits<double>::infinity();
  if (!is_float(a.dtype())) return a.identical(b) ? 0 : std::numeric_limits<double>::infinity();
  double worst = 0;
  for (int64_t i = 0; i < a.size(); ++i) {
    const double x = a.at(i), y = b.at(i);
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    const double error = std::abs(x - y) / (atol + rtol * std::abs(y));
    worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
  }
  return worst;
}

}  // namespace espalier::testing
