// Test-time adaptation: a network that meets data unlike those it learned from goes on adapting to
// them, without labels, while it answers.
//
// Scales and shifts of normalisations descend the entropy of the answers (TENT, Wang et al. 2021,
// arXiv:2006.10726), of all samples or of those a method trusts:
//   eata  confident ones, weighted by their confidence (Niu et al. 2022, arXiv:2204.02610; without
//         its further filter against redundant samples and without its Fisher regulariser);
//   deyo  confident ones whose answer, moreover, hangs on what an object looks like: its
//         probability drops when patches of the picture change places. Both weigh (Lee et al. 2024,
//         arXiv:2403.07366).
// Normalisations that know statistics of batches use those of the batch, as in training; without a
// method they use their own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "train/selection.h"
#include "train/step.h"

namespace espalier {

class Progress;

enum class TestTimeMethod : uint8_t { kNone, kTent, kEata, kDeyo };
/// "none", "tent", "eata", "deyo", in that order.
const std::vector<std::string>& test_time_methods();

struct TestTimeOptions {
  TestTimeMethod method = TestTimeMethod::kDeyo;
  int64_t batch = 16;
  double rate = 1e-3;
  Optimizer optimizer = {"sgd", {{"momentum", 0.9}, {"nesterov", 0}}, 0};
  /// Of eata and deyo: samples of more entropy are left out, as a part of that of equal
  /// probabilities, ln C.
  double most_entropy = 0.5;
  /// Of both: the entropy, as such a part, whose weight is 1.
  double even_entropy = 0.4;
  /// Of deyo: samples whose answer loses no more probability are left out.
  double least_drop = 0.2;
  int64_t patches = 4;  ///< of deyo: along each side
  /// After so many batches all is as it was at first; 0: never.
  int64_t reset_every = 0;
  /// What is adapted.
  Selection adapted = {{.norms = true}};
  uint64_t seed = 0;  ///< of the patches' order

  /// The method's thresholds as its authors set them.
  static TestTimeOptions of(TestTimeMethod method);
  /// UserError for values that cannot be used; `where` names the options.
  void check(const std::string& where) const;
};

/// What was done so far, in samples.
struct TestTimeCounts {
  int64_t answered = 0;
  int64_t confident = 0;  ///< little enough entropy; all of them with tent
  int64_t chosen = 0;     ///< of these, those that were learned from
  int64_t forward = 0;    ///< through the network, padding of a last batch included
  int64_t backward = 0;   ///< of batches with any chosen
};

/// Probabilities of one sample: entropy in nats, the most likely class and its probability.
struct Certainty {
  double entropy = 0, probability = 0;
  int64_t answer = 0;
};
Certainty certainty_of(const float* logits, int64_t classes);

/// The weight of a sample in the loss; 0: it is left out. `drop` is read for deyo alone.
double test_time_weight(const TestTimeOptions& options, int64_t classes, double entropy,
                        double drop);

class TestTimeAdapter {
 public:
  /// `network` in inference form with one input [N, ...] and logits [N, classes]; `picture` says
  /// where the axes of its samples stand. UserError where it holds no normalisation of its own, its
  /// answers are no logits of classes, or the patches do not fit.
  TestTimeAdapter(const Graph& network, const Shape& sample, const PictureShape& picture,
                  TestTimeOptions options);
  ~TestTimeAdapter();

  /// Logits [n, classes] for 1 to options.batch samples, as the network answers before it adapts to
  /// them; then it does. A batch that is not full is filled with repetitions that weigh nothing.
  Tensor answer(const Tensor& inputs);
  /// Everything as it was at first, counts excepted.
  void reset();
  /// The network in inference form with what it learned.
  Graph network() const;
  const TestTimeCounts& counts() const { return counts_; }
  int64_t adapted_parameters() const { return adapted_; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  TestTimeOptions options_;
  TestTimeCounts counts_;
  int64_t adapted_ = 0;
};

/// How a network fares that meets a data set's samples in their order, once.
struct TestTimeResult {
  double accuracy = 0;       ///< part answered rightly, each before anything was learned from it
  double late_accuracy = 0;  ///< of the last quarter
  TestTimeCounts counts;
  Graph network;  ///< as it is at the end
};
/// UserError where the data has no classes, besides those of TestTimeAdapter.
/// `progress`, where there is one, advances by samples.
TestTimeResult adapt_to(const Graph& network, const Dataset& data, const TestTimeOptions& options,
                        Progress* progress = nullptr);

}  // namespace espalier
