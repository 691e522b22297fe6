#include "data/glyphs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "base/progress.h"
#include "base/rng.h"
#include "base/threads.h"
#include "data/cache.h"

namespace espalier {
namespace {

constexpr int kSize = int(kGlyphSize);
constexpr float kHalfSize = kGlyphSize / 2.0f;
constexpr float kPi = std::numbers::pi_v<float>;

// How hard it is. Lengths are in glyph units: a sign spans about [-0.8, 0.8].
constexpr float kMinScale = 0.66f, kMaxScale = 0.95f;
constexpr float kMaxTurn = 0.40f;  // radians
constexpr float kMaxShear = 0.22f;
constexpr float kMaxStretch = 0.16f;  // one axis by 1 + this, the other by its inverse
constexpr float kMaxShift = 0.20f;    // of half the picture
constexpr float kMaxElastic = 0.055f;
constexpr float kMinStroke = 0.85f, kMaxStroke = 1.5f;  // half width in pixels
constexpr float kMinContrast = 0.30f;                   // of luminance, 0 to 1
constexpr float kMinNoise = 0.02f, kMaxNoise = 0.09f;   // deviation, 0 to 1
constexpr int kMaxMarks = 4;
constexpr float kMarkDistance = 0.85f;  // of the picture's half size: outside most signs

struct Point {
  float x, y;
};

/// A stroke from a to b, or an arc around `center` that reaches `half` radians to both sides of the
/// direction `middle` (0 is right, pi / 2 is down).
struct Stroke {
  bool arc;
  Point a, b;
  float radius, sin_middle, cos_middle, sin_half, cos_half;
};

Stroke line(float x0, float y0, float x1, float y1) { return {false, {x0, y0}, {x1, y1}}; }
Stroke arc(float x, float y, float radius, float middle, float half) {
  return {true,           {x, y},        {0, 0}, radius, std::sin(middle), std::cos(middle),
          std::sin(half), std::cos(half)};
}
// A little less than a full turn, so that rounding leaves no ray outside.
Stroke circle(float x, float y, float radius) { return arc(x, y, radius, 0, 0.9999f * kPi); }
Stroke dot(float x, float y) { return line(x - 0.04f, y, x + 0.04f, y); }

/// Distance from p to the middle of the stroke.
float distance(const Stroke& s, Point p) {
  if (!s.arc) {
    const float dx = s.b.x - s.a.x, dy = s.b.y - s.a.y;
    const float px = p.x - s.a.x, py = p.y - s.a.y;
    const float t = std::clamp((px * dx + py * dy) / (dx * dx + dy * dy), 0.0f, 1.0f);
    return std::hypot(px - t * dx, py - t * dy);
  }
  // In the frame where the arc's middle points along +x and the arc is symmetric in y.
  const float rx = p.x - s.a.x, ry = p.y - s.a.y;
  const float x = rx * s.cos_middle + ry * s.sin_middle;
  const float y = std::abs(ry * s.cos_middle - rx * s.sin_middle);
  // cross((cos, sin) half, (x, y)) is positive beyond the arc's end; y >= 0 covers half a turn.
  if (s.cos_half * y - s.sin_half * x <= 0) return std::abs(std::hypot(x, y) - s.radius);
  return std::hypot(x - s.cos_half * s.radius, y - s.sin_half * s.radius);
}

struct Glyph {
  std::string name;
  std::vector<Stroke> strokes;
};

const std::vector<Glyph>& glyphs() {
  constexpr float kRight = 0, kDown = kPi / 2, kUp = -kPi / 2, kHalf = kPi / 2;
  static const std::vector<Glyph> table = {
      {"ring", {circle(0, 0, 0.72f)}},
      {"plus", {line(-0.8f, 0, 0.8f, 0), line(0, -0.8f, 0, 0.8f)}},
      {"triangle",
       {line(0, -0.8f, 0.82f, 0.65f), line(0.82f, 0.65f, -0.82f, 0.65f),
        line(-0.82f, 0.65f, 0, -0.8f)}},
      {"tee", {line(-0.75f, -0.7f, 0.75f, -0.7f), line(0, -0.7f, 0, 0.8f)}},
      {"corner", {line(-0.5f, -0.8f, -0.5f, 0.7f), line(-0.5f, 0.7f, 0.65f, 0.7f)}},
      {"zigzag",
       {line(-0.65f, -0.7f, 0.65f, -0.7f), line(0.65f, -0.7f, -0.65f, 0.7f),
        line(-0.65f, 0.7f, 0.65f, 0.7f)}},
      {"comb",
       {line(-0.55f, -0.78f, -0.55f, 0.78f), line(-0.55f, -0.78f, 0.6f, -0.78f),
        line(-0.55f, 0, 0.6f, 0), line(-0.55f, 0.78f, 0.6f, 0.78f)}},
      {"gate",
       {line(-0.6f, -0.8f, -0.6f, 0.8f), line(0.6f, -0.8f, 0.6f, 0.8f), line(-0.6f, 0, 0.6f, 0)}},
      {"spiral",
       {arc(0, 0, 0.22f, kUp, kHalf), arc(-0.2f, 0, 0.42f, kDown, kHalf),
        arc(0, 0, 0.62f, kUp, kHalf), arc(-0.18f, 0, 0.8f, kDown, kHalf)}},
      {"hourglass",
       {line(-0.6f, -0.75f, 0.6f, -0.75f), line(-0.6f, 0.75f, 0.6f, 0.75f),
        line(-0.6f, -0.75f, 0.6f, 0.75f), line(0.6f, -0.75f, -0.6f, 0.75f)}},
      {"eight", {circle(0, -0.42f, 0.37f), circle(0, 0.4f, 0.44f)}},
      {"flag",
       {line(-0.45f, -0.8f, -0.45f, 0.8f), line(-0.45f, -0.8f, 0.1f, -0.8f),
        arc(0.1f, -0.38f, 0.42f, kRight, kHalf), line(0.1f, 0.04f, -0.45f, 0.04f)}},
      {"cup",
       {line(-0.6f, -0.8f, -0.6f, 0.15f), arc(0, 0.15f, 0.6f, kDown, kHalf),
        line(0.6f, 0.15f, 0.6f, -0.8f)}},
      {"equals", {line(-0.7f, -0.35f, 0.7f, -0.35f), line(-0.7f, 0.35f, 0.7f, 0.35f)}},
      {"bars",
       {line(-0.6f, -0.7f, -0.6f, 0.7f), line(0, -0.7f, 0, 0.7f), line(0.6f, -0.7f, 0.6f, 0.7f)}},
      {"star",
       {line(0, -0.8f, 0, 0.8f), line(-0.7f, -0.4f, 0.7f, 0.4f), line(-0.7f, 0.4f, 0.7f, -0.4f)}},
      {"target", {circle(0, 0, 0.76f), dot(-0.1f, 0), dot(0.1f, 0), dot(0, -0.1f), dot(0, 0.1f)}},
      {"fork",
       {arc(0, -0.3f, 0.6f, kDown, kHalf), line(-0.6f, -0.3f, -0.6f, -0.75f),
        line(0.6f, -0.3f, 0.6f, -0.75f), line(0, -0.75f, 0, 0.85f)}},
      {"kay",
       {line(-0.5f, -0.8f, -0.5f, 0.8f), line(-0.5f, 0.15f, 0.6f, -0.8f),
        line(-0.12f, -0.15f, 0.65f, 0.8f)}},
      {"phi", {circle(0, 0, 0.5f), line(0, -0.95f, 0, 0.95f)}},
  };
  return table;
}

/// Numbers drawn one after another from one sample's stream.
class Draws {
 public:
  explicit Draws(Rng rng) : rng_(rng) {}
  float uniform(float low, float high) { return float(rng_.uniform(next_++, low, high)); }
  float symmetric(float reach) { return uniform(-reach, reach); }
  int below(int n) { return int(rng_.below(next_++, uint64_t(n))); }

 private:
  Rng rng_;
  uint64_t next_ = 0;
};

/// sin(fx * x + fy * y + phase) over the picture, from tables of one axis each.
class Wave {
 public:
  explicit Wave(Draws& draw) {
    const float fx = draw.symmetric(3.5f), fy = draw.symmetric(3.5f);
    const float phase = draw.uniform(0, 2 * kPi);
    for (int i = 0; i < kSize; ++i) {
      const float at = (float(i) + 0.5f) / kHalfSize - 1;
      sin_x_[size_t(i)] = std::sin(fx * at);
      cos_x_[size_t(i)] = std::cos(fx * at);
      sin_y_[size_t(i)] = std::sin(fy * at + phase);
      cos_y_[size_t(i)] = std::cos(fy * at + phase);
    }
  }
  float at(size_t x, size_t y) const { return sin_x_[x] * cos_y_[y] + cos_x_[x] * sin_y_[y]; }

 private:
  std::array<float, kGlyphSize> sin_x_, cos_x_, sin_y_, cos_y_;
};

/// From picture coordinates in [-1, 1] to glyph coordinates.
class Distortion {
 public:
  explicit Distortion(Draws& draw)
      : scale_(draw.uniform(kMinScale, kMaxScale)),
        shift_{draw.symmetric(kMaxShift), draw.symmetric(kMaxShift)},
        waves_{Wave(draw), Wave(draw), Wave(draw), Wave(draw)} {
    const float turn = draw.symmetric(kMaxTurn), shear = draw.symmetric(kMaxShear);
    const float stretch = 1 + draw.symmetric(kMaxStretch);
    const float c = std::cos(turn) / scale_, s = std::sin(turn) / scale_;
    matrix_[0] = stretch * (c + shear * s);
    matrix_[1] = stretch * (s - shear * c);
    matrix_[2] = -s / stretch;
    matrix_[3] = c / stretch;
    for (float& a : amplitude_) a = draw.symmetric(kMaxElastic);
  }

  Point operator()(int x, int y) const {
    const size_t ix = size_t(x), iy = size_t(y);
    const float px = (float(x) + 0.5f) / kHalfSize - 1 - shift_.x;
    const float py = (float(y) + 0.5f) / kHalfSize - 1 - shift_.y;
    return {matrix_[0] * px + matrix_[1] * py + amplitude_[0] * waves_[0].at(ix, iy) +
                amplitude_[1] * waves_[1].at(ix, iy),
            matrix_[2] * px + matrix_[3] * py + amplitude_[2] * waves_[2].at(ix, iy) +
                amplitude_[3] * waves_[3].at(ix, iy)};
  }
  /// Pixels per glyph unit.
  float pixels() const { return scale_ * kHalfSize; }

 private:
  float scale_;
  Point shift_;
  std::array<Wave, 4> waves_;
  std::array<float, 4> matrix_{}, amplitude_{};
};

using Color = std::array<float, kGlyphChannels>;

float luminance(const Color& c) { return 0.299f * c[0] + 0.587f * c[1] + 0.114f * c[2]; }
Color random_color(Draws& draw) {
  return {draw.uniform(0, 1), draw.uniform(0, 1), draw.uniform(0, 1)};
}
Color contrasting_color(Draws& draw, const Color& other) {
  for (int tries = 0; tries < 64; ++tries) {
    const Color color = random_color(draw);
    if (std::abs(luminance(color) - luminance(other)) >= kMinContrast) return color;
  }
  return luminance(other) < 0.5f ? Color{1, 1, 1} : Color{0, 0, 0};
}

/// A short stroke near the border, in picture coordinates.
struct Mark {
  Stroke stroke;
  Color color;
};
Mark random_mark(Draws& draw) {
  // A place on the border of a square of half side kMarkDistance to 1.
  const float along = draw.symmetric(1), out = draw.uniform(kMarkDistance, 1);
  const int side = draw.below(4);
  const Point at =
      side < 2 ? Point{along, side == 0 ? -out : out} : Point{side == 2 ? -out : out, along};
  const float turn = draw.uniform(0, 2 * kPi), length = draw.uniform(0.04f, 0.14f);
  const float dx = length * std::cos(turn), dy = length * std::sin(turn);
  return {line(at.x - dx, at.y - dy, at.x + dx, at.y + dy), random_color(draw)};
}

/// Nearly normal numbers of deviation 1: four bytes each, summed and centred. Irwin-Hall of four is
/// plenty for noise, and a 128-bit block yields four of them.
class Noise {
 public:
  explicit Noise(Rng rng) : rng_(rng) {}
  float next() {
    if (used_ == 4) {
      block_ = rng_.block(index_++);
      used_ = 0;
    }
    const uint32_t b = block_[used_++];
    const int sum = int(b & 255) + int(b >> 8 & 255) + int(b >> 16 & 255) + int(b >> 24);
    constexpr float kDeviation = 147.8f;  // of the sum of four uniform bytes
    return (float(sum) - 510.0f) / kDeviation;
  }

 private:
  Rng rng_;
  std::array<uint32_t, 4> block_{};
  uint64_t index_ = 0;
  size_t used_ = 4;
};

/// How much of a pixel lies under a stroke whose middle is `distance` pixels away.
float coverage(float distance, float half_width) {
  return std::clamp(half_width - distance + 0.5f, 0.0f, 1.0f);
}
void blend(Color& pixel, const Color& over, float amount) {
  for (size_t c = 0; c < pixel.size(); ++c) pixel[c] += amount * (over[c] - pixel[c]);
}

}  // namespace

const std::vector<std::string>& glyph_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Glyph& g : glyphs()) list.push_back(g.name);
    ESP_CHECK(int64_t(list.size()) == kGlyphClasses, "one glyph per class");
    return list;
  }();
  return names;
}

void draw_glyph(uint64_t seed, Split split, int64_t index, uint8_t* pixels) {
  ESP_CHECK(split == Split::train || split == Split::test, "glyphs are drawn for train or test");
  const Rng rng = Rng(seed, stream_of("glyphs")).fork(uint64_t(split)).fork(uint64_t(index));
  Draws draw(rng);
  const std::vector<Stroke>& strokes = glyphs()[size_t(glyph_label(index))].strokes;
  const Distortion distort(draw);
  const float half_width = draw.uniform(kMinStroke, kMaxStroke);
  const Color background = random_color(draw);
  const Color ink = contrasting_color(draw, background);
  const Point slope{draw.symmetric(0.1f), draw.symmetric(0.1f)};
  std::vector<Mark> marks;
  for (int n = draw.below(kMaxMarks + 1); n > 0; --n) marks.push_back(random_mark(draw));
  const float noise_deviation = draw.uniform(kMinNoise, kMaxNoise);
  Noise noise(rng.fork(1));

  for (int y = 0; y < kSize; ++y)
    for (int x = 0; x < kSize; ++x) {
      const Point at{(float(x) + 0.5f) / kHalfSize - 1, (float(y) + 0.5f) / kHalfSize - 1};
      Color pixel = background;
      for (float& c : pixel) c += slope.x * at.x + slope.y * at.y;
      for (const Mark& mark : marks)
        blend(pixel, mark.color, coverage(distance(mark.stroke, at) * kHalfSize, 1.0f));
      const Point in_glyph = distort(x, y);
      float nearest = 1e9f;
      for (const Stroke& s : strokes) nearest = std::min(nearest, distance(s, in_glyph));
      blend(pixel, ink, coverage(nearest * distort.pixels(), half_width));
      for (int c = 0; c < int(kGlyphChannels); ++c) {
        const float value = pixel[size_t(c)] + noise_deviation * noise.next();
        pixels[(c * kSize + y) * kSize + x] =
            uint8_t(std::lround(255 * std::clamp(value, 0.0f, 1.0f)));
      }
    }
}

RawData make_glyphs(uint64_t seed, int64_t train, int64_t test) {
  RawData raw;
  raw.train = train;
  raw.test = test;
  raw.classes = kGlyphClasses;
  raw.class_names = glyph_names();
  raw.samples = Tensor(DType::u8, {train + test, kGlyphChannels, kGlyphSize, kGlyphSize});
  raw.targets = Tensor(DType::i64, {train + test});
  auto* pixels = raw.samples.mutable_data<uint8_t>();
  auto* labels = raw.targets.mutable_data<int64_t>();
  constexpr int64_t kPicture = kGlyphChannels * kGlyphSize * kGlyphSize;
  constexpr int64_t kBlock = 256;
  Progress progress("drawing glyphs", train + test, "pictures");
  parallel_chunks((train + test + kBlock - 1) / kBlock, [&](int64_t block) {
    const int64_t end = std::min((block + 1) * kBlock, train + test);
    for (int64_t i = block * kBlock; i < end; ++i) {
      const Split split = i < train ? Split::train : Split::test;
      const int64_t index = i < train ? i : i - train;
      labels[i] = glyph_label(index);
      draw_glyph(seed, split, index, pixels + i * kPicture);
    }
    progress.advance(end - block * kBlock);
  });
  return raw;
}

RawData load_glyphs(const DataSpec& spec) {
  const int64_t samples = spec.int_option("samples", 20000, 1);
  const auto seed = uint64_t(spec.int_option("seed", 1, 0));
  const auto make = [&] { return make_glyphs(seed, samples, std::max<int64_t>(1, samples / 5)); };
  const std::string key =
      "glyphs 1\nsamples " + std::to_string(samples) + " seed " + std::to_string(seed);
  return spec.cache ? cached_data("glyphs", key, make) : make();
}

}  // namespace espalier
