#include "data/augment.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "base/error.h"

namespace espalier {
namespace {

// Which draw decides what; each is used once per sample.
enum Draw : uint64_t {
  kCropY,
  kCropX,
  kShiftY,
  kShiftX,
  kFlip,
  kCutoutY,
  kCutoutX,
};

/// Uniform in [-reach, reach].
int64_t offset(const Rng& rng, Draw draw, int64_t reach) {
  return int64_t(rng.below(draw, uint64_t(2 * reach + 1))) - reach;
}

/// For each output coordinate along an axis, the input coordinate, or -1 for a zero.
std::vector<int64_t> sources(int64_t extent, int64_t crop, int64_t shift, bool flip) {
  std::vector<int64_t> from(static_cast<size_t>(extent));
  for (int64_t i = 0; i < extent; ++i) {
    int64_t at = i + crop;
    if (at < 0 || at >= extent) {
      from[size_t(i)] = -1;
      continue;
    }
    at = std::clamp<int64_t>(at + shift, 0, extent - 1);
    from[size_t(i)] = flip ? extent - 1 - at : at;
  }
  return from;
}

void cut(std::vector<int64_t>& from, int64_t begin, int64_t end) {
  const auto extent = int64_t(from.size());
  for (int64_t i = std::max<int64_t>(0, begin); i < std::min(extent, end); ++i)
    from[size_t(i)] = -1;
}

int64_t parse_pixels(const std::string& word, const std::string& value) {
  int64_t pixels = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), pixels);
  if (error != std::errc() || end != value.data() + value.size() || pixels < 0 || pixels > 4096)
    throw usage_error("augment " + word, "'" + value + "' is not a number of pixels");
  return pixels;
}

}  // namespace

Augment Augment::parse(const std::string& text) {
  Augment augment;
  if (text.empty() || text == "none") return augment;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string word = text.substr(at, end - at);
    at = end + 1;
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::pair<const char*, int64_t*> lengths[] = {
        {"crop", &augment.crop}, {"shift", &augment.shift}, {"cutout", &augment.cutout}};
    const auto* found = std::find_if(std::begin(lengths), std::end(lengths),
                                     [&](const auto& l) { return name == l.first; });
    if (name == "flip" && equals == word.npos) {
      augment.flip = true;
    } else if (found != std::end(lengths) && equals != word.npos) {
      *found->second = parse_pixels(name, word.substr(equals + 1));
    } else {
      throw usage_error("augment '" + word + "'", "is not known",
                        "write crop=PIXELS, shift=PIXELS, cutout=PIXELS, flip, or none");
    }
  }
  return augment;
}

std::string Augment::text() const {
  std::string words;
  const auto add = [&](const std::string& word) { words += (words.empty() ? "" : ",") + word; };
  if (crop > 0) add("crop=" + std::to_string(crop));
  if (shift > 0) add("shift=" + std::to_string(shift));
  if (flip) add("flip");
  if (cutout > 0) add("cutout=" + std::to_string(cutout));
  return words.empty() ? "none" : words;
}

Rng augment_rng(uint64_t seed, int64_t epoch, int64_t sample) {
  return Rng(seed, stream_of("augment")).fork(uint64_t(epoch)).fork(uint64_t(sample));
}

void augment_picture(const Augment& augment, const Rng& rng, const PictureShape& shape,
                     const float* in, float* out) {
  const auto [channels, height, width, layout] = shape;
  ESP_CHECK(channels > 0, "only pictures are augmented");
  const bool flip = augment.flip && rng.below(kFlip, 2) == 1;
  const auto rows = sources(height, offset(rng, kCropY, augment.crop),
                            offset(rng, kShiftY, augment.shift), false);
  const auto columns =
      sources(width, offset(rng, kCropX, augment.crop), offset(rng, kShiftX, augment.shift), flip);
  auto cut_columns = columns;
  int64_t top = 0, bottom = 0;
  if (augment.cutout > 0) {
    top = int64_t(rng.below(kCutoutY, uint64_t(height))) - augment.cutout / 2;
    bottom = top + augment.cutout;
    const int64_t left = int64_t(rng.below(kCutoutX, uint64_t(width))) - augment.cutout / 2;
    cut(cut_columns, left, left + augment.cutout);
  }
  const bool interleaved = layout == PictureLayout::nhwc;
  const int64_t channel_step = interleaved ? 1 : height * width;
  const int64_t pixel_step = interleaved ? channels : 1;
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t y = 0; y < height; ++y) {
      const auto& from = y >= top && y < bottom ? cut_columns : columns;
      const int64_t row = rows[size_t(y)];
      const float* source = in + c * channel_step + row * width * pixel_step;
      float* target = out + c * channel_step + y * width * pixel_step;
      for (int64_t x = 0; x < width; ++x) {
        const int64_t column = from[size_t(x)];
        target[x * pixel_step] = row < 0 || column < 0 ? 0.0f : source[column * pixel_step];
      }
    }
}

}  // namespace espalier
