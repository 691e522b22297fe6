#include "formats/picture_stream.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "formats/image_codecs.h"

namespace espalier {
namespace {

/// Adds up the time between its marks.
class Stopwatch {
 public:
  explicit Stopwatch(bool runs) : runs_(runs) {
    if (runs_) last_ = Clock::now();
  }
  void mark(double& spent) {
    if (!runs_) return;
    const auto now = Clock::now();
    spent += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  using Clock = std::chrono::steady_clock;
  bool runs_;
  Clock::time_point last_;
};

/// Rows of means over k x k pixels; blocks at the right and lower edge have what is left.
class BlockMeans {
 public:
  BlockMeans(RowReader& reader, int k)
      : reader_(reader), k_(k), row_(size_t(reader.width()) * size_t(reader.channels())) {}

  int width() const { return (reader_.width() + k_ - 1) / k_; }
  int height() const { return (reader_.height() + k_ - 1) / k_; }

  void read(uint8_t* out) {
    if (k_ == 1) return reader_.read(out);
    const int channels = reader_.channels(), lines = std::min(k_, reader_.height() - read_);
    sums_.assign(size_t(width()) * size_t(channels), 0);
    for (int line = 0; line < lines; ++line, ++read_) {
      reader_.read(row_.data());
      add(channels);
    }
    for (int x = 0; x < width(); ++x) {
      const auto count = uint32_t(lines * std::min(k_, reader_.width() - x * k_));
      for (int c = 0; c < channels; ++c) {
        const size_t i = size_t(x * channels + c);
        out[i] = uint8_t((sums_[i] + count / 2) / count);
      }
    }
  }

 private:
  void add(int channels) {
    const uint8_t* in = row_.data();
    for (int x = 0; x < reader_.width(); ++x)
      for (int c = 0; c < channels; ++c) sums_[size_t(x / k_ * channels + c)] += *in++;
  }

  RowReader& reader_;
  const int k_;
  int read_ = 0;
  std::vector<uint8_t> row_;
  std::vector<uint32_t> sums_;
};

/// Bilinear interpolation along rows and between two of them, in the arithmetic of resize_image.
class RowResizer {
 public:
  /// `extent`: the picture's width in pixels of the rows given; a little less than `from` where the
  /// last one stands for fewer pixels of the file than the others.
  RowResizer(int from, double extent, int to, int channels)
      : columns_(resize_taps(from, extent, to)), channels_(channels) {
    for (auto& row : across_) row.resize(size_t(to) * size_t(channels));
    result_.resize(size_t(to) * size_t(channels));
  }

  bool holds(int y) const { return held_[0] == y || held_[1] == y; }
  /// Row `y`, in the place of the row above which `keep` lies.
  void take(int y, int keep, const uint8_t* row) {
    const int slot = held_[0] == keep || (held_[1] != keep && held_[1] < held_[0]) ? 1 : 0;
    held_[slot] = y;
    channels_ == 3 ? along<3>(row, across_[slot].data()) : along<1>(row, across_[slot].data());
  }
  const uint8_t* between(const Tap& tap) {
    const float* top = across_[held_[0] == tap.low ? 0 : 1].data();
    const float* bottom = across_[held_[0] == tap.high ? 0 : 1].data();
    const float weight = tap.weight;
    uint8_t* out = result_.data();
    for (size_t i = 0; i < result_.size(); ++i) {
      const float value = top[i] + weight * (bottom[i] - top[i]);
      // The nearest integer, halves up; exact, as is the difference.
      const int whole = int(value);
      out[i] = uint8_t(whole + int(value - float(whole) >= 0.5f));
    }
    return out;
  }

 private:
  template <int kChannels>
  void along(const uint8_t* row, float* out) const {
    for (const Tap& tap : columns_)
      for (int c = 0; c < kChannels; ++c) {
        const float low = row[tap.low * kChannels + c], high = row[tap.high * kChannels + c];
        *out++ = low + tap.weight * (high - low);
      }
  }

  const std::vector<Tap> columns_;
  const int channels_;
  int held_[2] = {-1, -1};
  std::vector<float> across_[2];
  std::vector<uint8_t> result_;
};

}  // namespace

Shrink shrink_named(const std::string& name) {
  if (name == "sample") return Shrink::sample;
  if (name == "average") return Shrink::average;
  throw usage_error("shrink=" + name, "is not one of sample, average");
}

int stream_picture(std::string_view bytes, const std::string& where, const PictureForm& form,
                   uint64_t most_pixels, const TakeRow& take, PictureSeconds* spent) {
  ESP_CHECK(form.width > 0 && form.height > 0 && (form.channels == 1 || form.channels == 3),
            "a picture becomes one of 1 or 3 channels and at least one pixel");
  PictureSeconds ignored, &seconds = spent ? *spent : ignored;
  Stopwatch watch(spent != nullptr);
  const LeastSize least =
      form.shrink == Shrink::average ? LeastSize{form.width, form.height} : LeastSize{};
  const auto reader = open_rows(bytes, where, most_pixels, least);
  const int whole = least.divisor(reader->file_width(), reader->file_height());
  BlockMeans source(*reader, whole / reader->divisor());
  // Grey is made of colour before resizing, colour of grey after it: the fewer the cheaper.
  const int native = reader->channels(), channels = std::min(native, form.channels);
  RowResizer resizer(source.width(), double(reader->file_width()) / whole, form.width, channels);
  const auto rows =
      resize_taps(source.height(), double(reader->file_height()) / whole, form.height);
  std::vector<uint8_t> row(size_t(source.width()) * size_t(native));
  std::vector<uint8_t> wide(size_t(form.width) * size_t(form.channels));
  int next = 0;
  watch.mark(seconds.decode);
  for (int y = 0; y < form.height; ++y) {
    const Tap& tap = rows[size_t(y)];
    for (const int needed : {tap.low, tap.high}) {
      if (resizer.holds(needed)) continue;
      for (; next <= needed; ++next) source.read(row.data());
      watch.mark(seconds.decode);
      if (native > channels) grey_of(row.data(), source.width(), row.data());
      resizer.take(needed, tap.low, row.data());
      watch.mark(seconds.resize);
    }
    const uint8_t* result = resizer.between(tap);
    if (channels < form.channels) {
      for (int x = 0; x < form.width; ++x) std::fill_n(&wide[size_t(3 * x)], 3, result[x]);
      result = wide.data();
    }
    watch.mark(seconds.resize);
    take(y, result);
    watch.mark(seconds.take);
  }
  // Damage further down is damage all the same.
  for (; next < source.height(); ++next) source.read(row.data());
  reader->finish();
  watch.mark(seconds.decode);
  return native;
}

Image decode_resized(std::string_view bytes, const std::string& where, const PictureForm& form,
                     uint64_t most_pixels, int* file_channels) {
  Image image{form.width, form.height, form.channels, {}};
  image.pixels.reserve(size_t(form.width) * size_t(form.height) * size_t(form.channels));
  const int native = stream_picture(bytes, where, form, most_pixels, [&](int, const uint8_t* row) {
    image.pixels.insert(image.pixels.end(), row, row + form.width * form.channels);
  });
  if (file_channels) *file_channels = native;
  return image;
}

}  // namespace espalier
