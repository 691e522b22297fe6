// Transpositions of every width and order against moving element by element.
#include "kernels/transpose.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "tensor/shape.h"

namespace espalier::kernels {
namespace {

std::vector<uint8_t> bytes(size_t n) {
  std::vector<uint8_t> v(n);
  for (size_t i = 0; i < n; ++i) v[i] = uint8_t((i * 2654435761u) >> 13);
  return v;
}

std::vector<uint8_t> moved(const std::vector<uint8_t>& x, const Shape& shape,
                           const std::vector<int64_t>& strides, size_t width) {
  std::vector<uint8_t> y(size_t(numel(shape)) * width);
  for (int64_t i = 0; i < numel(shape); ++i) {
    int64_t from = 0, rest = i;
    for (size_t d = shape.size(); d-- > 0; rest /= shape[d]) from += rest % shape[d] * strides[d];
    std::memcpy(&y[size_t(i) * width], &x[size_t(from) * width], width);
  }
  return y;
}

TEST(Transpose, MovesEveryOrderOfAxes) {
  const Shape x = {3, 21, 2, 35};
  std::vector<size_t> perm = {0, 1, 2, 3};
  do {
    Shape shape;
    std::vector<int64_t> strides;
    for (size_t p : perm) {
      shape.push_back(x[p]);
      strides.push_back(strides_of(x)[p]);
    }
    for (size_t width : {1, 2, 4, 8}) {
      const auto in = bytes(size_t(numel(x)) * width);
      std::vector<uint8_t> out(in.size());
      copy_strided(in.data(), out.data(), shape, strides, width);
      ASSERT_EQ(out, moved(in, shape, strides, width)) << to_string(shape) << " by " << width;
    }
  } while (std::ranges::next_permutation(perm).found);
}

TEST(Transpose, MovesMatricesOfEverySize) {
  for (int64_t rows : {1, 4, 5, 16, 33, 200})
    for (int64_t columns : {1, 3, 8, 17, 64, 129})
      for (int64_t batch : {1, 3})
        for (size_t width : {1, 2, 4, 8}) {
          const Shape shape = {batch, columns, rows};
          const auto in = bytes(size_t(numel(shape)) * width);
          std::vector<uint8_t> out(in.size());
          transpose_matrices(in.data(), out.data(), batch, rows, columns, width);
          ASSERT_EQ(out, moved(in, shape, {rows * columns, 1, columns}, width))
              << to_string(shape) << " by " << width;
        }
}

TEST(Transpose, BroadcastsAndSkips) {
  const auto in = bytes(4 * 1000);
  const Shape shape = {20, 5, 20};
  for (const std::vector<int64_t>& strides :
       {std::vector<int64_t>{1, 0, 20}, {1, 0, 0}, {0, 1, 40}, {2, 40, 0}, {1, 20, 30}}) {
    std::vector<uint8_t> out(size_t(numel(shape)) * 4);
    copy_strided(in.data(), out.data(), shape, strides, 4);
    ASSERT_EQ(out, moved(in, shape, strides, 4));
  }
}

}  // namespace
}  // namespace espalier::kernels
