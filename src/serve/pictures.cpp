#include "serve/pictures.h"

#include "base/error.h"
#include "formats/images.h"
#include "ir/text_bytes.h"
#include "serve/message.h"

namespace espalier::serve {
namespace {

/// What a picture must become, from the input's type and what was asked for.
PictureShape shape_for(const PictureOptions& options, const Port& port) {
  const std::string where = "image=" + port.name;
  const Dims& dims = port.type.dims;
  if (dims.size() != 4)
    throw usage_error(
        where, "input '" + port.name + "' is " + to_string(port.type) + ", no batch of pictures");
  const bool planes = options.layout == PictureLayout::nchw;
  const Dim &channels = dims[planes ? 1 : 3], &height = dims[planes ? 2 : 1],
            &width = dims[planes ? 3 : 2];
  if (!channels.is(1) && !channels.is(3))
    throw usage_error(
        where,
        "input '" + port.name + "' is " + to_string(port.type) + "; pictures have 1 or 3 channels",
        planes ? "layout=nhwc, if its channels come last" : "");
  const auto extent = [&](const Dim& dim, int64_t asked, const char* what) {
    if (dim.is(0))
      throw usage_error(where, "the network takes pictures with a " + std::string(what) + " of 0");
    if (asked > 0 && dim.known() && !dim.is(asked))
      throw usage_error(where, "resize asks for a " + std::string(what) + " of " +
                                   std::to_string(asked) + ", the network takes " +
                                   std::to_string(dim.value()));
    if (asked == 0 && !dim.known())
      throw usage_error(where, "the network takes pictures of any " + std::string(what),
                        "resize=224 or resize=96x128 says which");
    return asked > 0 ? asked : dim.value();
  };
  return {channels.value(), extent(height, options.height, "height"),
          extent(width, options.width, "width"), options.layout};
}

}  // namespace

PictureInput::PictureInput(const PictureOptions& options, const Port& port, uint64_t most_pixels,
                           int64_t most_elements)
    : name_(port.name),
      dtype_(port.type.dtype),
      shape_(shape_for(options, port)),
      shrink_(options.shrink),
      most_pixels_(most_pixels),
      most_elements_(most_elements) {
  if (dtype_ == DType::string || dtype_ == DType::boolean)
    throw usage_error("image=" + name_, "input '" + name_ + "' takes no numbers");
  if (is_standard_normalization(options.normalize))
    throw usage_error("normalize=standard", "is measured on a data set, which a server has none of",
                      "write the means and deviations: normalize=M,M,M/S,S,S");
  normalization_ = parse_normalization(options.normalize, DType::u8, shape_.channels);
  for (int64_t c = 0; c < shape_.channels; ++c)
    for (int v = 0; v < 256; ++v) table_.push_back(float(normalization_.apply(v, c)));
}

Tensor PictureInput::read(const Tensor& bytes, bool base64, PictureSeconds& spent) const {
  const std::string where = "input '" + name_ + "'";
  if (bytes.rank() < 1 || bytes.rank() > 2 || bytes.shape()[0] < 1 ||
      (bytes.rank() == 2 && bytes.shape()[1] != 1))
    throw bad_input(where, "has the shape " + to_string(bytes.shape()) +
                               "; pictures are BYTES [N], one element a row");
  Shape shape = {bytes.shape()[0], shape_.channels, shape_.height, shape_.width};
  if (shape_.layout == PictureLayout::nhwc) shape = {shape[0], shape[2], shape[3], shape[1]};
  const int64_t row = product(shape, 1, shape.size());
  // Before memory for them is taken: a few bytes can claim to be a picture.
  if (shape[0] > most_elements_ / row)
    throw Rejection(413, where + ": " + std::to_string(shape[0]) + " pictures have more than " +
                             std::to_string(most_elements_) + " elements");
  Tensor floats(DType::f32, shape);
  for (int64_t i = 0; i < shape[0]; ++i) {
    const std::string at = where + ": picture " + std::to_string(i);
    const std::string& given = bytes.data<std::string>()[i];
    float* out = floats.mutable_data<float>() + i * row;
    if (!base64) {
      read_one(given, at, out, spent);
      continue;
    }
    const auto plain = from_base64(given);
    if (!plain) throw bad_input(at, "is not base64, as pictures within JSON are written");
    read_one(*plain, at, out, spent);
  }
  return dtype_ == DType::f32 ? floats : floats.cast(dtype_);
}

void PictureInput::read_one(const std::string& bytes, const std::string& where, float* out,
                            PictureSeconds& spent) const {
  const int64_t width = shape_.width, channels = shape_.channels;
  const int64_t plane = shape_.height * width;
  const bool interleave = shape_.layout == PictureLayout::nhwc;
  const PictureForm form{int(width), int(shape_.height), int(channels), shrink_};
  stream_picture(
      bytes, where, form, most_pixels_,
      [&](int y, const uint8_t* row) {
        for (int64_t c = 0; c < channels; ++c) {
          const float* table = table_.data() + 256 * c;
          float* to = interleave ? out + y * width * channels + c : out + c * plane + y * width;
          const int64_t step = interleave ? channels : 1;
          for (int64_t x = 0; x < width; ++x) to[x * step] = table[row[x * channels + c]];
        }
      },
      &spent);
}

}  // namespace espalier::serve
