#include "data/loader.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/threads.h"

namespace espalier {

Loader::Loader(std::shared_ptr<const Dataset> data, LoaderOptions options)
    : data_(std::move(data)), options_(options) {
  if (options_.batch < 1) throw usage_error("batch", "must be at least 1");
  ESP_CHECK(options_.prefetch >= 0, "batches to prepare ahead are counted");
  ESP_CHECK(options_.views >= 1, "a batch has a view of each sample");
  if (options_.views > 1 && data_->input_type() != DType::f32)
    throw usage_error(data_->description(), "has tokens for samples, of which no views are drawn");
  if (!options_.augment.none() && data_->picture_shape().channels == 0)
    throw usage_error("augment " + options_.augment.text(),
                      "samples of shape " + to_string(data_->sample_shape()) + " are no pictures");
  if (batches() == 0)
    throw usage_error(data_->description(),
                      "has no full batch of " + std::to_string(options_.batch),
                      "use a smaller batch");
  start(0);
}

Loader::~Loader() = default;

int64_t Loader::batches() const {
  const int64_t n = data_->size(), b = options_.batch;
  const int64_t all = options_.drop_last ? n / b : (n + b - 1) / b;
  return options_.max_batches > 0 ? std::min(all, options_.max_batches) : all;
}

int64_t Loader::samples() const { return std::min(data_->size(), batches() * options_.batch); }

std::vector<int64_t> Loader::order(int64_t epoch) const {
  if (options_.shuffle)
    return Rng(options_.seed, stream_of("shuffle"))
        .fork(uint64_t(epoch))
        .permutation(data_->size());
  std::vector<int64_t> order(static_cast<size_t>(data_->size()));
  std::iota(order.begin(), order.end(), int64_t{0});
  return order;
}

void Loader::start(int64_t epoch, int64_t first_batch) {
  ESP_CHECK(first_batch >= 0 && first_batch <= batches(), "an epoch starts within its batches");
  prefetch_.reset();
  epoch_ = epoch;
  position_ = first_batch;
  order_ = order(epoch);
  if (options_.prefetch == 0) return;
  slots_.assign(size_t(options_.prefetch) + 1, {});
  prefetch_ = std::make_unique<Prefetch>(
      first_batch, batches(), options_.prefetch,
      [this](int64_t number) { slots_[size_t(number) % slots_.size()] = make(number); });
}

bool Loader::next(Batch& batch) {
  if (position_ == batches()) return false;
  if (prefetch_) {
    prefetch_->take(position_);
    batch = std::move(slots_[size_t(position_) % slots_.size()]);
  } else {
    batch = make(position_);
  }
  ++position_;
  return true;
}

Batch Loader::make(int64_t number) const {
  const int64_t begin = number * options_.batch;
  const int64_t count = std::min(options_.batch, data_->size() - begin);
  const std::span<const int64_t> indices(order_.data() + begin, size_t(count));
  if (options_.augment.none() && options_.views == 1) return data_->fetch(indices);
  Batch batch = data_->make_batch(count);
  if (options_.views > 1) {
    Shape inputs = batch.inputs.shape();
    inputs[0] *= options_.views;
    batch.inputs = Tensor(DType::f32, inputs);
  }
  const PictureShape shape = data_->picture_shape();
  const int64_t elements = numel(data_->sample_shape());
  float* out = batch.inputs.mutable_data<float>();
  parallel_for(count, 8, [&](int64_t from, int64_t to) {
    std::vector<float> plain(static_cast<size_t>(elements));
    for (int64_t i = from; i < to; ++i) {
      const int64_t index = indices[size_t(i)];
      data_->read(index, plain.data());
      for (int64_t v = 0; v < options_.views; ++v) {
        float* view = out + (v * count + i) * elements;
        const Rng rng = augment_rng(options_.seed, epoch_, index);
        if (options_.augment.none())
          std::ranges::copy(plain, view);
        else
          augment_picture(options_.augment, v == 0 ? rng : rng.fork(uint64_t(v)), shape,
                          plain.data(), view);
      }
      data_->copy_target(index, i, batch);
    }
  });
  return batch;
}

}  // namespace espalier
