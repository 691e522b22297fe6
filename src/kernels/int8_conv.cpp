#include "kernels/int8_conv.h"

#include <emmintrin.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/int8_conv_tile.h"
#include "kernels/simd.h"
#include "kernels/vnni.h"

namespace espalier::kernels {

struct Int8Conv::Plan {
  Int8ConvSpec spec;
  int64_t channels = 0;  ///< of the padded image, a multiple of 4
  int64_t height = 0, width = 0;
  int triples = 0;     ///< see Int8Tile
  bool copies = true;  ///< false: the source can be read where it lies
  uint8_t fill = 0, flip = 0;
  std::vector<int32_t> offsets;  ///< of each group of four taps from a pixel's first one
  struct Block {
    int64_t first = 0;  ///< output channel
    int vectors = 1;    ///< of 16 channels
    size_t weights = 0;
  };
  std::vector<Block> blocks;
  std::vector<int8_t> weights;
  std::vector<int32_t> start;       ///< what the sum starts from, per channel
  std::vector<float> scales, bias;  ///< padded to vectors
  Int8Epilogue epilogue;
};

bool int8_conv_available() {
  static const bool available = has_vnni() && !has_matrix_tiles() &&
                                __builtin_cpu_supports("avx512bw") &&
                                __builtin_cpu_supports("avx512vl");
  return available;
}

Int8Epilogue int8_conv_epilogue(const Int8ConvSpec& s) {
  const auto is_8bit = [](DType t) { return t == DType::u8 || t == DType::i8; };
  ESP_CHECK(is_8bit(s.x_type) && (is_8bit(s.y_type) || s.y_type == DType::f32) &&
                (!s.residual || is_8bit(s.residual_type)),
            "an 8-bit convolution of other types");
  ESP_CHECK(s.x.size() == 4 && s.w.size() == 4 && s.y[1] == s.w[0] &&
                (s.scales.size() == 1 || s.scales.size() == size_t(s.y[1])),
            "an 8-bit convolution whose shapes do not fit");
  Int8Epilogue e;
  e.low = s.low + s.y_zero_point;
  e.high = s.high + s.y_zero_point;
  // Saturation may do what the limits ask for.
  const float least = s.y_type == DType::u8 ? 0.0f : -128.0f;
  const float most = s.y_type == DType::u8 ? 255.0f : 127.0f;
  e.clamps = s.clamps && (s.y_type == DType::f32 || e.low > least || e.high < most);
  e.residual_scale = s.residual_scale;
  e.residual_zero = s.residual_zero;
  e.residual = !s.residual                    ? Int8Epilogue::kNone
               : s.residual_type == DType::u8 ? Int8Epilogue::kU8
                                              : Int8Epilogue::kI8;
  e.result = s.y_type == DType::u8   ? Int8Epilogue::kU8
             : s.y_type == DType::i8 ? Int8Epilogue::kI8
                                     : Int8Epilogue::kF32;
  return e;
}

Int8Conv::Int8Conv(const Int8ConvSpec& s) {
  auto plan = std::make_unique<Plan>();
  Plan& p = *plan;
  p.epilogue = int8_conv_epilogue(s);
  ESP_CHECK(s.x[1] == s.w[1], "an 8-bit convolution whose shapes do not fit");
  p.spec = s;
  p.spec.weights = nullptr;
  const int64_t in = s.x[1], out = s.y[1], kh = s.w[2], kw = s.w[3];
  p.channels = (in + 3) / 4 * 4;
  // Rows and columns that any window reaches.
  p.height = (s.y[2] - 1) * s.strides[0] + (kh - 1) * s.dilations[0] + 1;
  p.width = (s.y[3] - 1) * s.strides[1] + (kw - 1) * s.dilations[1] + 1;
  const bool inside =
      s.pads_begin[0] == 0 && s.pads_begin[1] == 0 && p.height <= s.x[2] && p.width <= s.x[3];
  p.copies = !(inside && s.x_type == DType::u8 && p.channels == in);
  if (!p.copies) {
    p.height = s.x[2];
    p.width = s.x[3];
  }
  p.flip = s.x_type == DType::i8 ? 0x80 : 0;
  const int32_t zero = s.x_zero_point + (s.x_type == DType::i8 ? 128 : 0);
  p.fill = uint8_t(zero);
  p.triples = kw == 3 && s.dilations[1] == 1 && s.strides[1] <= 2 ? int(s.strides[1]) : 0;
  // Taps in the order in which the tiles meet them.
  struct Tap {
    int64_t i, j, c;
  };
  std::vector<Tap> taps;
  for (int64_t i = 0; i < kh; ++i)
    for (int64_t outer = 0; outer < (p.triples ? 1 : kw); ++outer)
      for (int64_t c = 0; c < p.channels; c += 4)
        for (int64_t j = outer; j < (p.triples ? 3 : outer + 1); ++j) {
          taps.push_back({i, j, c});
          if (p.triples && j > 0) continue;
          p.offsets.push_back(
              int32_t((i * s.dilations[0] * p.width + j * s.dilations[1]) * p.channels + c));
        }

  const int64_t padded = (out + 15) / 16 * 16;
  p.start.assign(size_t(padded), 0);
  p.scales.assign(size_t(padded), 0);
  p.bias.assign(size_t(padded), 0);
  const auto weight = [&](int64_t o, int64_t c, int64_t i, int64_t j) -> int8_t {
    if (o >= out || c >= in) return 0;
    return s.weights[((o * in + c) * kh + i) * kw + j];
  };
  for (int64_t o = 0; o < out; ++o) {
    int64_t sum = 0;
    for (int64_t k = 0; k < in * kh * kw; ++k) sum += s.weights[o * in * kh * kw + k];
    p.start[size_t(o)] = int32_t(-sum * zero);
    p.scales[size_t(o)] = s.scales[s.scales.size() == 1 ? 0 : size_t(o)];
    if (!s.bias.empty()) p.bias[size_t(o)] = s.bias[size_t(o)];
  }
  for (int64_t first = 0; first < padded;) {
    const int vectors = padded - first >= 32 ? 2 : 1;
    p.blocks.push_back({first, vectors, p.weights.size()});
    for (const auto& [i, j, c] : taps)
      for (int64_t o = first; o < first + 16 * vectors; ++o)
        for (int64_t l = 0; l < 4; ++l) p.weights.push_back(weight(o, c + l, i, j));
    first += 16 * vectors;
  }
  for (float& v : p.bias) v += s.y_zero_point;
  plan_ = std::move(plan);
}

Int8Conv::~Int8Conv() = default;

size_t Int8Conv::scratch_bytes() const {
  const Plan& p = *plan_;
  return p.copies ? size_t(p.spec.x[0] * p.height * p.width * p.channels) + 64 : 0;
}

size_t Int8Conv::packed_bytes() const {
  const Plan& p = *plan_;
  return p.weights.size() + 12 * p.start.size();
}

namespace {

/// One row of the padded image.
void copy_row(const Int8ConvSpec& s, int64_t image_channels, int64_t image_width, uint8_t fill,
              uint8_t flip, const uint8_t* row, uint8_t* to) {
  const int64_t in = s.x[1], left = std::min(s.pads_begin[1], image_width);
  const int64_t count = std::clamp<int64_t>(image_width - left, 0, s.x[3]);
  std::memset(to, fill, size_t(left * image_channels));
  uint8_t* at = to + left * image_channels;
  if (image_channels == in) {
    const int64_t n = count * in;
    if (flip == 0)
      std::memcpy(at, row, size_t(n));
    else
      for (int64_t i = 0; i < n; ++i) at[i] = row[i] ^ flip;
  } else if (in == 3) {
    for (int64_t i = 0; i < count; ++i) {
      uint32_t pixel =
          uint32_t(row[3 * i]) | uint32_t(row[3 * i + 1]) << 8 | uint32_t(row[3 * i + 2]) << 16;
      pixel ^= 0x010101u * flip;
      std::memcpy(at + 4 * i, &pixel, 4);
    }
  } else {
    // Whole vectors, each overwritten by the next pixel's; near the end of the row byte by byte.
    // Channels beyond the source's meet weights of zero and may hold anything.
    const __m128i flips = _mm_set1_epi8(char(flip));
    int64_t i = 0;
    for (; (i + 1) * in + 16 <= s.x[3] * in &&
           (i + 1) * image_channels + 16 <= count * image_channels;
         ++i)
      for (int64_t c = 0; c < in; c += 16) {
        const auto* from = reinterpret_cast<const __m128i*>(row + i * in + c);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(at + i * image_channels + c),
                         _mm_xor_si128(_mm_loadu_si128(from), flips));
      }
    for (; i < count; ++i)
      for (int64_t c = 0; c < in; ++c) at[i * image_channels + c] = row[i * in + c] ^ flip;
  }
  std::memset(at + count * image_channels, fill,
              size_t((image_width - left - count) * image_channels));
}

}  // namespace

void Int8Conv::run(const void* x, const void* residual, void* y, void* scratch) const {
  const Plan& p = *plan_;
  const Int8ConvSpec& s = p.spec;
  const int64_t images = s.x[0], out = s.y[1];
  const int64_t row_bytes = p.width * p.channels;
  const auto* source = static_cast<const uint8_t*>(x);
  const auto* image = source;
  if (p.copies) {
    auto* to = static_cast<uint8_t*>(scratch);
    parallel_for(images * p.height,
                 std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, row_bytes)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t r = begin; r < end; ++r) {
                     const int64_t n = r / p.height, row = r % p.height - s.pads_begin[0];
                     if (row < 0 || row >= s.x[2])
                       std::memset(to + r * row_bytes, p.fill, size_t(row_bytes));
                     else
                       copy_row(s, p.channels, p.width, p.fill, p.flip,
                                source + (n * s.x[2] + row) * s.x[3] * s.x[1], to + r * row_bytes);
                   }
                 });
    image = to;
  }
  const size_t y_width = s.y_type == DType::f32 ? 4 : 1;
  const int64_t work = s.y[3] * int64_t(p.offsets.size()) * out;
  parallel_for(images * s.y[2], std::max<int64_t>(1, (1 << 18) / std::max<int64_t>(1, work)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t r = begin; r < end; ++r) {
                   const int64_t n = r / s.y[2], row = r % s.y[2];
                   Int8Tile tile;
                   tile.image = image + (n * p.height + row * s.strides[0]) * row_bytes;
                   tile.triples = p.triples;
                   tile.column = p.channels;
                   tile.step = s.strides[1] * p.channels;
                   tile.offsets = p.offsets.data();
                   tile.taps = int64_t(p.offsets.size());
                   tile.stride = out;
                   tile.epilogue = &p.epilogue;
                   for (const Plan::Block& b : p.blocks) {
                     const size_t first = size_t(b.first);
                     tile.weights = p.weights.data() + b.weights;
                     tile.start = p.start.data() + first;
                     tile.scales = p.scales.data() + first;
                     tile.bias = p.bias.data() + first;
                     tile.channels = std::min<int64_t>(out - b.first, 16 * b.vectors);
                     const int64_t at = r * s.y[3] * out + b.first;
                     tile.y = static_cast<char*>(y) + size_t(at) * y_width;
                     tile.residual =
                         residual ? static_cast<const uint8_t*>(residual) + at : nullptr;
                     int8_conv_row(tile, b.vectors, s.y[3]);
                   }
                 }
               });
}

}  // namespace espalier::kernels
