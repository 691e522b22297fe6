// Batches of a data set, epoch by epoch, prepared ahead on a background thread.
//
// The batches of an epoch are a function of (seed, epoch) and the options, neither of threads nor
// of prefetching, so a resumed run that starts at a batch position sees what the first run would
// have.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/prefetch.h"
#include "data/augment.h"
#include "data/dataset.h"

namespace espalier {

struct LoaderOptions {
  int64_t batch = 32;
  bool shuffle = false;     ///< another order each epoch
  bool drop_last = false;   ///< leave out a last batch that is not full
  int64_t max_batches = 0;  ///< an epoch ends after so many; 0: with the data
  uint64_t seed = 0;        ///< of order and augmentation
  Augment augment;
  /// How often each sample is in a batch, augmented anew each time: inputs are [views N, ...], all
  /// samples' first views before the second ones, targets [N].
  int64_t views = 1;
  int prefetch = 2;  ///< batches prepared ahead; 0 prepares on the calling thread
};

class Loader {
 public:
  /// Throws UserError when there is nothing to load or pictures are needed to augment.
  Loader(std::shared_ptr<const Dataset> data, LoaderOptions options);
  ~Loader();

  const Dataset& data() const { return *data_; }
  const LoaderOptions& options() const { return options_; }
  /// Batches per epoch, and samples in them.
  int64_t batches() const;
  int64_t samples() const;

  /// Begins (or resumes) an epoch at batch number `first_batch`. A loader starts at epoch 0.
  void start(int64_t epoch, int64_t first_batch = 0);
  /// The next batch of the epoch. False at its end; `batch` is then untouched.
  bool next(Batch& batch);

  int64_t epoch() const { return epoch_; }
  /// Batches of this epoch handed out so far, those before `first_batch` included: what a
  /// checkpoint keeps and `start` takes.
  int64_t position() const { return position_; }
  /// Sample indices of an epoch in the order they are visited.
  std::vector<int64_t> order(int64_t epoch) const;

 private:
  Batch make(int64_t number) const;

  std::shared_ptr<const Dataset> data_;
  LoaderOptions options_;
  int64_t epoch_ = 0, position_ = 0;
  std::vector<int64_t> order_;
  std::vector<Batch> slots_;
  std::unique_ptr<Prefetch> prefetch_;  // last, so that it stops before what it uses goes
};

}  // namespace espalier
