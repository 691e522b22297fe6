// Parametrisations of networks by their width: what first values and learning rates do as layers
// grow, so that what is found on a narrow network holds for a wide one.
// The exponents a, b, c are those of Yang & Hu 2021, arXiv:2011.14522 ("Feature learning in
// infinite-width neural networks", Tensor Programs IV), for entrywise optimisers as in Yang et al.
// 2022, arXiv:2203.03466 (Tensor Programs V): of a weight W = n^-a w, the first w have deviation
// n^-b, and w is trained at the rate n^-c. Here n is a width over that of a base network, so that
// all parametrisations are the same network at the base.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "train/optimizer.h"

namespace espalier {

/// How one kind of weight follows its width n: the exponents a, b and c.
struct WidthExponents {
  double multiplier = 0, deviation = 0, rate = 0;
  bool operator==(const WidthExponents&) const = default;
};

struct Parametrization {
  std::string kind = "standard";
  WidthExponents input;   ///< weights whose results alone grow, vectors, embeddings
  WidthExponents hidden;  ///< both sides grow
  WidthExponents output;  ///< what they read alone grows
  /// Attention's scores are divided by the size of a head, not by its root.
  bool attention_by_size = false;

  std::string text() const;
};

/// "standard" (first values keep variance, one rate for all), "ntk" (the neural tangent kernel's)
/// or "mup" (maximal update: every layer learns features at any width). UserError for another name,
/// and for an optimiser of which it is not known how its steps follow the gradient's size.
Parametrization parametrization(const std::string& kind, const OptimizerUnit& optimizer);
std::vector<std::string> parametrization_names();

enum class WidthRole : uint8_t { kFixed, kInput, kHidden, kOutput };

/// What a parametrisation makes of one parameter.
struct WidthScale {
  WidthRole role = WidthRole::kFixed;
  double width = 1;       ///< n: the extent it depends on, over the base network's
  double deviation = 1;   ///< of the first W, over the base network's
  double rate = 1;        ///< of W, over the rate of the schedule
  double multiplier = 1;  ///< of products with a table that is also read otherwise (tied)
};

/// Of each parameter of `network`, compared with that of the same name of `base`, the same network
/// at another width. Weights are [out, in, …], as definitions make them. UserError where the two
/// are not the same network at two widths.
std::map<std::string, WidthScale> width_scales(const Graph& network, const Graph& base,
                                               const Parametrization& p,
                                               const OptimizerUnit& optimizer);

/// The network with first values as the scales say. `own` and `base` are the deviations its
/// parameters and the base network's were drawn with, 0 (or none) for those not drawn, which stay.
void scale_first_values(Graph& network, const std::map<std::string, WidthScale>& scales,
                        const std::map<std::string, double>& own,
                        const std::map<std::string, double>& base);
/// Writes multipliers of tied tables, and attention by size (constants NAME.scale of the two
/// graphs), into the network.
void scale_products(Graph& network, const Graph& base,
                    const std::map<std::string, WidthScale>& scales, const Parametrization& p);

}  // namespace espalier
