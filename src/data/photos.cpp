#include "data/photos.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/rng.h"

namespace espalier {
namespace {

constexpr int kOctaves = 6;
constexpr int kShapes = 12;
constexpr double kGrain = 2.5;  // deviation, in levels of 255

double smooth(double t) { return t * t * (3 - 2 * t); }

/// One octave of value noise: random numbers on a grid of `cells` across the width, in between
/// smoothly interpolated. Adds `weight` times it to `field`.
void add_octave(const Rng& rng, int cells, double weight, int width, int height,
                std::vector<float>& field) {
  const int rows = std::max(1, cells * height / width), stride = cells + 2;
  std::vector<float> grid(size_t(stride) * size_t(rows + 2));
  for (size_t i = 0; i < grid.size(); ++i) grid[i] = float(rng.uniform(i, -1, 1));
  for (int y = 0; y < height; ++y) {
    const double v = double(y) * rows / height;
    const int row = int(v);
    const double down = smooth(v - row);
    for (int x = 0; x < width; ++x) {
      const double u = double(x) * cells / width;
      const int column = int(u);
      const double right = smooth(u - column);
      const float* at = &grid[size_t(row) * size_t(stride) + size_t(column)];
      const double top = at[0] + right * (at[1] - at[0]);
      const double bottom = at[stride] + right * (at[stride + 1] - at[stride]);
      field[size_t(y) * size_t(width) + size_t(x)] += float(weight * (top + down * (bottom - top)));
    }
  }
}

/// Each octave twice as fine and a little more than half as strong, as in natural scenes.
std::vector<float> texture(const Rng& rng, int width, int height) {
  std::vector<float> field(size_t(width) * size_t(height));
  double weight = 1;
  for (int octave = 0, cells = 4; octave < kOctaves && cells < width; ++octave, cells *= 2) {
    add_octave(rng.fork(uint64_t(octave)), cells, weight, width, height, field);
    weight *= 0.55;
  }
  return field;
}

/// An ellipse, in widths and heights of the picture.
struct Ellipse {
  double x, y, across, down, cosine, sine;
  double color[3];

  bool holds(double u, double v) const {
    const double dx = u - x, dy = v - y;
    const double a = (cosine * dx + sine * dy) / across, b = (cosine * dy - sine * dx) / down;
    return a * a + b * b < 1;
  }
};

std::vector<Ellipse> ellipses_of(const Rng& rng) {
  std::vector<Ellipse> ellipses;
  for (uint64_t i = 0; i < kShapes; ++i) {
    const Rng r = rng.fork(i);
    const double turn = r.uniform(4, 0, 3.14159265);
    Ellipse e{r.uniform(0),
              r.uniform(1),
              r.uniform(2, 0.03, 0.25),
              r.uniform(3, 0.03, 0.25),
              std::cos(turn),
              std::sin(turn),
              {}};
    for (uint64_t c = 0; c < 3; ++c) e.color[c] = r.uniform(5 + c, 20, 235);
    ellipses.push_back(e);
  }
  return ellipses;
}

}  // namespace

Image draw_photo(uint64_t seed, int64_t index, int width, int height) {
  ESP_CHECK(width > 0 && height > 0, "pictures have at least one pixel");
  const Rng rng = Rng(seed, stream_of("photos")).fork(uint64_t(index));
  const std::vector<float> light = texture(rng.fork(1), width, height);
  const std::vector<float> tint = texture(rng.fork(2), width, height);
  const std::vector<Ellipse> ellipses = ellipses_of(rng.fork(3));
  const Rng grain = rng.fork(4), ground = rng.fork(5);
  double base[3], slope[3];
  for (uint64_t c = 0; c < 3; ++c) {
    base[c] = ground.uniform(2 * c, 40, 200);
    slope[c] = ground.uniform(2 * c + 1, -80, 80);
  }
  Image image{width, height, 3, std::vector<uint8_t>(size_t(width) * size_t(height) * 3)};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const size_t p = size_t(y) * size_t(width) + size_t(x);
      const double u = double(x) / width, v = double(y) / height;
      double color[3];
      for (size_t c = 0; c < 3; ++c) color[c] = base[c] + slope[c] * (u - v);
      for (const Ellipse& e : ellipses)
        if (e.holds(u, v)) std::copy_n(e.color, 3, color);
      const double sway[3] = {12.0 * tint[p], 0, -12.0 * tint[p]};
      for (size_t c = 0; c < 3; ++c) {
        const double value =
            color[c] + 30.0 * light[p] + sway[c] + kGrain * grain.normal(3 * p + c);
        image.pixels[3 * p + c] = uint8_t(std::lround(std::clamp(value, 0.0, 255.0)));
      }
    }
  return image;
}

}  // namespace espalier
