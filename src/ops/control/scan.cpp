// Scan, ONNX opset 16: runs a body once for each position along an axis of the scanned operands.
//
//   operands: states.., scanned.. (num_scan_inputs of them), captured..
//   body: (states.., slices.., captured..) -> (states.., slices of results..)
//   results: the last states, the slices of results side by side along an axis each
#include "ir/derive.h"
#include "ops/control/control.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct Scan {
  GraphRef body;
  int64_t num_scan_inputs = 1;
  std::vector<int64_t> scan_input_axes, scan_input_directions;
  std::vector<int64_t> scan_output_axes, scan_output_directions;
  int64_t captured = 0;

  size_t scans() const { return size_t(num_scan_inputs); }
  size_t states(size_t operands) const { return operands - scans() - size_t(captured); }
};

int64_t entry(const std::vector<int64_t>& list, size_t i) { return i < list.size() ? list[i] : 0; }

void check(const Scan& a, const TypesIn& in) {
  const auto count = int64_t(in.size());
  if (a.num_scan_inputs < 1 || a.num_scan_inputs > count || a.captured < 0 ||
      a.captured > count - a.num_scan_inputs)
    in.fail("has " + std::to_string(in.size()) + " operands, which cannot be " +
            std::to_string(a.num_scan_inputs) + " scanned and " + std::to_string(a.captured) +
            " captured ones");
  const size_t states = a.states(in.size()), outputs = a.body->outputs().size();
  if (outputs < states)
    in.fail("its body gives " + std::to_string(outputs) + " results, " + std::to_string(states) +
            " states are needed");
  const auto fits = [&](const std::vector<int64_t>& list, size_t count, const char* what) {
    if (!list.empty() && list.size() != count)
      in.fail(std::string(what) + " has " + std::to_string(list.size()) + " entries, " +
              std::to_string(count) + " are needed");
  };
  fits(a.scan_input_axes, a.scans(), "scan_input_axes");
  fits(a.scan_input_directions, a.scans(), "scan_input_directions");
  fits(a.scan_output_axes, outputs - states, "scan_output_axes");
  fits(a.scan_output_directions, outputs - states, "scan_output_directions");
  for (const auto* list : {&a.scan_input_directions, &a.scan_output_directions})
    for (int64_t direction : *list)
      if (direction != 0 && direction != 1)
        in.fail("has the direction " + std::to_string(direction), "0 runs forwards, 1 backwards");
}

int64_t axis_in(const Scan& a, size_t scan, int64_t rank, const std::string& where) {
  return normal_axis(entry(a.scan_input_axes, scan), rank, where);
}

/// How many iterations there are.
Dim length_of(const Scan& a, const TypesIn& in) {
  Dim length = Dim::unknown();
  for (size_t k = 0; k < a.scans(); ++k) {
    const TensorType& t = in[a.states(in.size()) + k];
    const Dim& d = t.dims[size_t(axis_in(a, k, t.rank(), in.where()))];
    if (length.known() && d.known() && !(length == d))
      in.fail("its scanned operands are " + to_string(length) + " and " + to_string(d) + " long");
    if (!length.known()) length = d;
  }
  return length;
}

std::pair<Graph, std::vector<Type>> settled_body(const Scan& a, const TypesIn& in) {
  check(a, in);
  const size_t states = a.states(in.size());
  std::vector<Type> first, rest;
  for (size_t i = 0; i < states; ++i) first.push_back(in.type(i));
  for (size_t k = 0; k < a.scans(); ++k) {
    TensorType slice = in[states + k];
    slice.dims.erase(slice.dims.begin() + axis_in(a, k, slice.rank(), in.where()));
    rest.emplace_back(std::move(slice));
  }
  for (size_t i = states + a.scans(); i < in.size(); ++i) rest.push_back(in.type(i));
  std::optional<Graph> body;
  auto types = settled(in, first, [&](const std::vector<Type>& now) {
    std::vector<Type> inputs = now;
    inputs.insert(inputs.end(), rest.begin(), rest.end());
    body = typed_body(in, a.body, "the body", inputs, size_t(a.captured));
    const auto results = result_types(*body);
    return std::vector<Type>(results.begin(), results.begin() + std::ptrdiff_t(states));
  });
  return {std::move(*body), std::move(types)};
}

Types infer(const Scan& a, const TypesIn& in) {
  auto [body, types] = settled_body(a, in);
  const size_t states = types.size();
  const Dim length = length_of(a, in);
  for (size_t k = states; k < body.outputs().size(); ++k) {
    const Type& each = body.value(body.outputs()[k]).type;
    if (!element_type_of(each))
      in.fail("the body gives " + to_string(each) + "; only tensors can be collected");
    if (!each.is_tensor()) {
      types.push_back(each);
      continue;
    }
    TensorType all = each.tensor();
    const int64_t axis =
        normal_axis(entry(a.scan_output_axes, k - states), all.rank() + 1, in.where());
    all.dims.insert(all.dims.begin() + axis, length);
    types.emplace_back(std::move(all));
  }
  return types;
}

std::vector<Datum> run(const Scan& a, const ControlCall& call) {
  const size_t states = a.states(call.operands.size());
  const size_t collected_count = a.body->outputs().size() - states;
  std::vector<Datum> inputs;
  for (const Datum* d : call.operands) inputs.push_back(*d);
  std::vector<int64_t> axes;
  int64_t length = 0;
  for (size_t k = 0; k < a.scans(); ++k) {
    const Tensor& t = call.operands[states + k]->tensor();
    axes.push_back(axis_in(a, k, t.rank(), call.where));
    const int64_t own = t.shape()[size_t(axes[k])];
    if (k > 0 && own != length)
      throw bad_input(call.where, "its scanned operands are " + std::to_string(length) + " and " +
                                      std::to_string(own) + " long");
    length = own;
  }
  std::vector<std::vector<Datum>> collected(collected_count);
  for (int64_t i = 0; i < length; ++i) {
    for (size_t k = 0; k < a.scans(); ++k) {
      const bool backwards = entry(a.scan_input_directions, k) != 0;
      inputs[states + k] =
          slice_of(call.operands[states + k]->tensor(), axes[k], backwards ? length - 1 - i : i);
    }
    std::vector<Datum> results = call.body(0, inputs);
    for (size_t s = 0; s < states; ++s) inputs[s] = std::move(results[s]);
    for (size_t k = 0; k < collected_count; ++k)
      collected[k].push_back(std::move(results[states + k]));
  }
  std::vector<Datum> results(inputs.begin(), inputs.begin() + std::ptrdiff_t(states));
  for (size_t k = 0; k < collected_count; ++k) {
    if (entry(a.scan_output_directions, k) != 0) std::ranges::reverse(collected[k]);
    results.push_back(
        collected[k].empty()
            ? nothing_of(call.results()[states + k])
            : concatenated(collected[k], entry(a.scan_output_axes, k), true, call.where));
  }
  return results;
}

ControlOf<Scan> form() {
  return {.bodies = [](const Scan& a) { return std::vector<GraphRef>{a.body}; },
          .captured = [](const Scan& a) { return size_t(a.captured); },
          .run = run};
}

template <class Real>
void reference(const Scan& a, Ref<Real>& r) {
  run_by_reference(form(), a, "Scan", r);
}

Cost cost(const Scan& a, const TypesIn& in, const Types&) {
  const Dim length = length_of(a, in);
  const double count = length.known() ? double(length.value()) : 1;
  const Cost one = cost_of(settled_body(a, in).first);
  return {count * one.macs, count * one.flops, count * one.bytes};
}

/// sum' = sum + x * captured; the result's slice is sum'.
GraphRef sample_body() {
  Graph g;
  g.name = "sums";
  const ValueId sum = g.add_input("sum", TensorType(DType::f32, Shape{2}));
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{2}));
  const ValueId weight = g.add_input("weight", TensorType(DType::f32, Shape{2}));
  Builder b(g);
  const ValueId next = b.add(sum, b.mul(x, weight));
  g.add_output(next);
  g.add_output(b.one("Identity", {next}));
  return std::make_shared<const Graph>(std::move(g));
}

// States lie where the results belong. A slice along the first axis is read and written in place,
// one along another axis is moved through scratch memory.
void emit(const Scan& a, CWriter& c) {
  const auto settled = settled_body(a, c.types());
  const Graph& body = settled.first;
  const size_t states = settled.second.size();
  const int64_t length = length_of(a, c.types()).value();
  std::vector<std::string> inputs, results;
  std::vector<RoundInC> rounds;
  for (size_t s = 0; s < states; ++s) {
    rounds.push_back(round_in_c(c, s, s));
    inputs.push_back(rounds.back().now);
    results.push_back(rounds.back().next);
  }
  struct Slice {
    std::string pointer;
    Shape shape;
    CWalk whole;  ///< of the tensor it is part of
    int64_t step = 0;
    bool backwards = false, in_place = false;
  };
  const auto slice_of = [&](Shape whole, int64_t axis, bool backwards) {
    Slice s{"", whole, {0, strides_of(whole)}, 0, backwards, axis == 0};
    s.step = s.whole.strides[size_t(axis)];
    s.whole.strides.erase(s.whole.strides.begin() + axis);
    s.shape.erase(s.shape.begin() + axis);
    return s;
  };
  const auto position = [&](const Slice& s) {
    return s.backwards ? "(" + std::to_string(length - 1) + " - t)" : std::string("t");
  };
  std::vector<Slice> read, written;
  for (size_t k = 0; k < a.scans(); ++k) {
    const Shape whole = c.shape(states + k);
    Slice s = slice_of(whole, axis_in(a, k, int64_t(whole.size()), c.types().where()),
                       entry(a.scan_input_directions, k) != 0);
    s.pointer = s.in_place ? plus(c.in(states + k), times(position(s), s.step))
                           : c.scratch(c.dtype(states + k), numel(s.shape));
    inputs.push_back(s.pointer);
    read.push_back(std::move(s));
  }
  for (const auto& p : operands_in_c(c, states + a.scans(), c.inputs())) inputs.push_back(p);
  for (size_t o = states; o < body.outputs().size(); ++o) {
    const Shape whole = c.result_types()[o].tensor().shape();
    Slice s = slice_of(whole,
                       normal_axis(entry(a.scan_output_axes, o - states), int64_t(whole.size()),
                                   c.types().where()),
                       entry(a.scan_output_directions, o - states) != 0);
    s.in_place = s.in_place && c.wants(o);
    s.pointer = s.in_place ? plus(c.out(o), times(position(s), s.step))
                           : c.scratch(c.out_dtype(o), numel(s.shape));
    results.push_back(s.pointer);
    written.push_back(std::move(s));
  }
  const auto move = [&](const Slice& s,
                        const std::function<void(const std::string&, const std::string&)>& one) {
    c.nest(s.shape, {s.whole, {0, strides_of(s.shape)}}, [&](const std::vector<std::string>& at) {
      one(plus(at[0], times(position(s), s.step)), s.pointer + "[" + at[1] + "]");
    });
  };
  c.block(for_loop("t", length), [&] {
    for (size_t k = 0; k < read.size(); ++k)
      if (!read[k].in_place)
        move(read[k], [&](const std::string& whole, const std::string& own) {
          c.line(own + " = " + c.load(states + k, whole) + ";");
        });
    emit_body(c, body, inputs, results);
    for (const RoundInC& r : rounds) advance(c, r);
    for (size_t k = 0; k < written.size(); ++k)
      if (!written[k].in_place && c.wants(states + k))
        move(written[k], [&](const std::string& whole, const std::string& own) {
          c.store(states + k, whole, own);
        });
  });
}

}  // namespace

const Room& scan() {
  static const Room room = [] {
    const GraphRef body = sample_body();
    const auto operands = [](Shape scanned) {
      return std::vector<OperandSpec>{OperandSpec::of({2}), OperandSpec::of(std::move(scanned)),
                                      OperandSpec::of({2})};
    };
    return make_room<Scan>({
        .onnx = {"Scan", 16},
        .arity = {1, kVariadic, 1, kVariadic},
        .attributes = {required("body", &Scan::body),
                       required("num_scan_inputs", &Scan::num_scan_inputs),
                       {"scan_input_axes", &Scan::scan_input_axes},
                       {"scan_input_directions", &Scan::scan_input_directions},
                       {"scan_output_axes", &Scan::scan_output_axes},
                       {"scan_output_directions", &Scan::scan_output_directions},
                       {"captured", &Scan::captured}},
        .infer = infer,
        .reference = ESP_REFERENCE(Scan, reference),
        .gradient = no_gradient_of_control(),
        .cost = cost,
        .axes = ties_nothing<Scan>,
        .quantize = no_quantize(),
        .pointwise = not_pointwise(),
        .expand = no_expand(),
        .emit = emit,
        .samples = {{{body, 1, {}, {}, {}, {}, 1}, operands({4, 2})},
                    {{body, 1, {1}, {1}, {-1}, {1}, 1}, operands({2, 3})},
                    {{body, 1, {}, {}, {1}, {}, 1}, operands({0, 2})}},
        .control = form(),
    });
  }();
  return room;
}

}  // namespace espalier::ops
