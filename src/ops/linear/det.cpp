// Det, ONNX opset 11: the determinant of each matrix of [..., n, n], by elimination with pivots.
// espalier.DetGrad(x, dy): dx = dy * cofactors(x), which holds for singular matrices too.
#include <cmath>

#include "ops/catalogue.h"
#include "ops/common.h"

namespace espalier::ops {
namespace {

using Matrix = std::vector<double>;

void require_matrices(const TypesIn& in) {
  require_float(in, 0);
  const Dims& dims = in[0].dims;
  const bool square = dims.size() >= 2 && (!dims.back().known() || !dims[dims.size() - 2].known() ||
                                           dims.back() == dims[dims.size() - 2]);
  if (!square) in.fail(to_string(in[0]) + " holds no square matrices");
}

TensorType of_matrices(const TensorType& x) {
  return {x.dtype, Dims(x.dims.begin(), x.dims.end() - 2)};
}

/// Eliminates below the diagonal of the n x width matrix `m` (width >= n), whose first n columns
/// are square; returns their determinant.
double eliminate(Matrix& m, size_t n, size_t width) {
  double det = 1;
  for (size_t k = 0; k < n; ++k) {
    size_t pivot = k;
    for (size_t i = k; i < n; ++i)
      if (std::abs(m[i * width + k]) > std::abs(m[pivot * width + k])) pivot = i;
    if (pivot != k) {
      det = -det;
      for (size_t j = 0; j < width; ++j) std::swap(m[k * width + j], m[pivot * width + j]);
    }
    const double top = m[k * width + k];
    det *= top;
    if (top == 0) return 0;
    for (size_t i = k + 1; i < n; ++i) {
      const double factor = m[i * width + k] / top;
      for (size_t j = k; j < width; ++j) m[i * width + j] -= factor * m[k * width + j];
    }
  }
  return det;
}

/// Each cofactor from its minor: for matrices without an inverse.
Matrix cofactors_from_minors(const Matrix& x, size_t n) {
  Matrix c(n * n);
  for (size_t row = 0; row < n; ++row)
    for (size_t column = 0; column < n; ++column) {
      Matrix minor;
      for (size_t i = 0; i < n; ++i)
        for (size_t j = 0; j < n; ++j)
          if (i != row && j != column) minor.push_back(x[i * n + j]);
      c[row * n + column] = ((row + column) % 2 ? -1 : 1) * eliminate(minor, n - 1, n - 1);
    }
  return c;
}

/// det(x) times the transposed inverse, the inverse from eliminating [x, 1].
Matrix cofactors(const Matrix& x, size_t n) {
  const size_t width = 2 * n;
  Matrix m(n * width, 0.0), c(n * n);
  for (size_t i = 0; i < n; ++i) {
    std::copy_n(x.begin() + int64_t(i * n), n, m.begin() + int64_t(i * width));
    m[i * width + n + i] = 1;
  }
  // Sign, mantissa and exponent: of many rows the determinant may lie outside the range of doubles.
  double mantissa = std::copysign(1.0, eliminate(m, n, width));
  int exponent = 0;
  for (size_t i = 0; i < n; ++i) {
    const double pivot = m[i * width + i];
    if (pivot == 0) return cofactors_from_minors(x, n);
    int more = 0;
    mantissa = std::frexp(mantissa * std::abs(pivot), &more);
    exponent += more;
  }
  for (size_t j = 0; j < n; ++j)
    for (size_t i = n; i-- > 0;) {  // back substitution: column j of the inverse
      double v = m[i * width + n + j];
      for (size_t k = i + 1; k < n; ++k) v -= m[i * width + k] * c[j * n + k];
      c[j * n + i] = v / m[i * width + i];
    }
  for (double& v : c) v = std::ldexp(v * mantissa, exponent);
  return c;
}

template <class Real, class F>
void for_each_matrix(Ref<Real>& r, F f) {
  const size_t n = size_t(r.shape(0).back());
  const Shape& shape = r.shape(0);
  const auto count = size_t(product(shape, 0, shape.size() - 2));
  const auto x = r.real(0);
  for (size_t k = 0; k < count; ++k) {
    const auto first = x.begin() + int64_t(k * n * n);
    f(k, n, Matrix(first, first + int64_t(n * n)));
  }
}

Types infer(const NoAttributes&, const TypesIn& in) {
  require_matrices(in);
  return {of_matrices(in[0])};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const auto y = r.out_real(0);
  for_each_matrix(r, [&](size_t k, size_t n, Matrix x) { y[k] = Real(eliminate(x, n, n)); });
}

Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  return b.op(det_grad(), Attributes::of(NoAttributes{}), {t.x(0), t.dy()});
}

/// About 2/3 n^3 operations for each matrix, times `factor`.
Cost elimination_cost(const TypesIn& in, const Types& out, double factor) {
  const double n = double(in[0].dims.back().value());
  return {0, factor * n * double(in[0].numel()), traffic(in, out)};
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) {
  return elimination_cost(in, out, 2.0 / 3);
}

// The determinant of zeros is zero, of nothing it is one.
AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) {
  AxisMap map = AxisMap::identity(in, !in[0].dims.back().is(0));
  std::erase_if(map.ties,
                [&](const AxisTie& tie) { return tie.places[0].axis >= in[0].rank() - 2; });
  return map;
}

Types infer_grad(const NoAttributes&, const TypesIn& in) {
  require_matrices(in);
  require_same_dtype(in, 0, 2);
  require_like_result(in, 1, of_matrices(in[0]));
  return {in[0]};
}

template <class Real>
void reference_grad(const NoAttributes&, Ref<Real>& r) {
  const auto dy = r.real(1);
  const auto dx = r.out_real(0);
  for_each_matrix(r, [&](size_t k, size_t n, const Matrix& x) {
    const Matrix c = cofactors(x, n);
    for (size_t i = 0; i < n * n; ++i) dx[k * n * n + i] = Real(double(dy[k]) * c[i]);
  });
}

Cost cost_grad(const NoAttributes&, const TypesIn& in, const Types& out) {
  return elimination_cost(in, out, 8.0 / 3);
}

}  // namespace

const Room& det() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Det", 11},
      .arity = {1, 1},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = no_c_form(),
      .samples = {{{}, {x({3, 3})}},
                  {{}, {x({2, 3, 2, 2})}},
                  {{}, {x({2, 1, 1})}},
                  {{}, {OperandSpec::fixed(Tensor::from<float>({2, 2}, {1, 2, 2, 4}))}},
                  {{}, {x({2, 0, 0})}},
                  {{}, {x({0, 2, 2})}}},
  });
  return room;
}

const Room& det_grad() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<NoAttributes>({
      .onnx = {"DetGrad", 1, "espalier"},
      .arity = {2, 2},
      .infer = infer_grad,
      .reference = ESP_REFERENCE(NoAttributes, reference_grad),
      .gradient = Refuse{"a second derivative of a determinant is not offered"},
      .cost = cost_grad,
      .axes = Refuse{"cut the network before it is differentiated"},
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = Refuse{"is not written in C yet"},
      .samples = {{{}, {x({2, 3, 3}), x({2})}},
                  {{},
                   {OperandSpec::fixed(Tensor::from<float>({3, 3}, {1, 2, 3, 2, 4, 6, 1, 0, 1})),
                    x({})}}},
  });
  return room;
}

}  // namespace espalier::ops
