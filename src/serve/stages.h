// The stages of a request on its way, and the time it spent in each. They follow each other and do
// not overlap; what is missing from their sum to the whole is bookkeeping between them.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "serve/message.h"

namespace espalier::serve {

enum class Stage {
  receive,    ///< first byte to last
  handoff,    ///< waiting for a thread, before parsing and before encoding
  parse,      ///< JSON and binary parts to tensors
  decode,     ///< pictures: JPEG and PNG to samples
  resize,     ///< pictures: to the extents of the network
  normalize,  ///< pictures: to numbers, in the layout of the network
  queue,      ///< waiting for an instance and for company
  assemble,   ///< putting the batch together and taking its outputs apart
  compute,    ///< the network, for the whole batch
  encode,     ///< outputs to bytes
};
inline constexpr size_t kStages = 10;
inline constexpr std::array<std::string_view, kStages> kStageNames = {
    "receive",   "handoff", "parse",    "decode",  "resize",
    "normalize", "queue",   "assemble", "compute", "encode"};

/// One request's times; a stage it did not go through has none.
class StageTimes {
 public:
  void add(Stage stage, Duration spent) {
    auto& slot = times_[size_t(stage)];
    slot = slot.value_or(Duration{}) + spent;
  }
  const std::optional<Duration>& of(Stage stage) const { return times_[size_t(stage)]; }
  const std::optional<Duration>& of(size_t stage) const { return times_[stage]; }

 private:
  std::array<std::optional<Duration>, kStages> times_;
};

/// "receive;dur=0.021, …, total;dur=3.4" in milliseconds: the value of the header Server-Timing
/// (W3C).
std::string server_timing(const StageTimes& times, Duration total);

}  // namespace espalier::serve
