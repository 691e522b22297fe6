// The picture server that one writes first, as a baseline: one request at a time, each step on the
// whole picture after the one before. Decode to samples, make floats of all of them, resize these,
// normalise, run the network on one picture with all threads, encode the answer. Nothing is slower
// than such a program has it: the decoders, the kernels and the protocol are those of the others.
#pragma once

#include <vector>

#include "runtime/session.h"
#include "serve/message.h"
#include "serve/pictures.h"
#include "serve/protocol.h"
#include "serve/scheduler.h"
#include "serve/stages.h"

namespace espalier::serve {

class SerialModel {
 public:
  /// `graph` has one input of one picture, f32 [1, C, H, W]; UserError otherwise.
  SerialModel(std::string name, const Graph& graph, const PictureOptions& picture, int threads);

  /// Answers POSTed pictures (the body alone) in the order they come, from a thread of its own;
  /// always with the header Server-Timing.
  void infer(Request request, Respond respond);

 private:
  struct Call;
  Response answer(const Request& request, StageTimes& times);
  Tensor prepare(const std::string& bytes, StageTimes& times) const;

  const std::string name_;
  const Signature signature_;
  const PictureInput picture_;
  Session session_;
  Scheduler scheduler_;
};

}  // namespace espalier::serve
