// espalier.CrossEntropy(logits [N,C], labels i64 [N]) -> loss [], log_probabilities [N,C]: softmax
// cross-entropy, the mean over the batch. Label smoothing s mixes the one-hot target with the
// uniform one: t = (1 - s) * onehot + s / C (Szegedy et al., 2016).
// espalier.CrossEntropyGrad(log_probabilities, labels, dloss []): d loss / d logits * dloss.
#include <cmath>
#include <limits>

#include "base/error.h"
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct CrossEntropy {
  float label_smoothing = 0;
};

void check(const CrossEntropy& a, const TypesIn& in) {
  require_float(in, 0);
  require_rank(in, 0, 2);
  require_rank(in, 1, 1);
  if (in[1].dtype != DType::i64 && in[1].dtype != DType::i32)
    in.fail("labels are " + to_string(in[1]) + ", i64 class numbers are needed");
  const Dim &n = in[0].dims[0], &labels = in[1].dims[0];
  if (n.known() && labels.known() && !(n == labels))
    in.fail(to_string(n) + " rows of logits have " + to_string(labels) + " labels");
  if (n.is(0) || in[0].dims[1].is(0))
    in.fail("the mean over " + to_string(in[0]) + " is undefined");
  if (!(a.label_smoothing >= 0 && a.label_smoothing < 1))
    in.fail("label_smoothing must be in [0, 1)");
}

int64_t checked_label(int64_t label, int64_t classes, int64_t row) {
  if (label < 0 || label >= classes)
    throw bad_input("CrossEntropy",
                    "label " + std::to_string(label) + " of row " + std::to_string(row) +
                        " is outside the " + std::to_string(classes) + " classes",
                    "check that the data set and the network's last layer agree");
  return label;
}

Types infer(const CrossEntropy& a, const TypesIn& in) {
  check(a, in);
  return {TensorType(in[0].dtype, Dims{}), in[0]};
}

template <class Real>
void reference(const CrossEntropy& a, Ref<Real>& r) {
  const auto x = r.real(0);
  const auto labels = r.ints(1);
  const auto log_p = r.out_real(1);
  const int64_t n = r.shape(0)[0], c = r.shape(0)[1];
  const double s = double(a.label_smoothing);
  double loss = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Real* row = x.data() + i * c;
    Real* out = log_p.data() + i * c;
    const Real* most = std::max_element(row, row + c);
    const double top = double(*most);
    // What is far below the top is lost beside 1, and beside a large top.
    double others = 0;
    for (int64_t k = 0; k < c; ++k)
      if (row + k != most) others += std::exp(double(row[k]) - top);
    const double shift = std::log1p(others);
    const auto log_of = [&](int64_t k) { return double(row[k]) - top - shift; };
    double uniform = 0;
    for (int64_t k = 0; k < c; ++k) {
      out[k] = Real(log_of(k));
      uniform += log_of(k);
    }
    const int64_t label = checked_label(labels[size_t(i)], c, i);
    loss -= (1 - s) * log_of(label) + s * uniform / double(c);
  }
  r.out_real(0)[0] = Real(loss / double(n));
}

// Through the loss: CrossEntropyGrad. Through the log-probabilities, should anybody use them:
// d - softmax * sum(d).
Values gradient(const CrossEntropy& a, Builder& b, const Tape& t) {
  ValueId dx = kNoValue;
  const bool kept = t.outputs() > 1 && t.y(1) != kNoValue;
  if (t.dy(0) != kNoValue) {
    const ValueId log_p = kept ? t.y(1) : b.one("LogSoftmax", {t.x(0)}, {{"axis", int64_t{1}}});
    dx = b.one("espalier.CrossEntropyGrad", {log_p, t.x(1), t.dy(0)},
               {{"label_smoothing", a.label_smoothing}});
  }
  if (kept && t.dy(1) != kNoValue) {
    const ValueId d = b.sub(t.dy(1), b.mul(b.exp(t.y(1)), b.reduce_sum(t.dy(1), {1})));
    dx = dx == kNoValue ? d : b.add(dx, d);
  }
  return {dx, kNoValue};
}

Cost cost(const CrossEntropy&, const TypesIn& in, const Types& out) {
  return {0, 6 * double(in[0].numel()), traffic(in, out)};
}

// Classes are named by labels; the batch is averaged.
AxisMap axes(const CrossEntropy&, const TypesIn& in, const Types&) {
  AxisMap map;
  if (in[0].dims[0].known())
    map.ties.push_back({in[0].dims[0].value(),
                        {AxisPlace::in(0, 0), AxisPlace::in(1, 0), AxisPlace::out(1, 0)},
                        false,
                        true});
  return map;
}

/// Declares the label of row `i`; the run ends with an error where it is no class.
void declare_label(CWriter& c, const std::string& i, int64_t classes) {
  c.line("const " + c_type(c.dtype(1)) + " label = " + c.load(1, i) + ";");
  c.check("label >= 0 && label < " + std::to_string(classes));
}

void emit(const CrossEntropy& a, CWriter& c) {
  const int64_t rows = c.shape(0)[0], classes = c.shape(0)[1];
  const DType t = c.dtype(0);
  const std::string real = c_type(t) + " ", each = for_loop("k", classes);
  const double s = double(a.label_smoothing);
  if (c.wants(1)) c.overlay(1, 0);
  c.line(real + "loss = 0;");
  c.block(for_loop("i", rows), [&] {
    const std::string row = times("i", classes), at = plus(row, "k");
    declare_label(c, "i", classes);
    c.line("int top = 0;");
    c.block(each, [&] {
      c.line("if (" + c.load(0, at) + " > " + c.load(0, plus(row, "top")) + ") top = k;");
    });
    c.line("const " + real + "most = " + c.load(0, plus(row, "top")) + ";");
    c.line(real + "others = 0, uniform = 0;");
    c.block(each, [&] {
      c.line(with_suffix("if (k != top) others += exp~(" + c.load(0, at) + " - most);", t));
    });
    c.line(with_suffix("const " + real + "shift = log1p~(others);", t));
    c.line(real + "own = 0;");
    c.block(each, [&] {
      c.line("const " + real + "log_p = " + c.load(0, at) + " - most - shift;");
      c.line("if (k == (int)label) own = log_p;");
      c.line("uniform += log_p;");
      if (c.wants(1)) c.store(1, at, "log_p");
    });
    c.line("loss -= " + c_literal(1 - s, t) + " * own + " + c_literal(s / double(classes), t) +
           " * uniform;");
  });
  c.store(0, "0", "loss / " + std::to_string(rows));
}

// ---- the gradient -------------------------------------------------------------------------------

Types infer_grad(const CrossEntropy& a, const TypesIn& in) {
  check(a, in);
  require_float(in, 2);
  require_rank(in, 2, 0);
  return {in[0]};
}

// dx = (softmax - target) * dloss / N
template <class Real>
void reference_grad(const CrossEntropy& a, Ref<Real>& r) {
  const auto log_p = r.real(0);
  const auto labels = r.ints(1);
  const auto dx = r.out_real(0);
  const int64_t n = r.shape(0)[0], c = r.shape(0)[1];
  const double scale = double(r.real(2)[0]) / double(n), s = double(a.label_smoothing);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t label = checked_label(labels[size_t(i)], c, i);
    for (int64_t k = 0; k < c; ++k) {
      const double target = (k == label ? 1 - s : 0) + s / double(c);
      dx[size_t(i * c + k)] = Real((std::exp(double(log_p[size_t(i * c + k)])) - target) * scale);
    }
  }
}

Cost cost_grad(const CrossEntropy&, const TypesIn& in, const Types& out) {
  return {0, 4 * double(in[0].numel()), traffic(in, out)};
}

void emit_grad(const CrossEntropy& a, CWriter& c) {
  const int64_t rows = c.shape(0)[0], classes = c.shape(0)[1];
  const DType t = c.dtype(0);
  const double s = double(a.label_smoothing), rest = s / double(classes);
  c.overlay(0, 0);
  c.line("const " + c_type(t) + " scale = " + c.load(2, "0") + " / " + std::to_string(rows) + ";");
  c.block(for_loop("i", rows), [&] {
    declare_label(c, "i", classes);
    c.block(for_loop("k", classes), [&] {
      const std::string at = plus(times("i", classes), "k");
      c.line("const " + c_type(t) + " target = k == (int)label ? " + c_literal(1 - s + rest, t) +
             " : " + c_literal(rest, t) + ";");
      c.store(0, at, with_suffix("(exp~(" + c.load(0, at) + ") - target) * scale", t));
    });
  });
}

AxisMap axes_grad(const CrossEntropy&, const TypesIn& in, const Types&) {
  AxisMap map;
  if (in[0].dims[0].known())
    map.ties.push_back({in[0].dims[0].value(),
                        {AxisPlace::in(0, 0), AxisPlace::in(1, 0), AxisPlace::out(0, 0)},
                        false,
                        true});
  return map;
}

OperandSpec some_labels() { return OperandSpec::list({2, 0, 3}); }

}  // namespace

const Room& cross_entropy() {
  static const Room room = make_room<CrossEntropy>({
      .onnx = {"CrossEntropy", 1, "espalier"},
      .arity = {2, 2, 1, 2},
      .attributes = {{"label_smoothing", &CrossEntropy::label_smoothing}},
      .infer = infer,
      .reference = ESP_REFERENCE(CrossEntropy, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::ranged({3, 4}, -3, 3), some_labels()}},
                  {{0.1f}, {OperandSpec::ranged({3, 4}, -3, 3), some_labels()}},
                  {{}, {OperandSpec::ranged({3, 4}, 700, 900), some_labels()}}},
  });
  return room;
}

const Room& cross_entropy_grad() {
  static const Room room = make_room<CrossEntropy>({
      .onnx = {"CrossEntropyGrad", 1, "espalier"},
      .arity = {3, 3},
      .attributes = {{"label_smoothing", &CrossEntropy::label_smoothing}},
      .infer = infer_grad,
      .reference = ESP_REFERENCE(CrossEntropy, reference_grad),
      .gradient = Refuse{"is a gradient, of which no further gradient is defined"},
      .cost = cost_grad,
      .axes = axes_grad,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit_grad,
      .samples = {{{0.1f},
                   {OperandSpec::ranged({3, 4}, -3, -1), some_labels(), OperandSpec::of({})}}},
  });
  return room;
}

}  // namespace espalier::ops
