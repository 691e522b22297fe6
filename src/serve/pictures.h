// Pictures as network inputs: JPEG or PNG bytes decoded, resized, normalised, exactly as data sets
// do it (data/spec.h: normalize, layout, resize).
#pragma once

#include <string>

#include "data/dataset.h"
#include "serve/signature.h"

namespace espalier::serve {

struct PictureOptions {
  std::string input;      ///< which input takes pictures
  std::string normalize;  ///< see data/normalize.h; empty for "unit"
  PictureLayout layout = PictureLayout::nchw;
  int64_t height = 0, width = 0;  ///< 0: what the network's input says
};

/// Fills one input of a network from pictures.
class PictureInput {
 public:
  /// UserError (usage) where the input cannot take pictures this way.
  /// `most_pixels` of one picture as it comes, `most_elements` of all pictures of a request as the
  /// network gets them.
  PictureInput(const PictureOptions& options, const Port& port, uint64_t most_pixels,
               int64_t most_elements);

  const std::string& name() const { return name_; }
  /// `bytes` is BYTES of one element a row, [N] or [N, 1]; written in base64 where it came in JSON.
  /// The input for those rows. UserError naming the element; Rejection 413 for too many rows.
  Tensor read(const Tensor& bytes, bool base64) const;

 private:
  void read_one(const std::string& bytes, const std::string& where, float* out) const;

  std::string name_;
  DType dtype_;
  PictureShape shape_;
  Normalization normalization_;
  uint64_t most_pixels_;
  int64_t most_elements_;
};

}  // namespace espalier::serve
