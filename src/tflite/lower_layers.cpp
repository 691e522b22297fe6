// Convolutions, products and pools.
#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>

#include "tflite/operator.h"
#include "tflite/weights.h"

namespace espalier::tflite {
namespace {

/// How a window moves over the two spatial axes, height first.
struct Moves {
  std::vector<int64_t> kernel, strides, dilations = {1, 1};
  bool same = false;  ///< padded so that the result has extent / stride elements
};

Moves moves_of(const Operator& o, bool dilated, int dilation_field) {
  Moves m;
  const FlatTable& f = o.options();
  const auto padding = f.scalar<int8_t>(0, 0);
  if (padding != 0 && padding != 1) o.refuse("has padding " + std::to_string(padding));
  m.same = padding == 0;
  m.strides = {f.scalar<int32_t>(2, 0), f.scalar<int32_t>(1, 0)};
  if (dilated)
    m.dilations = {f.scalar<int32_t>(dilation_field + 1, 1), f.scalar<int32_t>(dilation_field, 1)};
  for (const auto* list : {&m.strides, &m.dilations})
    for (int64_t v : *list)
      if (v < 1) o.fail("has a stride or dilation of " + std::to_string(v));
  return m;
}

/// What "SAME" adds before and after an axis: the remainder goes behind.
std::pair<int64_t, int64_t> same_padding(int64_t extent, int64_t kernel, int64_t stride,
                                         int64_t dilation) {
  const int64_t out = (extent + stride - 1) / stride;
  const int64_t total =
      std::max<int64_t>(0, (out - 1) * stride + (kernel - 1) * dilation + 1 - extent);
  return {total / 2, total - total / 2};
}

/// Attributes of the window over `x` (channels-first).
AttributeMap window(const Operator& o, const Moves& m, const TensorType& x) {
  if (x.rank() != 4)
    o.fail("its operand is " + to_string(x) + ", a picture of four axes is needed");
  AttributeMap a = {{"strides", m.strides}};
  if (m.dilations != std::vector<int64_t>{1, 1}) a["dilations"] = m.dilations;
  if (!m.same) return a;
  std::vector<int64_t> pads(4, 0);
  for (size_t i = 0; i < 2; ++i) {
    if (!x.dims[i + 2].known()) {
      a["auto_pad"] = std::string("SAME_UPPER");
      return a;
    }
    std::tie(pads[i], pads[i + 2]) =
        same_padding(x.dims[i + 2].value(), m.kernel[i], m.strides[i], m.dilations[i]);
  }
  if (pads != std::vector<int64_t>(4, 0)) a["pads"] = pads;
  return a;
}

/// The picture a convolution reads, with padding that waited for it.
struct Picture {
  ValueId value = kNoValue;
  std::optional<std::vector<int64_t>> pads;
};

Picture picture(const Operator& o, int32_t t, const Moves& m) {
  Lowering& l = o.l;
  const WaitingPad* waiting = l.waiting_pad(t);
  if (!waiting || m.same) return {l.real(t, Form::kChannelsFirst), std::nullopt};
  const WaitingPad p = *waiting;
  return {l.real(p.source, Form::kChannelsFirst),
          std::vector<int64_t>{p.top, p.left, p.bottom, p.right}};
}

void convolution(const Operator& o, WeightUse use, int activation_field, int dilation_field) {
  Lowering& l = o.l;
  const int32_t x = o.in(0), w = o.in(1);
  Moves m = moves_of(o, true, dilation_field);
  const Picture p = picture(o, x, m);
  const ValueId weight = prepared_weight(o, w, use);
  const TensorType xt = l.b().type(p.value), wt = l.b().type(weight);
  if (!wt.is_static()) o.fail("its weight is " + to_string(wt));
  m.kernel = {wt.dims[2].value(), wt.dims[3].value()};
  AttributeMap a = window(o, m, xt);
  if (p.pads) a["pads"] = *p.pads;
  const int64_t per_group = wt.dims[1].value();
  const Dim& channels = xt.dims[1];
  if (!channels.known() || per_group < 1 || channels.value() % per_group != 0)
    o.fail("its weight takes " + std::to_string(per_group) + " channels, the operand is " +
           to_string(xt));
  if (channels.value() != per_group) a["group"] = channels.value() / per_group;
  Values operands = {p.value, weight};
  if (const ValueId bias = prepared_bias(o, o.maybe(2), x, w, wt.dims[0].value()); bias != kNoValue)
    operands.push_back(bias);
  const ValueId y = l.op("Conv", operands, a);
  l.set_real(o.out(), activated(o, y, o.options().scalar<int8_t>(activation_field, 0)),
             Form::kChannelsFirst);
}

}  // namespace

void conv_2d(const Operator& o) { convolution(o, WeightUse::kConv, 3, 4); }

void depthwise_conv_2d(const Operator& o) { convolution(o, WeightUse::kDepthwise, 4, 5); }

// The gradient of a convolution: the first operand is the shape of its result.
void transpose_conv(const Operator& o) {
  Lowering& l = o.l;
  const auto shape = l.ints(o.in(0), "the shape of its result");
  const int32_t w = o.in(1), x = o.in(2);
  Moves m = moves_of(o, false, 0);
  const ValueId weight = prepared_weight(o, w, WeightUse::kTransposed);
  const ValueId value = l.real(x, Form::kChannelsFirst);
  const TensorType xt = l.b().type(value), wt = l.b().type(weight);
  if (shape.size() != 4 || !wt.is_static() || !xt.dims[2].known() || !xt.dims[3].known())
    o.fail("its result is " + to_string(shape) + ", its weight " + to_string(wt) +
           ", its operand " + to_string(xt));
  std::vector<int64_t> pads(4, 0), more(2, 0);
  for (size_t i = 0; i < 2; ++i) {
    constexpr int64_t kMost = int64_t{1} << 30;
    const int64_t kernel = wt.dims[i + 2].value(), in = xt.dims[i + 2].value(), want = shape[i + 1];
    if (m.strides[i] > kMost || in > kMost || want < 0 || want > kMost)
      o.fail("its result is " + to_string(shape));
    const int64_t full = (in - 1) * m.strides[i] + kernel, cut = std::max<int64_t>(0, full - want);
    pads[i] = cut / 2;
    pads[i + 2] = cut - cut / 2;
    more[i] = std::max<int64_t>(0, want - full);
  }
  AttributeMap a = {{"strides", m.strides}};
  if (pads != std::vector<int64_t>(4, 0)) a["pads"] = pads;
  if (more != std::vector<int64_t>(2, 0)) a["output_padding"] = more;
  Values operands = {value, weight};
  const ValueId bias = prepared_bias(o, o.maybe(3), x, w, wt.dims[1].value());
  if (bias != kNoValue) operands.push_back(bias);
  const ValueId y = l.op("ConvTranspose", operands, a);
  l.set_real(o.out(), activated(o, y, o.options().scalar<int8_t>(3, 0)), Form::kChannelsFirst);
}

// y = x w' + b over the last axis; x is read as a matrix of rows as long as w's.
void fully_connected(const Operator& o) {
  Lowering& l = o.l;
  const int32_t x = o.in(0), w = o.in(1);
  if (const auto format = o.options().scalar<int8_t>(1, 0); format != 0)
    o.refuse("stores its weight shuffled", "convert the model for no particular processor");
  const ValueId weight = prepared_weight(o, w, WeightUse::kMatrix);
  const TensorType wt = l.b().type(weight);
  if (wt.rank() != 2 || !wt.is_static()) o.fail("its weight is " + to_string(wt) + ", no matrix");
  Dims lead = l.dims(x);
  if (lead.empty()) o.fail("its operand is a single number");
  ValueId rows = l.in_file_order(x);
  const bool matrix = lead.size() == 2 && lead[1] == wt.dims[1];
  if (!matrix) rows = l.reshaped(rows, {Dim::unknown(), wt.dims[1]});
  lead.pop_back();
  const ValueId real = l.quantised(x) ? l.dequantised(rows, x) : rows;
  Values operands = {real, weight};
  const ValueId bias = prepared_bias(o, o.maybe(2), x, w, wt.dims[0].value());
  if (bias != kNoValue) operands.push_back(bias);
  ValueId y = l.op("Gemm", operands, {{"transB", int64_t{1}}});
  y = l.coded(activated(o, y, o.options().scalar<int8_t>(0, 0)), o.out());
  if (o.options().boolean(2) && lead.size() != 1) {
    lead.push_back(wt.dims[0]);
    y = l.reshaped(y, lead);
  }
  l.set_stored(o.out(), y);
}

void batch_matmul(const Operator& o) {
  Lowering& l = o.l;
  const auto side = [&](size_t i) {
    const ValueId v = l.real(o.in(i));
    const int64_t rank = l.b().type(v).rank();
    if (!o.options().boolean(int(i))) return v;
    if (rank < 2) o.fail("an operand is " + to_string(l.b().type(v)));
    std::vector<int64_t> swapped;
    for (int64_t axis = 0; axis < rank; ++axis) swapped.push_back(axis);
    std::swap(swapped[size_t(rank) - 1], swapped[size_t(rank) - 2]);
    return l.transposed(v, swapped);
  };
  const ValueId a = side(0), b = side(1);
  l.set_real(o.out(), l.op("MatMul", {a, b}));
}

void pool(const Operator& o) {
  constexpr int kMaxPool = 17;
  Lowering& l = o.l;
  const bool max = o.info.code == kMaxPool;
  const FlatTable& f = o.options();
  Moves m = moves_of(o, false, 0);
  m.kernel = {f.scalar<int32_t>(4, 0), f.scalar<int32_t>(3, 0)};
  for (int64_t k : m.kernel)
    if (k < 1) o.fail("has a window of " + to_string(m.kernel));
  const int activation = f.scalar<int8_t>(5, 0);
  // The largest of integers is the largest of what they stand for.
  const DType type = element_type(l.info(o.in(0)).type, o.where);
  const bool integers = max && activation == 0 && l.same_coding(o.in(0), o.out()) &&
                        (type == DType::i8 || type == DType::u8);
  const ValueId x =
      integers ? l.stored(o.in(0), Form::kChannelsFirst) : l.real(o.in(0), Form::kChannelsFirst);
  const TensorType& xt = l.b().type(x);
  AttributeMap a = window(o, m, xt);
  const bool whole = xt.dims[2].is(m.kernel[0]) && xt.dims[3].is(m.kernel[1]) && !integers &&
                     !a.contains("auto_pad") && !a.contains("pads") &&
                     (!m.same || (m.strides[0] >= m.kernel[0] && m.strides[1] >= m.kernel[1]));
  if (!whole) a["kernel_shape"] = m.kernel;
  const std::string name = std::string(whole ? "Global" : "") + (max ? "MaxPool" : "AveragePool");
  ValueId y = l.op(name, {x}, whole ? AttributeMap{} : a);
  if (integers) return l.set_stored(o.out(), y, Form::kChannelsFirst);
  l.set_real(o.out(), activated(o, y, activation), Form::kChannelsFirst);
}

}  // namespace espalier::tflite
