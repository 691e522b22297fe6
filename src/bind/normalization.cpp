// Batch normalisation, and operators over rows: layer normalisation, softmax, cross-entropy, the
// largest element.
#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "bind/attention_form.h"
#include "bind/attribute_reader.h"
#include "bind/contraction.h"
#include "bind/families.h"
#include "bind/region_source.h"
#include "kernels/batch_norm.h"
#include "kernels/rows.h"

namespace espalier::bind {
namespace {

bool lanes(DType t) { return t == DType::f32 || t == DType::bf16; }

Refuse wrong_type(DType t) { return Refuse{"an operand is " + std::string(name_of(t))}; }

kernels::BatchNormShape channel_rows(const Shape& shape, DType type) {
  const int64_t channels = shape[1];
  return {type, channels ? numel(shape) / channels : 0, channels};
}

KernelPtr with_layouts(KernelPtr kernel, std::vector<Layout> operands,
                       std::vector<Layout> results) {
  kernel->operand_layouts = std::move(operands);
  kernel->result_layouts = std::move(results);
  return kernel;
}

constexpr Layout kLast = Layout::kChannelsLast, kPlain = Layout::kPlain;

Bound bind_batch_norm(const BindRequest& r) {
  if (!lanes(r.in_dtype(0))) return wrong_type(r.in_dtype(0));
  for (size_t i = 1; i < 5; ++i)
    if (r.in_dtype(i) != DType::f32) return wrong_type(r.in_dtype(i));
  if (!r.wanted[0]) return Refuse{"the normalised result is not asked for"};
  const AttributeReader a(*r.room, r.attrs);
  const auto shape = channel_rows(r.in_shape(0), r.in_dtype(0));
  const float epsilon = a.get<float>("epsilon", 1e-5f), momentum = a.get<float>("momentum", 0.9f);
  const bool training = a.integer("training_mode", 0) != 0;
  if (shape.rows == 0) return Refuse{"the operand is empty"};
  KernelPtr kernel;
  if (training) {
    kernel = function_kernel(
        "batch_norm", [shape, epsilon, momentum, results = r.out.size()](const KernelArgs& k) {
          const auto out = [&](size_t i) { return i < results ? k.write<float>(i) : nullptr; };
          kernels::batch_norm_forward(
              shape,
              {k.in[0], k.read<float>(1), k.read<float>(2), k.read<float>(3), k.read<float>(4),
               epsilon, momentum, k.out[0], out(1), out(2), out(3), out(4)},
              k.scratch);
        });
    kernel->scratch_bytes = kernels::batch_norm_scratch(shape);
    kernel->in_place = {{1, 3}, {2, 4}, {0, 0}};
  } else {
    kernel = function_kernel("batch_norm inference", [shape, epsilon](const KernelArgs& k) {
      auto* gain = static_cast<float*>(k.scratch);
      float* offset = gain + shape.channels;
      for (int64_t c = 0; c < shape.channels; ++c) {
        const double inv = 1 / std::sqrt(double(k.read<float>(4)[c]) + double(epsilon));
        gain[c] = float(double(k.read<float>(1)[c]) * inv);
        offset[c] = float(double(k.read<float>(2)[c]) -
                          double(k.read<float>(3)[c]) * double(k.read<float>(1)[c]) * inv);
      }
      kernels::scale_channels(shape, k.in[0], gain, offset, k.out[0]);
    });
    kernel->scratch_bytes = size_t(2 * shape.channels) * sizeof(float);
    kernel->in_place = {{0, 0}};
  }
  return with_layouts(kernel, {kLast}, {kLast});
}

/// A region that fuse_batch_norm made.
Bound bind_batch_norm_relu(const BindRequest& r) {
  const Refuse other{"is no batch normalisation with what follows it"};
  const auto body = region_body(r);
  if (!body) return Refuse{"is no region"};
  const Graph& g = *body;
  const auto& order = g.order();
  const Node& norm = g.node(order[0]);
  if (norm.room->full_name() != "BatchNormalization" || order.size() < 2 || order.size() > 3)
    return other;
  const AttributeReader a(*norm.room, norm.attrs);
  const Node &last = g.node(order.back()), &before = g.node(order[order.size() - 2]);
  if (a.integer("training_mode", 0) == 0 || last.room->full_name() != "Relu" ||
      last.inputs[0] != before.outputs[0] || g.outputs()[0] != last.outputs[0])
    return other;
  std::vector<ValueId> operands(norm.inputs.begin(), norm.inputs.end());
  if (order.size() == 3) {
    const ValueId z = norm.outputs[0];
    if (before.room->full_name() != "Add" || std::ranges::count(before.inputs, z) != 1)
      return other;
    operands.push_back(before.inputs[before.inputs[0] == z ? 1 : 0]);
  }
  const Shape x = g.value(operands[0]).tensor().shape();
  const auto shape = channel_rows(x, g.value(operands[0]).tensor().dtype);
  if (!lanes(shape.type)) return wrong_type(shape.type);
  if (shape.rows == 0) return Refuse{"the operand is empty"};
  std::vector<int> from;
  for (size_t i = 0; i < operands.size(); ++i) {
    const TensorType& t = g.value(operands[i]).tensor();
    if (i > 0 && t.dtype != DType::f32) return wrong_type(t.dtype);
    if (i > 4 && (shape.type != DType::f32 || t.shape() != x))
      return Refuse{"the residual is not like the operand"};
    from.push_back(region_source(g, operands[i]).operand);
    if (from.back() < 0) return Refuse{"an operand is a constant"};
  }
  std::array<int, 5> to{};  // by result of the normalisation
  to.fill(-1);
  for (size_t i = 1; i < g.outputs().size(); ++i) {
    const auto at = std::ranges::find(norm.outputs, g.outputs()[i]) - norm.outputs.begin();
    if (at == 0 || at >= 5) return other;
    to[size_t(at)] = int(i);
  }
  if (!r.wanted[0]) return Refuse{"the result is not asked for"};
  const float epsilon = a.get<float>("epsilon", 1e-5f), momentum = a.get<float>("momentum", 0.9f);
  auto kernel = function_kernel("batch_norm relu", [shape, epsilon, momentum, from,
                                                    to](const KernelArgs& k) {
    const auto in = [&](size_t i) { return k.read<float>(size_t(from[i])); };
    const auto out = [&](size_t i) { return to[i] < 0 ? nullptr : k.write<float>(size_t(to[i])); };
    kernels::batch_norm_forward(
        shape,
        {k.in[from[0]], in(1), in(2), in(3), in(4), epsilon, momentum, k.out[0], out(1), out(2),
         out(3), out(4), from.size() > 5 ? k.in[from[5]] : nullptr, true},
        k.scratch);
  });
  kernel->scratch_bytes = kernels::batch_norm_scratch(shape);
  kernel->in_place = {{0, from[0]}};
  if (from.size() > 5) kernel->in_place.emplace_back(0, from[5]);
  for (size_t i = 1; i < 3; ++i)
    if (to[i] >= 0) kernel->in_place.emplace_back(to[i], from[i + 2]);
  std::vector<Layout> layouts(r.in.size(), kPlain);
  layouts[size_t(from[0])] = kLast;
  if (from.size() > 5) layouts[size_t(from[5])] = kLast;
  return with_layouts(kernel, std::move(layouts), {kLast});
}

Bound bind_batch_norm_grad(const BindRequest& r) {
  if (!lanes(r.in_dtype(0))) return wrong_type(r.in_dtype(0));
  for (size_t i = 2; i < 5; ++i)
    if (r.in_dtype(i) != DType::f32) return wrong_type(r.in_dtype(i));
  const auto shape = channel_rows(r.in_shape(0), r.in_dtype(0));
  if (shape.rows == 0) return Refuse{"the operand is empty"};
  const size_t results = r.out.size();
  auto kernel = function_kernel("batch_norm_grad", [shape, results](const KernelArgs& k) {
    kernels::batch_norm_backward(
        shape,
        {k.in[0], k.in[1], k.read<float>(2), k.read<float>(3), k.read<float>(4), k.out[0],
         results > 1 ? k.write<float>(1) : nullptr, results > 2 ? k.write<float>(2) : nullptr},
        k.scratch);
  });
  kernel->scratch_bytes = kernels::batch_norm_scratch(shape);
  kernel->in_place = {{0, 1}};
  return with_layouts(kernel, {kLast, kLast}, {kLast});
}

std::variant<kernels::RowsShape, Refuse> last_axis_rows(const BindRequest& r, int64_t axis,
                                                        bool from_axis_on) {
  if (!lanes(r.in_dtype(0))) return wrong_type(r.in_dtype(0));
  const Shape shape = r.in_shape(0);
  const int64_t rank = int64_t(shape.size());
  const int64_t at = axis < 0 ? axis + rank : axis;
  const int64_t inner = product(shape, size_t(at) + 1, shape.size());
  if (!from_axis_on && inner != 1) return Refuse{"the axis is not the innermost"};
  const int64_t columns = shape[size_t(at)] * inner;
  if (columns == 0) return Refuse{"the axis is empty"};
  return kernels::RowsShape{r.in_dtype(0), product(shape, 0, size_t(at)), columns};
}

template <void (*run)(const kernels::RowsShape&, const void*, void*)>
Bound bind_softmax(const BindRequest& r) {
  const AttributeReader a(*r.room, r.attrs);
  const auto shape = last_axis_rows(r, a.integer("axis", -1), false);
  if (auto* no = std::get_if<Refuse>(&shape)) return *no;
  auto kernel = function_kernel("softmax", [s = std::get<kernels::RowsShape>(shape)](
                                               const KernelArgs& k) { run(s, k.in[0], k.out[0]); });
  kernel->in_place = {{0, 0}};
  return kernel;
}

Bound bind_layer_norm(const BindRequest& r) {
  const AttributeReader a(*r.room, r.attrs);
  const auto shape = last_axis_rows(r, a.integer("axis", -1), true);
  if (auto* no = std::get_if<Refuse>(&shape)) return *no;
  const auto s = std::get<kernels::RowsShape>(shape);
  for (size_t i = 1; i < r.in.size(); ++i)
    if (r.in.has(i) && (!lanes(r.in_dtype(i)) || r.in[i].numel() != s.columns))
      return Refuse{"scale or bias is not f32 or bf16 of the normalised axes"};
  for (size_t i = 1; i < r.out.size(); ++i)
    if (r.wanted[i] && r.out_dtype(i) != DType::f32) return wrong_type(r.out_dtype(i));
  if (!r.wanted[0]) return Refuse{"the normalised result is not asked for"};
  const float epsilon = a.get<float>("epsilon", 1e-5f);
  const bool bias = r.in.has(2), wide = r.in_dtype(1) == DType::f32;
  auto kernel = function_kernel(
      "layer_norm", [s, epsilon, bias, wide, results = r.out.size()](const KernelArgs& k) {
        const auto f32 = [&](size_t i) {
          if (wide) return k.read<float>(i);
          float* to = static_cast<float*>(k.scratch) + (int64_t(i) - 1) * s.columns;
          const auto* from = k.read<bfloat16>(i);
          for (int64_t c = 0; c < s.columns; ++c) to[c] = float(from[c]);
          return static_cast<const float*>(to);
        };
        kernels::layer_norm_rows(s, k.in[0], f32(1), bias ? f32(2) : nullptr, epsilon, k.out[0],
                                 results > 1 ? k.write<float>(1) : nullptr,
                                 results > 2 ? k.write<float>(2) : nullptr);
      });
  if (!wide) kernel->scratch_bytes = 2 * size_t(s.columns) * sizeof(float);
  return kernel;
}

/// A layer normalisation and the quantisation of its result, which may be asked for in f32 too.
Bound bind_quantised_norm(const BindRequest& r) {
  const auto body = region_body(r);
  if (!body) return Refuse{"is no region"};
  const Graph& g = *body;
  if (g.order().size() != 2) return Refuse{"is no normalisation and its quantisation"};
  const Node &norm = g.node(g.order()[0]), &store = g.node(g.order()[1]);
  if (norm.room->full_name() != "LayerNormalization" || store.inputs[0] != norm.outputs[0])
    return Refuse{"is no normalisation and its quantisation"};
  const auto to = stored_as(g, g.order()[1]);
  if (!to) return Refuse{"is not quantised to 8 bits with one known scale"};
  const TensorType& x = g.value(norm.inputs[0]).tensor();
  if (x.dtype != DType::f32) return wrong_type(x.dtype);
  const AttributeReader a(*norm.room, norm.attrs);
  const Shape shape = x.shape();
  int64_t axis = a.integer("axis", -1);
  if (axis < 0) axis += int64_t(shape.size());
  const kernels::RowsShape s{DType::f32, product(shape, 0, size_t(axis)),
                             product(shape, size_t(axis), shape.size())};
  if (s.columns == 0) return Refuse{"the axis is empty"};
  RegionSource from[3];
  for (size_t i = 0; i < norm.inputs.size(); ++i) {
    if (norm.inputs[i] == kNoValue) continue;
    const TensorType& t = g.value(norm.inputs[i]).tensor();
    if (i > 0 && (t.dtype != DType::f32 || t.numel() != s.columns))
      return Refuse{"scale or bias is not f32 of the normalised axes"};
    from[i] = region_source(g, norm.inputs[i]);
  }
  if (from[0].operand < 0) return Refuse{"the operand is a constant"};
  int stored = -1, normal = -1;
  for (size_t i = 0; i < g.outputs().size(); ++i) {
    if (!r.wanted[i]) continue;
    (g.outputs()[i] == store.outputs[0] ? stored : normal) = int(i);
    if (g.outputs()[i] != store.outputs[0] && g.outputs()[i] != norm.outputs[0])
      return Refuse{"other results are asked for"};
  }
  if (stored < 0) return Refuse{"the integers are not asked for"};
  const float epsilon = a.get<float>("epsilon", 1e-5f);
  auto kernel =
      function_kernel("layer_norm quantised", [s, from = std::to_array(from), to = *to, epsilon,
                                               stored, normal, body](const KernelArgs& k) {
        const auto f32 = [&](size_t i) { return static_cast<const float*>(from[i].address(k)); };
        kernels::layer_norm_rows_quantised(s, f32(0), f32(1), f32(2), epsilon, to,
                                           k.out[size_t(stored)],
                                           normal < 0 ? nullptr : k.write<float>(size_t(normal)));
      });
  if (normal >= 0) kernel->in_place = {{normal, from[0].operand}};
  return kernel;
}

Bound bind_layer_norm_grad(const BindRequest& r) {
  const AttributeReader a(*r.room, r.attrs);
  const auto shape = last_axis_rows(r, a.integer("axis", -1), true);
  if (auto* no = std::get_if<Refuse>(&shape)) return *no;
  const auto s = std::get<kernels::RowsShape>(shape);
  if (s.rows == 0) return Refuse{"there are no rows"};
  if (r.in_dtype(1) != s.type) return wrong_type(r.in_dtype(1));
  if (!lanes(r.in_dtype(2))) return wrong_type(r.in_dtype(2));
  for (size_t i = 3; i < 5; ++i)
    if (r.in_dtype(i) != DType::f32) return wrong_type(r.in_dtype(i));
  if (!r.wanted[0]) return Refuse{"the gradient of the operand is not asked for"};
  auto kernel = function_kernel("layer_norm_grad", [s, scale = r.in_dtype(2),
                                                    results = r.out.size()](const KernelArgs& k) {
    kernels::layer_norm_grad_rows(s, k.in[0], k.in[1], k.in[2], scale, k.read<float>(3),
                                  k.read<float>(4), k.out[0], results > 1 ? k.out[1] : nullptr,
                                  results > 2 ? k.out[2] : nullptr, static_cast<float*>(k.scratch));
  });
  kernel->scratch_bytes = kernels::layer_norm_grad_scratch(s);
  kernel->in_place = {{0, 0}};
  return kernel;
}

Bound bind_softmax_grad(const BindRequest& r) {
  const AttributeReader a(*r.room, r.attrs);
  const auto shape = last_axis_rows(r, a.integer("axis", -1), false);
  if (auto* no = std::get_if<Refuse>(&shape)) return *no;
  auto kernel = function_kernel("softmax_grad",
                                [s = std::get<kernels::RowsShape>(shape)](const KernelArgs& k) {
                                  kernels::softmax_grad_rows(s, k.in[0], k.in[1], k.out[0]);
                                });
  kernel->in_place = {{0, 1}};
  return kernel;
}

Bound bind_arg_max(const BindRequest& r) {
  const AttributeReader a(*r.room, r.attrs);
  const auto shape = last_axis_rows(r, a.integer("axis", 0), false);
  if (auto* no = std::get_if<Refuse>(&shape)) return *no;
  const auto s = std::get<kernels::RowsShape>(shape);
  if (s.type != DType::f32) return wrong_type(s.type);
  if (a.integer("select_last_index", 0)) return Refuse{"the last of equals is asked for"};
  return function_kernel("arg_max", [s](const KernelArgs& k) {
    kernels::arg_max_rows(s, k.read<float>(0), k.write<int64_t>(0));
  });
}

[[noreturn]] void bad_label(const std::string& where, int64_t row, int64_t label, int64_t classes) {
  throw bad_input(where,
                  "label " + std::to_string(label) + " of row " + std::to_string(row) +
                      " is outside the " + std::to_string(classes) + " classes",
                  "check that the data set and the network's last layer agree");
}

Bound bind_cross_entropy(const BindRequest& r) {
  if (r.in_dtype(0) != DType::f32) return wrong_type(r.in_dtype(0));
  if (r.in_dtype(1) != DType::i64) return wrong_type(r.in_dtype(1));
  const Shape x = r.in_shape(0);
  const kernels::RowsShape s{DType::f32, x[0], x[1]};
  const float smoothing = AttributeReader(*r.room, r.attrs).get<float>("label_smoothing", 0);
  auto kernel = function_kernel("cross_entropy", [s, smoothing, where = r.in.where(),
                                                  results = r.out.size()](const KernelArgs& k) {
    float unused;
    auto* loss = k.write<float>(0) ? k.write<float>(0) : &unused;
    const auto* labels = k.read<int64_t>(1);
    const int64_t bad = kernels::cross_entropy(s, k.read<float>(0), labels, smoothing, loss,
                                               results > 1 ? k.write<float>(1) : nullptr,
                                               static_cast<float*>(k.scratch));
    if (bad >= 0) bad_label(where, bad, labels[bad], s.columns);
  });
  kernel->scratch_bytes = size_t(s.rows * s.columns) * sizeof(float);
  return kernel;
}

Bound bind_cross_entropy_grad(const BindRequest& r) {
  if (r.in_dtype(0) != DType::f32) return wrong_type(r.in_dtype(0));
  if (r.in_dtype(1) != DType::i64) return wrong_type(r.in_dtype(1));
  if (r.in_dtype(2) != DType::f32) return wrong_type(r.in_dtype(2));
  const Shape x = r.in_shape(0);
  const kernels::RowsShape s{DType::f32, x[0], x[1]};
  const float smoothing = AttributeReader(*r.room, r.attrs).get<float>("label_smoothing", 0);
  return function_kernel(
      "cross_entropy_grad", [s, smoothing, where = r.in.where()](const KernelArgs& k) {
        const auto* labels = k.read<int64_t>(1);
        const int64_t bad = kernels::cross_entropy_grad(s, k.read<float>(0), labels, smoothing,
                                                        k.read<float>(2)[0], k.write<float>(0));
        if (bad >= 0) bad_label(where, bad, labels[bad], s.columns);
      });
}

}  // namespace

Entries normalization_entries() {
  return {{"BatchNormalization", {"batch_norm", bind_batch_norm}},
          {"espalier.Fused", {"batch_norm relu", bind_batch_norm_relu}},
          {"espalier.BatchNormGrad", {"batch_norm_grad", bind_batch_norm_grad}},
          {"Softmax", {"softmax", bind_softmax<kernels::softmax_rows>}},
          {"LogSoftmax", {"softmax", bind_softmax<kernels::log_softmax_rows>}},
          {"LayerNormalization", {"layer_norm", bind_layer_norm}},
          {"espalier.Fused", {"layer_norm quantised", bind_quantised_norm}},
          {"espalier.SoftmaxGrad", {"softmax_grad", bind_softmax_grad}},
          {"espalier.LayerNormGrad", {"layer_norm_grad", bind_layer_norm_grad}},
          {"ArgMax", {"arg_max", bind_arg_max}},
          {"espalier.CrossEntropy", {"cross_entropy", bind_cross_entropy}},
          {"espalier.CrossEntropyGrad", {"cross_entropy_grad", bind_cross_entropy_grad}}};
}

}  // namespace espalier::bind
