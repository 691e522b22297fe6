// Pictures as they look elsewhere than where a network learned: on a ground whose colour agrees
// with the class more or less often, and corrupted. What happens to a sample is a function of
// (seed, index).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace espalier {

/// Grey pictures with pixels from 0 (ground) to 1 as white on a coloured ground, three channels;
/// colour ones count by their mean. Each class has a hue; a picture has that of its class with
/// probability `agreement`, else that of another class, each as likely (a spurious cue as in
/// Arjovsky et al. 2019, arXiv:1907.02893, of as many colours as classes). UserError where samples
/// are no such pictures or have no classes.
std::shared_ptr<const Dataset> on_coloured_ground(std::shared_ptr<const Dataset> pictures,
                                                  double agreement, uint64_t seed);

/// Corruptions in the manner of Hendrycks & Dietterich 2019, arXiv:1903.12261.
enum class Corruption : uint8_t {
  kNone,
  kNoise,     ///< normal noise of deviation `severity`
  kBlur,      ///< a Gaussian window of deviation `severity` pixels, edges repeated
  kContrast,  ///< distances from the picture's mean, per channel, lose the part `severity`
};
/// "none", "noise", "blur", "contrast", in that order.
const std::vector<std::string>& corruption_names();

/// Pictures with pixels from 0 to 1, corrupted and clipped to that range.
std::shared_ptr<const Dataset> corrupted(std::shared_ptr<const Dataset> pictures,
                                         Corruption corruption, double severity, uint64_t seed);

/// Some samples of a data set.
struct SamplesOf {
  std::shared_ptr<const Dataset> data;
  std::vector<int64_t> rows;
};
/// Those samples one after another. They must be of one shape, with targets of one type.
std::shared_ptr<const Dataset> in_turn(std::vector<SamplesOf> parts);

}  // namespace espalier
