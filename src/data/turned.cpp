#include "data/turned.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "data/wrapped.h"

namespace espalier {
namespace {

class Turned : public WrappedDataset {
 public:
  Turned(std::shared_ptr<const Dataset> of, double degrees)
      : WrappedDataset(std::move(of)),
        shape_(of_->picture_shape()),
        cos_(std::cos(degrees * std::numbers::pi / 180)),
        sin_(std::sin(degrees * std::numbers::pi / 180)) {
    if (shape_.channels == 0)
      throw bad_input(of_->description(), "holds no pictures that could be turned");
    description_ = of_->description() + ", turned by " + std::to_string(int(degrees)) + " degrees";
  }

  void read(int64_t index, float* sample) const override {
    std::vector<float> upright(size_t(numel(sample_shape())));
    of_->read(index, upright.data());
    const bool planes = shape_.layout == PictureLayout::nchw;
    const int64_t h = shape_.height, w = shape_.width, pixels = h * w;
    const int64_t step = planes ? 1 : shape_.channels, plane = planes ? pixels : 1;
    const double middle_y = double(h - 1) / 2, middle_x = double(w - 1) / 2;
    for (int64_t y = 0; y < h; ++y)
      for (int64_t x = 0; x < w; ++x) {
        const double dy = double(y) - middle_y, dx = double(x) - middle_x;
        const double from_x = std::clamp(middle_x + cos_ * dx - sin_ * dy, 0.0, double(w - 1));
        const double from_y = std::clamp(middle_y + sin_ * dx + cos_ * dy, 0.0, double(h - 1));
        const auto x0 = int64_t(from_x), y0 = int64_t(from_y);
        const int64_t x1 = std::min(x0 + 1, w - 1), y1 = std::min(y0 + 1, h - 1);
        const double right = from_x - double(x0), below = from_y - double(y0);
        for (int64_t c = 0; c < shape_.channels; ++c) {
          const auto at = [&](int64_t row, int64_t column) {
            return double(upright[size_t(c * plane + (row * w + column) * step)]);
          };
          const double above = at(y0, x0) * (1 - right) + at(y0, x1) * right;
          const double under = at(y1, x0) * (1 - right) + at(y1, x1) * right;
          sample[c * plane + (y * w + x) * step] = float(above * (1 - below) + under * below);
        }
      }
  }

 private:
  PictureShape shape_;
  double cos_, sin_;
};

}  // namespace

std::shared_ptr<const Dataset> turned(std::shared_ptr<const Dataset> pictures, double degrees) {
  return std::make_shared<Turned>(std::move(pictures), degrees);
}

}  // namespace espalier
