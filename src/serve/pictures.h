// Pictures as network inputs: JPEG or PNG bytes decoded, resized, normalised, exactly as data sets
// do it (data/spec.h: normalize, layout, resize, shrink). All of it happens row by row, from the
// file's bytes into the input's memory, without a picture in between.
#pragma once

#include <string>

#include "data/dataset.h"
#include "formats/picture_stream.h"
#include "serve/signature.h"

namespace espalier::serve {

struct PictureOptions {
  std::string input;      ///< which input takes pictures
  std::string normalize;  ///< see data/normalize.h; empty for "unit"
  PictureLayout layout = PictureLayout::nchw;
  int64_t height = 0, width = 0;  ///< 0: what the network's input says
  Shrink shrink = Shrink::sample;
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
  /// Adds to `spent`; `take` is normalisation and layout.
  Tensor read(const Tensor& bytes, bool base64, PictureSeconds& spent) const;
  const PictureShape& shape() const { return shape_; }
  const Normalization& normalization() const { return normalization_; }

 private:
  void read_one(const std::string& bytes, const std::string& where, float* out,
                PictureSeconds& spent) const;

  std::string name_;
  DType dtype_;
  PictureShape shape_;
  Shrink shrink_;
  Normalization normalization_;
  std::vector<float> table_;  ///< what each of the 256 samples becomes, a channel after the other
  uint64_t most_pixels_;
  int64_t most_elements_;
};

}  // namespace espalier::serve
