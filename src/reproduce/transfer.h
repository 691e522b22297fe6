// A network that learns one thing and is then to learn another: what reproductions of fine-tuning
// start from.
//
//   model: {zoo: char_gpt, variables: {…}}
//   first: {data: …, training: {…}}          # learned from random weights, all parameters
//   then: {data: …, training: {…}, turned_by: 30}    # degrees, of pictures; 0: as they are
#pragma once

#include "recipe/recipe.h"
#include "recipe/tuning.h"

namespace espalier {

struct Transfer {
  std::string name;
  ModelPart model;
  DataSpec first_data, data;
  TrainOptions first_training, training;
  double turned_by = 0;  ///< degrees by which the second thing's pictures are turned
  Yaml place;
};

/// Its keys `name`, `model`, `first` and `then`; others of the map are left to the caller.
Transfer read_transfer(Fields& fields);

/// Learns the first thing; what it reached is told.
struct TransferStart {
  TuningTask task;   ///< the second thing, with the network that learned the first
  Evaluation first;  ///< on the first data's test split
};
TransferStart started(const Transfer& transfer, uint64_t seed);

}  // namespace espalier
