#include "data/dataset.h"

#include "base/threads.h"

namespace espalier {
namespace {

Shape with_rows(int64_t rows, std::span<const int64_t> row_shape) {
  Shape shape = {rows};
  shape.insert(shape.end(), row_shape.begin(), row_shape.end());
  return shape;
}

std::span<const int64_t> row_shape(const Tensor& t) { return std::span(t.shape()).subspan(1); }

}  // namespace

Batch Dataset::make_batch(int64_t count) const {
  return {Tensor(input_type(), with_rows(count, sample_shape())),
          Tensor(target_type(), with_rows(count, target_shape()))};
}

Shape Dataset::target_shape() const {
  const auto shape = row_shape(targets());
  return {shape.begin(), shape.end()};
}

void Dataset::copy_target(int64_t index, int64_t row, Batch& batch) const {
  const size_t bytes = size_of(targets().dtype()) * size_t(numel(row_shape(targets())));
  std::memcpy(static_cast<char*>(batch.targets.mutable_raw()) + size_t(row) * bytes,
              static_cast<const char*>(targets().raw()) + size_t(index) * bytes, bytes);
}

void Dataset::write(int64_t index, int64_t row, Batch& batch) const {
  read(index, batch.inputs.mutable_data<float>() + row * numel(sample_shape()));
  copy_target(index, row, batch);
}

Batch Dataset::fetch(std::span<const int64_t> indices) const {
  Batch batch = make_batch(int64_t(indices.size()));
  const int64_t step = numel(sample_shape());
  const int64_t grain = std::max<int64_t>(1, (int64_t{1} << 16) / std::max<int64_t>(1, step));
  parallel_for(int64_t(indices.size()), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) write(indices[size_t(i)], i, batch);
  });
  return batch;
}

PictureShape Dataset::picture_shape() const {
  const Shape& s = sample_shape();
  if (s.size() != 3) return {};
  if (layout() == PictureLayout::nchw) return {s[0], s[1], s[2], PictureLayout::nchw};
  return {s[2], s[0], s[1], PictureLayout::nhwc};
}

ArrayDataset::ArrayDataset(Parts parts) : parts_(std::move(parts)) {
  const Tensor& samples = parts_.samples;
  ESP_CHECK(samples.dtype() == DType::u8 || samples.dtype() == DType::f32,
            "samples are stored as u8 or f32");
  ESP_CHECK(samples.rank() >= 1 && parts_.targets.rank() >= 1 &&
                samples.shape()[0] == parts_.targets.shape()[0],
            "each sample has a target");
  sample_shape_.assign(samples.shape().begin() + 1, samples.shape().end());
  const int64_t elements = numel(sample_shape_);
  channels_ = sample_shape_.empty() ? 1 : sample_shape_[0];
  pixels_ = channels_ > 0 ? elements / channels_ : 0;
  if (parts_.layout == PictureLayout::nhwc) {
    if (sample_shape_.size() != 3)
      throw usage_error("layout=nhwc",
                        "samples of shape " + to_string(sample_shape_) + " are no pictures");
    sample_shape_ = {sample_shape_[1], sample_shape_[2], channels_};
  }
  const auto entries = int64_t(parts_.normalization.mean.size());
  ESP_CHECK(entries == 1 || entries == channels_, "one mean per channel");
  if (samples.dtype() == DType::u8) {
    table_.resize(size_t(channels_) * 256);
    for (int64_t c = 0; c < channels_; ++c)
      for (int v = 0; v < 256; ++v)
        table_[size_t(c * 256 + v)] = float(parts_.normalization.apply(v, c));
  }
  // Targets of the chosen rows, once, so that labels can be looked through.
  targets_ = Tensor(parts_.targets.dtype(), with_rows(size(), row_shape(parts_.targets)));
  const size_t bytes = size() > 0 ? targets_.bytes() / size_t(size()) : 0;
  for (int64_t i = 0; i < size(); ++i) {
    ESP_CHECK(row(i) >= 0 && row(i) < samples.shape()[0], "rows lie within the source");
    std::memcpy(static_cast<char*>(targets_.mutable_raw()) + size_t(i) * bytes,
                static_cast<const char*>(parts_.targets.raw()) + size_t(row(i)) * bytes, bytes);
  }
}

void ArrayDataset::read(int64_t index, float* sample) const {
  ESP_CHECK(index >= 0 && index < size(), "sample index out of range");
  const int64_t start = row(index) * channels_ * pixels_;
  const bool interleave = parts_.layout == PictureLayout::nhwc;
  const int64_t pixel_step = interleave ? channels_ : 1;
  const int64_t channel_step = interleave ? 1 : pixels_;
  const bool bytes = parts_.samples.dtype() == DType::u8;
  for (int64_t c = 0; c < channels_; ++c) {
    float* out = sample + c * channel_step;
    if (bytes) {
      const uint8_t* in = parts_.samples.data<uint8_t>() + start + c * pixels_;
      const float* table = &table_[size_t(c) * 256];
      for (int64_t p = 0; p < pixels_; ++p) out[p * pixel_step] = table[in[p]];
    } else {
      const float* in = parts_.samples.data<float>() + start + c * pixels_;
      const double mean = parts_.normalization.apply(0, c);
      const double slope = parts_.normalization.apply(1, c) - mean;
      for (int64_t p = 0; p < pixels_; ++p) out[p * pixel_step] = float(in[p] * slope + mean);
    }
  }
}

}  // namespace espalier
