// Windows that slide over the spatial axes of [batch, channel, spatial...] tensors: the geometry of
// convolutions and pools in one to three dimensions (ONNX: kernel_shape, strides, dilations, pads,
// auto_pad, ceil_mode), and the one loop their references are written with.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ir/room.h"

namespace espalier::ops {

/// The attributes as files give them, one entry for each spatial axis. Empty lists stand for the
/// defaults: strides and dilations 1, pads 0, kernel_shape the weight's.
struct Window {
  std::vector<int64_t> kernel_shape = {};
  std::vector<int64_t> strides = {};
  std::vector<int64_t> dilations = {};
  std::vector<int64_t> pads = {};  ///< all begins, then all ends
  std::string auto_pad = "NOTSET";
};

/// The fields of the Window that A derives from, then `more`.
template <class A>
std::vector<Field> window_fields(bool kernel_required, bool dilations, std::vector<Field> more) {
  using List = std::vector<int64_t>;
  const auto own = [](auto Window::*member) {
    using T = std::remove_cvref_t<decltype(std::declval<Window>().*member)>;
    return static_cast<T A::*>(member);
  };
  std::vector<Field> fields = {
      Field("kernel_shape", static_cast<List A::*>(&Window::kernel_shape), kernel_required),
      {"strides", own(&Window::strides)},
      {"pads", own(&Window::pads)},
      {"auto_pad", own(&Window::auto_pad)}};
  if (dilations) fields.push_back({"dilations", own(&Window::dilations)});
  for (Field& f : more) fields.push_back(std::move(f));
  return fields;
}

/// One spatial axis with everything a number. Result o reads operand positions
/// o * stride + k * dilation - pad_begin for k in [0, kernel), as far as they lie in [0, in).
struct WindowAxis {
  int64_t in = 1, out = 1;
  int64_t kernel = 1, stride = 1, dilation = 1;
  int64_t pad_begin = 0, pad_end = 0;

  /// Operand positions from the first to the last one a window covers.
  int64_t reach() const { return dilation * (kernel - 1) + 1; }
  int64_t position(int64_t o, int64_t k) const { return o * stride + k * dilation - pad_begin; }
  /// The results [first, last) for which kernel element k lies inside the operand.
  int64_t first(int64_t k) const;
  int64_t last(int64_t k) const;
};

/// A window over three spatial axes; where an operator has fewer, the leading ones have extent 1.
struct Geometry {
  std::array<WindowAxis, 3> axes;
  int64_t in_size() const { return axes[0].in * axes[1].in * axes[2].in; }
  int64_t out_size() const { return axes[0].out * axes[1].out * axes[2].out; }
  int64_t kernel_size() const { return axes[0].kernel * axes[1].kernel * axes[2].kernel; }
};

/// One to three spatial axes behind batch and channel, or UserError.
void require_spatial(const TypesIn& in, size_t operand);
/// Extents after batch and channel.
Dims spatial_dims(const TensorType& type);
Shape spatial_shape(const Shape& shape);

/// The shape that operand i gives, or as many unknown extents as its length says.
Dims dims_operand(const TypesIn& in, size_t i);

/// Refuses lists of wrong length, extents below 1, negative pads and unknown auto_pad.
void check_window(const TypesIn& in, const Window& w, size_t spatial_rank);
/// The result's extents. Symbolic ones are kept where the window keeps extents, unknown otherwise.
/// The window must have been checked; UserError where it does not fit into the padded operand.
Dims window_extents(const TypesIn& in, const Window& w, const Dims& spatial, const Dims& kernel,
                    bool ceil_mode = false);

/// One axis, with auto_pad resolved. ceil_mode rounds the extent up, but no window starts behind
/// the operand.
WindowAxis window_axis(const Window& w, size_t axis, int64_t extent, int64_t kernel,
                       bool ceil_mode = false);
Geometry geometry(const Window& w, const Shape& spatial, const Shape& kernel,
                  bool ceil_mode = false);
/// The same window with every list written out and auto_pad resolved to pads.
Window resolved(const Window& w, const Shape& spatial, const Shape& kernel, bool ceil_mode = false);
/// The same if the extents are numbers, `w` itself otherwise.
Window resolved(const Window& w, const Dims& spatial, const Dims& kernel, bool ceil_mode = false);

/// Calls body(k, y, x, count, step) for every kernel element k (row-major) and every run of results
/// that it reaches: result y + i reads operand element x + i * step, for i in [0, count). Offsets
/// are those within one [spatial...] plane.
template <class Body>
void for_each_overlap(const Geometry& g, Body body) {
  const auto& [d, h, w] = g.axes;
  int64_t k = 0;
  for (int64_t kd = 0; kd < d.kernel; ++kd)
    for (int64_t kh = 0; kh < h.kernel; ++kh)
      for (int64_t kw = 0; kw < w.kernel; ++kw, ++k) {
        const int64_t first = w.first(kw), count = w.last(kw) - first;
        if (count <= 0) continue;
        for (int64_t od = d.first(kd); od < d.last(kd); ++od)
          for (int64_t oh = h.first(kh); oh < h.last(kh); ++oh) {
            const int64_t x_row = (d.position(od, kd) * h.in + h.position(oh, kh)) * w.in;
            body(k, (od * h.out + oh) * w.out + first, x_row + w.position(first, kw), count,
                 w.stride);
          }
      }
}

/// The window as runtime/c/window.h takes it: "{{1, 5, 6}, ...}".
std::string window_in_c(const Geometry& g);
/// For every result of `planes` planes in C: `start`, `each` element inside the operand at its
/// offset in operand 0, `end` at the result's offset.
void emit_windows(CWriter& c, const Geometry& g, int64_t planes, const std::function<void()>& start,
                  const std::function<void(const std::string& at)>& each,
                  const std::function<void(const std::string& at)>& end);

}  // namespace espalier::ops
