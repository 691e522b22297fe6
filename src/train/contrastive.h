// Contrastive learning from two views of each sample: embeddings of the two are to be nearer to
// each other than to those of other samples, by their cosines over a temperature, which is fixed,
// learned, or predicted for each embedding (train/temperature.h).
//
// With s_ij the cosine of sample i's one view and sample j's other, d_ij = s_ij - s_ii, either view
// being the anchor:
//   InfoNCE   the mean of -log softmax_j(s_ij / tau_i) at j = i over the batch
//             (van den Oord et al. 2018, arXiv:1807.03748; CLIP, Radford et al. 2021)
//   global    the mean of tau_i log g_i (+ rho tau_i), g_i the mean of exp(d_ij / tau_i) over all
//             other samples, not those of the batch alone. A state of each sample follows
//             u_i <- (1 - gamma) u_i + gamma g_i(batch), and the gradient of log g_i is that of
//             g_i(batch) over u_i (stochastic compositional optimisation: SogCLR, Yuan et al. 2022,
//             arXiv:2202.12387; with rho, Qiu et al. 2024, arXiv:2404.04575).
#pragma once

#include "data/augment.h"
#include "data/dataset.h"
#include "train/step.h"

namespace espalier {

/// Attaches the loss to a step whose logits are embeddings. `correct` counts first views whose
/// nearest second view in the batch is their own. UserError where the options do not fit.
void attach_contrastive_loss(StepGraph& step, const StepOptions& options);

/// The same samples, each sample's target being its number, i64 []: what Loss::kContrastive reads.
std::shared_ptr<const Dataset> numbered(std::shared_ptr<const Dataset> data);

/// How well embeddings of one view find those of another.
struct Retrieval {
  double recall_1 = 0, recall_5 = 0;  ///< the own other view is the nearest, among the 5 nearest
  double same_class = 0;  ///< the nearest view of another sample is of the sample's class
};
/// Two views of each sample, drawn by `seed`; all of them are searched, in both directions. The
/// network's output `output` gives embeddings of length 1.
Retrieval retrieval(const Graph& network, std::shared_ptr<const Dataset> data, const Augment& views,
                    uint64_t seed, const std::string& output = "");

}  // namespace espalier
