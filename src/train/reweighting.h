// Weights of training samples as the upper variable of a bilevel problem: a network that is trained
// on weighted samples shall answer a few trusted samples rightly.
//
//   g(w, y) = mean over training samples of w_i loss_i(y) + decay / 2 |y|^2,  0 <= w_i <= 1
//   f(y)    = mean over trusted samples of loss_i(y)
#pragma once

#include <map>
#include <memory>
#include <string>

#include "data/dataset.h"
#include "ir/graph.h"
#include "train/bilevel.h"

namespace espalier {

struct ReweightingOptions {
  int64_t batch = 50;       ///< of training samples, and at most as many trusted ones
  double decay = 1e-4;      ///< of all parameters
  uint64_t seed = 0;        ///< of the samples drawn
  int64_t unrolled = 0;     ///< steps that unrolled_step goes through; 0: it cannot be asked
  double lower_rate = 0.1;  ///< of those steps
};

class Reweighting : public BilevelProblem {
 public:
  /// Cross-entropy of class labels. UserError where the data has none, the sets do not fit each
  /// other or the network, or it follows statistics of batches.
  Reweighting(const Graph& network, std::shared_ptr<const Dataset> train,
              std::shared_ptr<const Dataset> trusted, ReweightingOptions options);
  ~Reweighting() override;

  LevelGradient upper(const Variables& x, const Variables& y, uint64_t draw) override;
  LevelGradient lower(const Variables& x, const Variables& y, uint64_t draw) override;
  void project(Variables& x) const override;  ///< onto [0, 1]

  /// A weight of one for each training sample; the network's parameters.
  Variables equal_weights() const;
  Variables first_parameters() const;
  /// The network with those parameters.
  Graph network(const Variables& y) const;

  /// Goes through `unrolled` steps of gradient descent on g from `y`, which is then where they end,
  /// and differentiates f there by the weights of the samples met, through all of them: exactly, by
  /// second derivatives.
  LevelGradient unrolled_step(const Variables& x, Variables& y, uint64_t draw);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier
