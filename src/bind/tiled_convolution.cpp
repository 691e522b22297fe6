// Transposed convolutions whose windows stand side by side (kernel = stride, as in U-Nets): every
// element of x makes a tile of y by itself, so that a convolution by a kernel of one element gives
// all tiles, and laying them out gives y. It runs on integers where that convolution does.
#include <algorithm>
#include <cstring>

#include "bind/attribute_reader.h"
#include "bind/convolution.h"
#include "bind/families.h"
#include "ir/registry.h"
#include "kernels/transpose.h"

namespace espalier::bind {
namespace {

struct Tiling {
  int64_t batch = 0, channels = 0;
  Shape spatial, tile;
  int64_t positions() const { return numel(tile); }
};

std::variant<Tiling, Refuse> tiling_of(const Contraction& c) {
  const AttributeReader a(*c.room, c.attrs);
  const Shape x = c[0].type.shape(), w = c[1].type.shape(), y = c.result.shape();
  if (a.integer("group", 1) != 1) return Refuse{"it has groups"};
  Tiling t{x[0], w[1], Shape(x.begin() + 2, x.end()), Shape(w.begin() + 2, w.end())};
  if (a.list("strides", t.tile.size(), 1) != t.tile) return Refuse{"its windows overlap or gape"};
  const auto dilations = a.list("dilations", t.tile.size(), 1);
  const auto pads = a.list("pads", 2 * t.tile.size(), 0);
  const bool padded = std::ranges::any_of(pads, [](int64_t p) { return p != 0; });
  for (size_t i = 0; i < t.tile.size(); ++i)
    if ((dilations[i] != 1 && t.tile[i] != 1) || y[i + 2] != t.spatial[i] * t.tile[i])
      return Refuse{"its windows overlap or gape"};
  if (padded || !a.list("output_shape", 0, 0).empty()) return Refuse{"it is padded"};
  return t;
}

/// Constants of the convolution by one element, whose channels are [tile…, channels of y].
Tensor weight_of_tiles(const Tensor& w, const Tiling& t) {
  const int64_t in = w.shape()[0], out = t.channels, positions = t.positions();
  Shape shape(t.tile.size() + 2, 1);
  shape[0] = positions * out;
  shape[1] = in;
  Tensor moved(w.dtype(), shape);
  const size_t size = size_of(w.dtype());
  const auto* from = static_cast<const std::byte*>(w.raw());
  auto* to = static_cast<std::byte*>(moved.mutable_raw());
  for (int64_t p = 0; p < positions; ++p)
    for (int64_t o = 0; o < out; ++o)
      for (int64_t i = 0; i < in; ++i)
        std::memcpy(to + size_t((p * out + o) * in + i) * size,
                    from + size_t((i * out + o) * positions + p) * size, size);
  return moved;
}

template <class T>
void repeat(std::vector<T>& per_channel, int64_t times) {
  if (per_channel.size() < 2) return;
  const std::vector<T> once = per_channel;
  for (int64_t i = 1; i < times; ++i)
    per_channel.insert(per_channel.end(), once.begin(), once.end());
}

Tensor bias_of_tiles(const Tensor& b, const Tiling& t) {
  Tensor repeated(b.dtype(), {t.positions() * b.size()});
  for (int64_t p = 0; p < t.positions(); ++p)
    std::memcpy(static_cast<std::byte*>(repeated.mutable_raw()) + size_t(p) * b.bytes(), b.raw(),
                b.bytes());
  return repeated;
}

void take(ContractionOperand& operand, const Tensor& constant, const Tiling& t) {
  operand.constant = &constant;
  operand.type = TensorType(constant.dtype(), constant.shape());
  if (!operand.quant) return;
  repeat(operand.quant->scales, t.positions());
  repeat(operand.quant->zero_points, t.positions());
  operand.quant->axis = 0;
}

/// y as it is read from tiles [batch, spatial…, tile…, channels] that stand one after the other.
struct Laying {
  Shape shape;
  std::vector<int64_t> strides;

  explicit Laying(const Tiling& t) {
    const size_t n = t.spatial.size();
    Shape tiles = {t.batch};
    tiles.insert(tiles.end(), t.spatial.begin(), t.spatial.end());
    tiles.insert(tiles.end(), t.tile.begin(), t.tile.end());
    tiles.push_back(t.channels);
    const auto own = strides_of(tiles);
    shape = {t.batch};
    strides = {own[0]};
    for (size_t d = 0; d < n; ++d) {
      shape.insert(shape.end(), {t.spatial[d], t.tile[d]});
      strides.insert(strides.end(), {own[1 + d], own[1 + n + d]});
    }
    // The channels of a tile's last axis lie side by side in both.
    shape.back() *= t.channels;
    strides.back() = 1;
  }
};

class TilesLaunch : public Launch {
 public:
  TilesLaunch(const Laying& laying, size_t element, size_t tiles_at,
              std::unique_ptr<kernels::PrimitiveCall> call)
      : laying_(laying), element_(element), tiles_at_(tiles_at), call_(std::move(call)) {}
  void place(std::span<const void* const> operands, std::span<void* const> results,
             void* scratch) override {
    tiles_ = static_cast<std::byte*>(scratch) + tiles_at_;
    y_ = results[0];
    call_->place(operands, {&tiles_, 1}, scratch);
  }
  void run() override {
    call_->run();
    kernels::copy_strided(tiles_, y_, laying_.shape, laying_.strides, element_);
  }

 private:
  const Laying& laying_;
  size_t element_, tiles_at_;
  std::unique_ptr<kernels::PrimitiveCall> call_;
  void *tiles_ = nullptr, *y_ = nullptr;
};

class TilesKernel : public Kernel {
 public:
  TilesKernel(const Tiling& t, DType type, std::shared_ptr<const kernels::PrimitiveSequence> s)
      : laying_(t), element_(size_of(type)), sequence_(std::move(s)) {
    tiles_at_ = (sequence_->scratch_bytes() + 63) / 64 * 64;
    scratch_bytes = tiles_at_ + size_t(numel(laying_.shape)) * element_;
    packed_bytes = sequence_->kept_bytes();
    name = "tiled conv " + sequence_->implementation();
  }
  std::unique_ptr<Launch> launch() const override {
    return std::make_unique<TilesLaunch>(laying_, element_, tiles_at_, sequence_->call());
  }

 private:
  Laying laying_;
  size_t element_, tiles_at_;
  std::shared_ptr<const kernels::PrimitiveSequence> sequence_;
};

}  // namespace

Bound bind_tiled_convolution(const BindRequest& r) {
  auto parsed = contraction_of(r);
  if (auto* no = std::get_if<Refuse>(&parsed)) return *no;
  const Contraction& c = std::get<Contraction>(parsed);
  if (c.room->full_name() != "ConvTranspose")
    return Refuse{"the region is around " + c.room->op.name};
  if (!c[1].constant || (c.has(2) && !c[2].constant))
    return Refuse{"weight or bias are not known at compile time"};
  for (const ContractionStep& step : c.steps)
    if (step.residual) return Refuse{"a residual is added"};
  const auto tiling = tiling_of(c);
  if (auto* no = std::get_if<Refuse>(&tiling)) return *no;
  const auto& t = std::get<Tiling>(tiling);
  if (numel(c[0].type.shape()) == 0 || c[1].constant->size() == 0)
    return Refuse{"a tensor is empty"};

  Contraction by_one = c;
  by_one.room = find_room("Conv");
  by_one.attrs = by_one.room->parse({}, r.in.where());
  const Tensor weight = weight_of_tiles(*c[1].constant, t);
  Tensor bias;
  take(*by_one.operands[1], weight, t);
  if (c.has(2)) take(*by_one.operands[2], bias = bias_of_tiles(*c[2].constant, t), t);
  Shape tiles = {t.batch, weight.shape()[0]};
  tiles.insert(tiles.end(), t.spatial.begin(), t.spatial.end());
  by_one.result = TensorType(c.result.dtype, tiles);
  const auto request = convolution_of(std::move(by_one));
  if (const auto* no = std::get_if<Refuse>(&request)) return *no;
  if (const auto no = saturating_sums(std::get<ConvolutionRequest>(request).contraction))
    return *no;
  auto prepared = kernels::prepare_convolution(std::get<ConvolutionRequest>(request).spec);
  if (!prepared.sequence) return Refuse{prepared.refusal};
  auto kernel = std::make_shared<TilesKernel>(t, r.out_dtype(0), std::move(prepared.sequence));
  set_channels_last(*kernel, r, c);
  return KernelPtr(std::move(kernel));
}

}  // namespace espalier::bind
