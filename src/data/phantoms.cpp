#include "data/phantoms.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "base/threads.h"
#include "data/cache.h"

namespace espalier {
namespace {

enum Label : int64_t { kGround, kOrgan, kBone, kLesion };

// Lengths are in halves of the volume's edge, densities in parts of what a byte can say.
constexpr float kAir = 0.08f;
constexpr float kLeastBody = 0.42f, kMostBody = 0.5f;
constexpr float kLeastContrast = 0.14f, kMostContrast = 0.22f;  // of an organ over the body
constexpr float kLeastBone = 0.75f, kMostBone = 0.9f;
constexpr float kMostDrift = 0.04f;  // from the middle to a face
constexpr float kLeastNoise = 0.03f, kMostNoise = 0.06f;
constexpr int kParts = 2;  // a voxel's density is the mean of so many points along each axis
constexpr int64_t kMostSize = 256;

using Vector = std::array<float, 3>;

float dot(const Vector& a, const Vector& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

/// |axes (at - center)| <= 1.
struct Ellipsoid {
  Vector center;
  std::array<Vector, 3> axes;  ///< directions, each divided by the semi-axis along it
  float density = 0;
  Label label = kGround;

  bool holds(const Vector& at) const {
    const Vector d = {at[0] - center[0], at[1] - center[1], at[2] - center[2]};
    float square = 0;
    for (const Vector& axis : axes) square += dot(axis, d) * dot(axis, d);
    return square <= 1;
  }
};

/// Draws one after another.
class Draws {
 public:
  explicit Draws(const Rng& rng) : rng_(rng) {}
  float uniform(float lo, float hi) { return float(rng_.uniform(next_++, lo, hi)); }
  int between(int lo, int hi) { return lo + int(rng_.below(next_++, uint64_t(hi - lo + 1))); }
  float normal() { return float(rng_.normal(next_++)); }
  Vector vector(float reach) {
    return {uniform(-reach, reach), uniform(-reach, reach), uniform(-reach, reach)};
  }

 private:
  Rng rng_;
  uint64_t next_ = 0;
};

/// Three directions at right angles, all of them equally likely: a unit quaternion's.
std::array<Vector, 3> directions(Draws& draw) {
  float q[4], norm = 0;
  for (float& v : q) {
    v = draw.normal();
    norm += v * v;
  }
  norm = std::sqrt(norm);
  for (float& v : q) v /= norm;
  const auto [w, x, y, z] = q;
  return {{{1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)},
           {2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)},
           {2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)}}};
}

Vector semi_axes(Draws& draw, float lo, float hi) {
  return {draw.uniform(lo, hi), draw.uniform(lo, hi), draw.uniform(lo, hi)};
}

/// At most one draw a statement, or in braces: the order of arguments is the compiler's.
class Body {
 public:
  explicit Body(Draws& draw) : draw_(draw) {
    const float body = draw.uniform(kLeastBody, kMostBody);
    const Vector middle = draw.vector(0.05f);
    add(middle, semi_axes(draw, 0.8f, 0.98f), body, kGround);
    for (int n = draw.between(1, 2); n > 0; --n) {
      const Vector center = draw.vector(0.5f), lengths = semi_axes(draw, 0.15f, 0.3f);
      add(center, lengths, kAir + draw.uniform(0, 0.1f), kGround);
    }
    std::vector<Vector> centers;
    for (int n = draw.between(2, 3); n > 0; --n) {
      centers.push_back(draw.vector(0.45f));
      const Vector lengths = semi_axes(draw, 0.35f, 0.55f);
      add(centers.back(), lengths, body + draw.uniform(kLeastContrast, kMostContrast), kOrgan);
    }
    for (Vector at : centers) {
      for (float& v : at) v += draw.uniform(-0.1f, 0.1f);
      const Vector lengths = semi_axes(draw, 0.16f, 0.28f);
      add(at, lengths, body + draw.uniform(-0.03f, 0.03f), kLesion);
    }
    for (int n = draw.between(1, 3); n > 0; --n) {
      const Vector center = draw.vector(0.6f);
      Vector lengths = semi_axes(draw, 0.12f, 0.22f);
      lengths[0] = draw.uniform(0.4f, 0.8f);
      add(center, lengths, draw.uniform(kLeastBone, kMostBone), kBone);
    }
  }

  /// The later ones lie over the earlier ones.
  const std::vector<Ellipsoid>& parts() const { return parts_; }

 private:
  void add(const Vector& center, const Vector& lengths, float density, Label label) {
    Ellipsoid e{center, directions(draw_), density, label};
    for (size_t i = 0; i < 3; ++i)
      for (float& v : e.axes[i]) v /= lengths[i];
    parts_.push_back(e);
  }

  Draws& draw_;
  std::vector<Ellipsoid> parts_;
};

/// The last that holds the point, or null in air.
const Ellipsoid* at_point(const std::vector<Ellipsoid>& all, const Vector& at) {
  for (size_t i = all.size(); i-- > 0;)
    if (all[i].holds(at)) return &all[i];
  return nullptr;
}

float mean_density(const std::vector<Ellipsoid>& all, const Vector& middle, float voxel) {
  float sum = 0;
  for (int k = 0; k < kParts * kParts * kParts; ++k) {
    Vector at = middle;
    for (int i = 0, rest = k; i < 3; ++i, rest /= kParts)
      at[size_t(i)] += voxel * ((float(rest % kParts) + 0.5f) / kParts - 0.5f);
    const Ellipsoid* e = at_point(all, at);
    sum += e ? e->density : kAir;
  }
  return sum / (kParts * kParts * kParts);
}

}  // namespace

const std::vector<std::string>& phantom_names() {
  static const std::vector<std::string> names = {"ground", "organ", "bone", "lesion"};
  return names;
}

void draw_phantom(uint64_t seed, Split split, int64_t index, int64_t size, uint8_t* voxels,
                  int64_t* labels) {
  ESP_CHECK(split == Split::train || split == Split::test, "phantoms are drawn for train or test");
  const Rng rng = Rng(seed, stream_of("phantoms")).fork(uint64_t(split)).fork(uint64_t(index));
  Draws draw(rng);
  const std::vector<Ellipsoid> all = Body(draw).parts();
  const Vector drift = draw.vector(kMostDrift);
  const float deviation = draw.uniform(kLeastNoise, kMostNoise);
  const Rng noise = rng.fork(1);
  const float voxel = 2 / float(size);
  int64_t i = 0;
  for (int64_t z = 0; z < size; ++z)
    for (int64_t y = 0; y < size; ++y)
      for (int64_t x = 0; x < size; ++x, ++i) {
        const Vector at = {(float(x) + 0.5f) * voxel - 1, (float(y) + 0.5f) * voxel - 1,
                           (float(z) + 0.5f) * voxel - 1};
        const Ellipsoid* e = at_point(all, at);
        labels[i] = e ? e->label : kGround;
        const float density = mean_density(all, at, voxel) + dot(drift, at) +
                              deviation * float(noise.normal(uint64_t(i)));
        voxels[i] = uint8_t(std::lround(255 * std::clamp(density, 0.0f, 1.0f)));
      }
}

RawData make_phantoms(uint64_t seed, int64_t size, int64_t train, int64_t test) {
  RawData raw;
  raw.train = train;
  raw.test = test;
  raw.class_names = phantom_names();
  raw.classes = int64_t(raw.class_names.size());
  raw.samples = Tensor(DType::u8, {train + test, 1, size, size, size});
  raw.targets = Tensor(DType::i64, {train + test, size, size, size});
  auto* voxels = raw.samples.mutable_data<uint8_t>();
  auto* labels = raw.targets.mutable_data<int64_t>();
  const int64_t each = size * size * size;
  parallel_chunks(train + test, [&](int64_t i) {
    draw_phantom(seed, i < train ? Split::train : Split::test, i < train ? i : i - train, size,
                 voxels + i * each, labels + i * each);
  });
  return raw;
}

RawData load_phantoms(const DataSpec& spec) {
  const int64_t samples = spec.int_option("samples", 200, 1);
  const int64_t size = spec.int_option("size", 24, 4);
  if (size > kMostSize)
    throw usage_error("size=" + std::to_string(size),
                      "is more than " + std::to_string(kMostSize) + " voxels along an edge");
  const auto seed = uint64_t(spec.int_option("seed", 1, 0));
  const auto make = [&] {
    return make_phantoms(seed, size, samples, std::max<int64_t>(1, samples / 5));
  };
  const std::string key = "phantoms 1\nsamples " + std::to_string(samples) + " size " +
                          std::to_string(size) + " seed " + std::to_string(seed);
  return spec.cache ? cached_data("phantoms", key, make) : make();
}

}  // namespace espalier
