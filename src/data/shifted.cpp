#include "data/shifted.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/rng.h"
#include "data/wrapped.h"

namespace espalier {
namespace {

/// A data set whose pictures are made from another's.
class Derived : public WrappedDataset {
 public:
  Derived(std::shared_ptr<const Dataset> of, std::string what)
      : WrappedDataset(std::move(of)), shape_(of_->picture_shape()) {
    if (shape_.channels == 0) throw bad_input(of_->description(), "holds no pictures");
    description_ = of_->description() + ", " + what;
    std::vector<float> first(size_t(numel(of_->sample_shape())));
    if (of_->size() > 0) of_->read(0, first.data());
    const auto [low, high] = std::minmax_element(first.begin(), first.end());
    if (!first.empty() && (*low < -1e-5f || *high > 1 + 1e-5f))
      throw bad_input(of_->description(), "holds pixels that do not lie between 0 and 1",
                      "read it with normalize: unit");
  }

 protected:
  PictureShape shape_;  ///< of the pictures it is made from
};

std::string percent(double part) { return std::to_string(int(std::lround(100 * part))) + " %"; }

class OnColouredGround : public Derived {
 public:
  OnColouredGround(std::shared_ptr<const Dataset> of, double agreement, uint64_t seed)
      : Derived(std::move(of), "on a ground that agrees with " + percent(agreement)),
        agreement_(agreement),
        rng_(seed, stream_of("coloured ground")) {
    if (of_->classes() < 2)
      throw bad_input(of_->description(), "a coloured ground needs pictures with class labels");
    sample_ = shape_.layout == PictureLayout::nchw ? Shape{3, shape_.height, shape_.width}
                                                   : Shape{shape_.height, shape_.width, 3};
  }
  const Shape& sample_shape() const override { return sample_; }

  void read(int64_t index, float* sample) const override {
    const int64_t pixels = shape_.height * shape_.width;
    std::vector<float> given(static_cast<size_t>(pixels * shape_.channels));
    of_->read(index, given.data());
    const std::array<float, 3> ground = hue(colour(index));
    const bool planes = shape_.layout == PictureLayout::nchw;
    std::vector<float> grey(static_cast<size_t>(pixels), 0);
    for (int64_t i = 0; i < pixels; ++i)
      for (int64_t c = 0; c < shape_.channels; ++c)
        grey[size_t(i)] += given[size_t(planes ? c * pixels + i : shape_.channels * i + c)] /
                           float(shape_.channels);
    for (int64_t i = 0; i < pixels; ++i)
      for (int64_t c = 0; c < 3; ++c)
        sample[planes ? c * pixels + i : 3 * i + c] =
            grey[size_t(i)] + (1 - grey[size_t(i)]) * ground[size_t(c)];
  }

 private:
  int64_t colour(int64_t index) const {
    const int64_t own = of_->targets().int_at(index), n = of_->classes();
    const Rng draw = rng_.fork(uint64_t(index));
    if (draw.uniform(0) < agreement_) return own;
    return (own + 1 + int64_t(draw.below(1, uint64_t(n - 1)))) % n;
  }
  /// Full colours around the circle, half as bright as white.
  std::array<float, 3> hue(int64_t colour) const {
    std::array<float, 3> rgb;
    for (int c = 0; c < 3; ++c) {
      const double turn = double(colour) / double(of_->classes()) + double(c) / 3;
      const double from_peak = 6 * std::abs(turn - std::floor(turn) - 0.5);
      rgb[size_t(c)] = float(0.6 * std::clamp(from_peak - 1, 0.0, 1.0));
    }
    return rgb;
  }

  double agreement_;
  Rng rng_;
  Shape sample_;
};

class Corrupted : public Derived {
 public:
  Corrupted(std::shared_ptr<const Dataset> of, Corruption corruption, double severity,
            uint64_t seed)
      : Derived(std::move(of), corruption_names()[size_t(corruption)]),
        corruption_(corruption),
        severity_(severity),
        rng_(seed, stream_of("corruption")) {}

  void read(int64_t index, float* sample) const override {
    of_->read(index, sample);
    const int64_t n = numel(sample_shape());
    if (corruption_ == Corruption::kNoise) {
      const Rng draw = rng_.fork(uint64_t(index));
      for (int64_t i = 0; i < n; ++i) sample[i] += float(severity_ * draw.normal(uint64_t(i)));
    }
    const bool planes = shape_.layout == PictureLayout::nchw;
    const int64_t pixels = shape_.height * shape_.width;
    for (int64_t c = 0; c < shape_.channels; ++c) {
      float* first = sample + (planes ? c * pixels : c);
      const int64_t step = planes ? 1 : shape_.channels;
      if (corruption_ == Corruption::kContrast) fade(first, step);
      if (corruption_ == Corruption::kBlur && severity_ > 0) blur(first, step);
    }
    for (int64_t i = 0; i < n; ++i) sample[i] = std::clamp(sample[i], 0.0f, 1.0f);
  }

 private:
  void fade(float* plane, int64_t step) const {
    const int64_t pixels = shape_.height * shape_.width;
    double mean = 0;
    for (int64_t i = 0; i < pixels; ++i) mean += double(plane[i * step]) / double(pixels);
    for (int64_t i = 0; i < pixels; ++i)
      plane[i * step] = float(mean + (1 - severity_) * (double(plane[i * step]) - mean));
  }

  /// One axis after the other.
  void blur(float* plane, int64_t step) const {
    const auto reach = int64_t(std::ceil(3 * severity_));
    std::vector<double> window;
    double sum = 0;
    for (int64_t k = -reach; k <= reach; ++k) {
      window.push_back(std::exp(-double(k * k) / (2 * severity_ * severity_)));
      sum += window.back();
    }
    const int64_t h = shape_.height, w = shape_.width;
    std::vector<float> line(size_t(std::max(h, w)));
    const auto along = [&](int64_t lines, int64_t between, int64_t length, int64_t stride) {
      for (int64_t l = 0; l < lines; ++l) {
        float* at = plane + l * between;
        for (int64_t i = 0; i < length; ++i) {
          double total = 0;
          for (int64_t k = -reach; k <= reach; ++k)
            total += window[size_t(k + reach)] *
                     double(at[std::clamp<int64_t>(i + k, 0, length - 1) * stride]);
          line[size_t(i)] = float(total / sum);
        }
        for (int64_t i = 0; i < length; ++i) at[i * stride] = line[size_t(i)];
      }
    };
    along(h, w * step, w, step);
    along(w, step, h, w * step);
  }

  Corruption corruption_;
  double severity_;
  Rng rng_;
};

class InTurn : public Dataset {
 public:
  explicit InTurn(std::vector<SamplesOf> parts) : parts_(std::move(parts)) {
    ESP_CHECK(!parts_.empty(), "nothing to put in turn");
    const Dataset& first = *parts_[0].data;
    for (const SamplesOf& p : parts_) {
      ESP_CHECK(p.data->sample_shape() == first.sample_shape() &&
                    p.data->target_type() == first.target_type() &&
                    p.data->target_shape() == first.target_shape(),
                "samples in turn are of one kind");
      for (int64_t row : p.rows) places_.emplace_back(p.data.get(), row);
      description_ += (description_.empty() ? "" : "; ") + std::to_string(p.rows.size()) + " of " +
                      p.data->description();
    }
    Shape shape = {size()};
    const Shape one = first.target_shape();
    shape.insert(shape.end(), one.begin(), one.end());
    targets_ = Tensor(first.target_type(), shape);
    const size_t width = size_t(numel(one)) * size_of(first.target_type());
    auto* to = static_cast<char*>(targets_.mutable_raw());
    for (size_t i = 0; i < places_.size(); ++i)
      std::memcpy(to + i * width,
                  static_cast<const char*>(places_[i].first->targets().raw()) +
                      size_t(places_[i].second) * width,
                  width);
  }

  int64_t size() const override { return int64_t(places_.size()); }
  const Shape& sample_shape() const override { return parts_[0].data->sample_shape(); }
  int64_t classes() const override { return parts_[0].data->classes(); }
  const std::vector<std::string>& class_names() const override {
    return parts_[0].data->class_names();
  }
  const Tensor& targets() const override { return targets_; }
  const Normalization& normalization() const override { return parts_[0].data->normalization(); }
  PictureLayout layout() const override { return parts_[0].data->layout(); }
  const std::string& description() const override { return description_; }
  void read(int64_t index, float* sample) const override {
    places_[size_t(index)].first->read(places_[size_t(index)].second, sample);
  }

 private:
  std::vector<SamplesOf> parts_;
  std::vector<std::pair<const Dataset*, int64_t>> places_;
  Tensor targets_;
  std::string description_;
};

}  // namespace

std::shared_ptr<const Dataset> in_turn(std::vector<SamplesOf> parts) {
  return std::make_shared<InTurn>(std::move(parts));
}

std::shared_ptr<const Dataset> on_coloured_ground(std::shared_ptr<const Dataset> pictures,
                                                  double agreement, uint64_t seed) {
  return std::make_shared<OnColouredGround>(std::move(pictures), agreement, seed);
}

const std::vector<std::string>& corruption_names() {
  static const std::vector<std::string> names = {"none", "noise", "blur", "contrast"};
  return names;
}

std::shared_ptr<const Dataset> corrupted(std::shared_ptr<const Dataset> pictures,
                                         Corruption corruption, double severity, uint64_t seed) {
  return std::make_shared<Corrupted>(std::move(pictures), corruption, severity, seed);
}

}  // namespace espalier
