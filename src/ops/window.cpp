#include "ops/window.h"

#include <algorithm>

#include "ops/emit.h"

namespace espalier::ops {
namespace {

// Far above any real window; keeps the arithmetic below inside int64.
constexpr int64_t kLargest = int64_t{1} << 30;

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
int64_t ceil_div(int64_t a, int64_t b) { return -floor_div(-a, b); }

int64_t entry(const std::vector<int64_t>& list, size_t i, int64_t otherwise) {
  return list.empty() ? otherwise : list[i];
}

void check_list(const TypesIn& in, const char* name, const std::vector<int64_t>& list,
                size_t length, int64_t least) {
  if (list.empty()) return;
  if (list.size() != length)
    in.fail(std::string(name) + " has " + std::to_string(list.size()) + " entries, " +
            std::to_string(length) + " are needed");
  for (int64_t v : list)
    if (v < least || v > kLargest)
      in.fail(std::string(name) + " " + to_string(list) + " has an entry out of range",
              "entries must be at least " + std::to_string(least));
}

}  // namespace

int64_t WindowAxis::first(int64_t k) const {
  return std::clamp<int64_t>(ceil_div(pad_begin - k * dilation, stride), 0, out);
}
int64_t WindowAxis::last(int64_t k) const {
  return std::clamp<int64_t>(ceil_div(in + pad_begin - k * dilation, stride), 0, out);
}

void require_spatial(const TypesIn& in, size_t operand) {
  if (in[operand].rank() < 3 || in[operand].rank() > 5)
    in.fail("operand " + std::to_string(operand) + " is " + to_string(in[operand]),
            "one to three spatial axes must follow batch and channel");
}

Dims spatial_dims(const TensorType& type) { return Dims(type.dims.begin() + 2, type.dims.end()); }
Shape spatial_shape(const Shape& shape) { return Shape(shape.begin() + 2, shape.end()); }

Dims dims_operand(const TypesIn& in, size_t i) {
  const auto shape = list_of(in, i);
  if (!shape) return Dims(size_t(list_length(in, i)), Dim::unknown());
  for (int64_t d : *shape)
    if (d < 0) in.fail("the shape " + to_string(*shape) + " has a negative extent");
  return Dims(shape->begin(), shape->end());
}

void check_window(const TypesIn& in, const Window& w, size_t spatial_rank) {
  check_list(in, "kernel_shape", w.kernel_shape, spatial_rank, 1);
  check_list(in, "strides", w.strides, spatial_rank, 1);
  check_list(in, "dilations", w.dilations, spatial_rank, 1);
  check_list(in, "pads", w.pads, 2 * spatial_rank, 0);
  if (w.auto_pad != "NOTSET" && w.auto_pad != "VALID" && w.auto_pad != "SAME_UPPER" &&
      w.auto_pad != "SAME_LOWER")
    in.fail("auto_pad '" + w.auto_pad + "' is not known",
            "known: NOTSET, VALID, SAME_UPPER, SAME_LOWER");
}

WindowAxis window_axis(const Window& w, size_t axis, int64_t extent, int64_t kernel,
                       bool ceil_mode) {
  WindowAxis a{.in = extent,
               .kernel = kernel,
               .stride = entry(w.strides, axis, 1),
               .dilation = entry(w.dilations, axis, 1)};
  if (w.auto_pad.starts_with("SAME")) {
    a.out = ceil_div(extent, a.stride);
    const int64_t total = std::max<int64_t>(0, (a.out - 1) * a.stride + a.reach() - extent);
    a.pad_begin = w.auto_pad == "SAME_LOWER" ? total - total / 2 : total / 2;
    a.pad_end = total - a.pad_begin;
    return a;
  }
  if (w.auto_pad == "NOTSET" && !w.pads.empty()) {
    a.pad_begin = w.pads[axis];
    a.pad_end = w.pads[w.pads.size() / 2 + axis];
  }
  const int64_t room = extent + a.pad_begin + a.pad_end - a.reach();
  a.out = (ceil_mode ? ceil_div(room, a.stride) : floor_div(room, a.stride)) + 1;
  if (ceil_mode && (a.out - 1) * a.stride >= extent + a.pad_begin) --a.out;
  a.out = std::max<int64_t>(0, a.out);
  return a;
}

Geometry geometry(const Window& w, const Shape& spatial, const Shape& kernel, bool ceil_mode) {
  Geometry g;
  const size_t lead = g.axes.size() - spatial.size();
  for (size_t i = 0; i < spatial.size(); ++i)
    g.axes[lead + i] = window_axis(w, i, spatial[i], kernel[i], ceil_mode);
  return g;
}

Window resolved(const Window& w, const Shape& spatial, const Shape& kernel, bool ceil_mode) {
  Window r;
  r.kernel_shape = kernel;
  for (size_t i = 0; i < spatial.size(); ++i) {
    const WindowAxis a = window_axis(w, i, spatial[i], kernel[i], ceil_mode);
    r.strides.push_back(a.stride);
    r.dilations.push_back(a.dilation);
    r.pads.insert(r.pads.begin() + int64_t(i), a.pad_begin);
    r.pads.push_back(a.pad_end);
  }
  return r;
}

Window resolved(const Window& w, const Dims& spatial, const Dims& kernel, bool ceil_mode) {
  const TensorType s(DType::f32, spatial), k(DType::f32, kernel);
  return s.is_static() && k.is_static() ? resolved(w, s.shape(), k.shape(), ceil_mode) : w;
}

namespace {

Dim window_extent(const TypesIn& in, const Window& w, size_t axis, const Dim& extent,
                  const Dim& kernel, bool ceil_mode) {
  if (kernel.is(0)) in.fail("the window is empty along spatial axis " + std::to_string(axis));
  if (extent.known() && kernel.known()) {
    const WindowAxis a = window_axis(w, axis, extent.value(), kernel.value(), ceil_mode);
    if (a.out >= 1 || extent.is(0)) return Dim(a.out);
    in.fail("a window of " + std::to_string(a.reach()) + " does not fit into " +
            std::to_string(a.in + a.pad_begin + a.pad_end) + " positions along spatial axis " +
            std::to_string(axis));
  }
  if (entry(w.strides, axis, 1) != 1) return Dim::unknown();
  if (w.auto_pad.starts_with("SAME")) return extent;
  if (!kernel.known()) return Dim::unknown();
  // With stride 1 an extent that is kept is kept whatever it is: look at one that is large enough.
  const int64_t probe = 4 * kLargest + kernel.value() * entry(w.dilations, axis, 1);
  const WindowAxis a = window_axis(w, axis, probe, kernel.value(), ceil_mode);
  return a.out == probe ? extent : Dim::unknown();
}

}  // namespace

Dims window_extents(const TypesIn& in, const Window& w, const Dims& spatial, const Dims& kernel,
                    bool ceil_mode) {
  Dims out;
  for (size_t i = 0; i < spatial.size(); ++i)
    out.push_back(window_extent(in, w, i, spatial[i], kernel[i], ceil_mode));
  return out;
}

std::string window_in_c(const Geometry& g) {
  const auto field = [&](int64_t WindowAxis::*member) {
    std::string text;
    for (const WindowAxis& axis : g.axes)
      text += (text.empty() ? "{" : ", ") + std::to_string(axis.*member);
    return text + "}";
  };
  return "{" + field(&WindowAxis::in) + ", " + field(&WindowAxis::out) + ", " +
         field(&WindowAxis::kernel) + ", " + field(&WindowAxis::stride) + ", " +
         field(&WindowAxis::dilation) + ", " + field(&WindowAxis::pad_begin) + "}";
}

void emit_windows(CWriter& c, const Geometry& g, int64_t planes, const std::function<void()>& start,
                  const std::function<void(const std::string& at)>& each,
                  const std::function<void(const std::string& at)>& end) {
  if (planes * g.out_size() == 0) return;
  std::string to = times("p", g.out_size()), from = times("p", g.in_size());
  const auto steps = [&](int64_t WindowAxis::*extent, size_t axis) {
    int64_t step = 1;
    for (size_t i = axis + 1; i < g.axes.size(); ++i) step *= g.axes[i].*extent;
    return step;
  };
  const auto name = [](const char* letter, size_t axis) { return letter + std::to_string(axis); };
  const auto trivial = [&](size_t axis) {
    const WindowAxis& w = g.axes[axis];
    return w.in == 1 && w.out == 1 && w.kernel == 1 && w.pad_begin == 0;
  };
  std::function<void(size_t)> over_kernel = [&](size_t axis) {
    if (axis == g.axes.size()) return each(from);
    if (trivial(axis)) return over_kernel(axis + 1);
    const WindowAxis& w = g.axes[axis];
    const std::string k = name("k", axis), a = name("a", axis);
    c.block(for_loop(k, w.kernel), [&] {
      std::string at = plus(times(name("o", axis), w.stride), times(k, w.dilation));
      if (w.pad_begin > 0) at += " - " + std::to_string(w.pad_begin);
      c.line("const int " + a + " = " + at + ";");
      if (w.position(w.out - 1, w.kernel - 1) >= w.in || w.pad_begin > 0)
        c.line("if (" + a + " < 0 || " + a + " >= " + std::to_string(w.in) + ") continue;");
      const std::string outside = from;
      from = plus(from, times(a, steps(&WindowAxis::in, axis)));
      over_kernel(axis + 1);
      from = outside;
    });
  };
  std::function<void(size_t)> over_results = [&](size_t axis) {
    if (axis == g.axes.size()) {
      start();
      over_kernel(0);
      return end(to);
    }
    if (trivial(axis)) return over_results(axis + 1);
    const std::string o = name("o", axis);
    c.block(for_loop(o, g.axes[axis].out), [&] {
      to = plus(to, times(o, steps(&WindowAxis::out, axis)));
      over_results(axis + 1);
    });
  };
  c.block(for_loop("p", planes), [&] { over_results(0); });
}

}  // namespace espalier::ops
