// Matrix products by oneDNN: MatMul and Gemm, in float and in integers.
#include "bind/matmul.h"

#include <algorithm>

#include "bind/attribute_reader.h"
#include "bind/contraction.h"
#include "bind/families.h"
#include "bind/integer_weights.h"
#include "bind/sequence_kernel.h"
#include "kernels/convolution.h"

namespace espalier::bind {
namespace {

/// Shapes and strides of a product with everything ONNX allows made explicit.
struct Product {
  Shape a, b, y;
  std::vector<int64_t> a_strides, b_strides;
  int64_t weight_axis = 0;  ///< of b as stored: the one that gives columns
  float alpha = 1, beta = 1;
};

Product gemm_product(const Contraction& c) {
  const AttributeReader attr(*c.room, c.attrs);
  Product p;
  const Shape a = c[0].type.shape(), b = c[1].type.shape();
  const bool ta = attr.integer("transA", 0) != 0, tb = attr.integer("transB", 0) != 0;
  p.a = ta ? Shape{a[1], a[0]} : a;
  p.b = tb ? Shape{b[1], b[0]} : b;
  p.y = {p.a[0], p.b[1]};
  p.a_strides = ta ? std::vector<int64_t>{1, a[1]} : std::vector<int64_t>{a[1], 1};
  p.b_strides = tb ? std::vector<int64_t>{1, b[1]} : std::vector<int64_t>{b[1], 1};
  p.weight_axis = tb ? 0 : 1;
  p.alpha = attr.get<float>("alpha", 1);
  p.beta = attr.get<float>("beta", 1);
  return p;
}

Product matmul_product(const Contraction& c) {
  Product p;
  p.a = c[0].type.shape();
  p.b = c[1].type.shape();
  const bool vector_b = p.b.size() == 1;
  if (p.a.size() == 1) p.a.insert(p.a.begin(), 1);
  if (vector_b) p.b.push_back(1);
  p.weight_axis = vector_b ? -1 : int64_t(p.b.size()) - 1;
  if (p.b.size() == 2) {
    // All leading axes of a are rows.
    p.a = {product(p.a, 0, p.a.size() - 1), p.a.back()};
  } else {
    const size_t rank = std::max(p.a.size(), p.b.size());
    p.a.insert(p.a.begin(), rank - p.a.size(), 1);
    p.b.insert(p.b.begin(), rank - p.b.size(), 1);
  }
  p.a_strides = strides_of(p.a);
  p.b_strides = strides_of(p.b);
  if (c[1].transposed)
    for (auto* of_b : {&p.b, &p.b_strides}) std::swap(of_b->end()[-1], of_b->end()[-2]);
  p.y = p.a;
  p.y.back() = p.b.back();
  for (size_t i = 0; i + 2 < p.y.size(); ++i) p.y[i] = std::max(p.a[i], p.b[i]);
  return p;
}

/// The bias of a float product: [N] or [M, N] after broadcasting rules; alpha divided out.
std::optional<Refuse> float_bias(const Contraction& c, const Product& p, kernels::MatmulSpec& s,
                                 Tensor& scaled) {
  if (!c.has(2)) return std::nullopt;
  const ContractionOperand& b = c[2];
  Shape shape = b.type.shape();
  if (shape.size() > p.y.size()) return Refuse{"the bias has more axes than the result"};
  shape.insert(shape.begin(), p.y.size() - shape.size(), 1);
  if (shape.back() != p.y.back()) return Refuse{"the bias is not one number per column"};
  const void* data = b.constant ? b.constant->raw() : nullptr;
  if (p.alpha != 1 || p.beta != 1) {
    if (!b.constant || b.type.dtype != DType::f32 || p.alpha == 0)
      return Refuse{"alpha or beta scales a bias not known at compile time"};
    scaled = b.constant->clone();
    for (int64_t i = 0; i < scaled.size(); ++i) scaled.mutable_data<float>()[i] *= p.beta / p.alpha;
    data = scaled.raw();
  }
  s.bias = kernels::Weight{b.type.dtype, shape, data, size_t(std::max(0, b.outer))};
  return std::nullopt;
}

}  // namespace

std::variant<MatmulRequest, Refuse> matmul_request(const BindRequest& r) {
  auto parsed = contraction_of(r, Transposed::kRead);
  if (auto* no = std::get_if<Refuse>(&parsed)) return *no;
  MatmulRequest m{std::get<Contraction>(std::move(parsed)), {}, {}};
  const Contraction& c = m.contraction;
  const std::string name = c.room->full_name();
  if (name != "MatMul" && name != "Gemm") return Refuse{"the region is around " + c.room->op.name};
  if (name == "Gemm" && c[1].transposed)
    return Refuse{"an operand is transposed outside of its attributes"};
  const Product p = name == "Gemm" ? gemm_product(c) : matmul_product(c);
  if (numel(p.a) == 0 || numel(p.b) == 0) return Refuse{"a tensor is empty"};
  if (c[0].constant) return Refuse{"the first operand is a constant"};

  kernels::MatmulSpec& s = m.spec;
  s.a = p.a;
  s.b = p.b;
  s.y = p.y;
  s.a_strides = p.a_strides;
  s.b_strides = p.b_strides;
  s.a_type = c[0].type.dtype;
  s.b_type = c[1].type.dtype;
  s.y_type = result_type(c);
  s.b_constant = c[1].constant ? c[1].constant->raw() : nullptr;
  s.a_operand = size_t(c[0].outer);
  s.b_operand = size_t(std::max(0, c[1].outer));
  std::vector<float> scales;
  if (c.integer()) {
    if (c[0].quant->scales.size() != 1) return Refuse{"the operand has several scales"};
    if (p.b.size() != 2 || p.weight_axis < 0) return Refuse{"the weight is no matrix"};
    if (p.alpha != 1 || p.beta != 1) return Refuse{"alpha or beta is not 1"};
    auto made = integer_weights(c, 1, p.weight_axis, true);
    if (auto* no = std::get_if<Refuse>(&made)) return *no;
    auto& weights = std::get<IntegerWeights>(made);
    scales = weights.scales;
    m.bias = weights.bias;
    if (m.bias.size() > 0) s.bias = kernels::Weight{DType::f32, {1, p.y.back()}, m.bias.raw(), 2};
  } else {
    if (s.a_type != DType::f32 && s.a_type != DType::bf16)
      return Refuse{"the operand is " + std::string(name_of(s.a_type))};
    if (auto no = float_bias(c, p, s, m.bias)) return *no;
    if (p.alpha != 1) scales = {p.alpha};
  }
  auto epilogue = epilogue_of(c, s.y_type, scales);
  if (auto* no = std::get_if<Refuse>(&epilogue)) return *no;
  s.epilogue = std::get<kernels::Epilogue>(std::move(epilogue));
  return m;
}

std::vector<int> constant_operands(const BindRequest& r) {
  std::vector<int> constants;
  for (size_t i = 0; i < r.in.size(); ++i)
    if (r.in.constant(i)) constants.push_back(int(i));
  return constants;
}

namespace {

/// From so many elements on, a pass of ours for GELU and what follows takes less time than oneDNN's
/// post-op: in 8 bits with AVX-512, 197 x 192 x 768 with it then takes 1.7 times as long as 197 x
/// 768 x 192 without, instead of 2.4.
constexpr int64_t kWorthAPass = 1 << 13;

using Steps = std::vector<kernels::EpilogueStep>;

/// Where the steps that a pass of ours applies begin: at a residual of integers (after a sum, an
/// affine function, Relu and another affine one, products of oneDNN 2.6.3 are wrong), or at GELU;
/// the end where there is neither.
Steps::const_iterator own_steps(const kernels::MatmulSpec& s) {
  using Kind = kernels::EpilogueStep::Kind;
  const Steps& steps = s.epilogue.steps;
  if (!kernels::pointwise_handles(s.y_type) || s.y_type == DType::bf16) return steps.end();
  const bool large = numel(s.y) >= kWorthAPass;
  const auto begin = std::ranges::find_if(steps, [&](const kernels::EpilogueStep& step) {
    if (step.kind == Kind::kResidual) return !is_float(step.residual_type);
    return large && step.op.code == ScalarCode::kGelu;
  });
  // Where the pass reads f32 it works in place, on what a residual may still have to be added to.
  const bool blocked = std::any_of(begin, steps.end(), [](const auto& step) {
    return step.kind == Kind::kResidual && is_float(step.residual_type);
  });
  return blocked ? steps.end() : begin;
}

/// The steps from `begin` on, of the product and of the operands put into `residuals`.
std::shared_ptr<const kernels::PointwiseKernel> chain_of(Steps::const_iterator begin,
                                                         const kernels::MatmulSpec& s,
                                                         std::vector<size_t>& residuals) {
  using Kind = kernels::EpilogueStep::Kind;
  kernels::PointwiseChain chain;
  chain.shape = {numel(s.y)};
  chain.operands = {{DType::f32, {1}}};
  for (auto step = begin; step != s.epilogue.steps.end(); ++step) {
    if (step->kind != Kind::kResidual) continue;
    residuals.push_back(step->operand);
    chain.operands.push_back({step->residual_type, {1}});
  }
  const int operands = int(chain.operands.size());
  int value = 0, residual = 0;
  const auto append = [&](ScalarOp op, int x, int y = -1) {
    chain.steps.push_back({op, {x, y, -1}});
    return operands + int(chain.steps.size()) - 1;
  };
  for (auto step = begin; step != s.epilogue.steps.end(); ++step)
    value = step->kind == Kind::kScalar
                ? append(step->op, value)
                : append({ScalarCode::kAdd}, value,
                         append({ScalarCode::kAffine, step->scale, 0}, ++residual));
  chain.results = {{value, s.y_type}};
  return std::make_shared<const kernels::PointwiseKernel>(std::move(chain));
}

std::variant<KernelPtr, Refuse> prepared_kernel(kernels::MatmulSpec s) {
  const auto own = own_steps(s);
  std::shared_ptr<const kernels::PointwiseKernel> chain;
  std::vector<size_t> residuals;
  size_t between = 0;
  if (own != s.epilogue.steps.end()) {
    chain = chain_of(own, s, residuals);
    if (s.y_type != DType::f32) between = size_t(numel(s.y)) * sizeof(float);
    s.y_type = DType::f32;
    s.epilogue.steps.erase(own, s.epilogue.steps.end());
  }
  auto prepared = kernels::prepare_matmul(s);
  if (!prepared.sequence) return Refuse{prepared.refusal};
  if (!chain) return sequence_kernel("onednn.matmul", std::move(prepared.sequence));
  return chained_kernel("onednn.matmul", std::move(prepared.sequence), chain, std::move(residuals),
                        between);
}

Bound bind_matmul(const BindRequest& r) {
  const auto request = matmul_request(r);
  if (const auto* no = std::get_if<Refuse>(&request)) return *no;
  const auto& [contraction, bias, spec] = std::get<MatmulRequest>(request);
  if (const auto no = saturating_sums(contraction)) return *no;
  auto prepared = prepared_kernel(spec);
  if (const auto* no = std::get_if<Refuse>(&prepared)) return *no;
  KernelPtr kernel = std::get<KernelPtr>(std::move(prepared));
  kernel->absorbed = constant_operands(r);
  kernel->in_place = residual_places(contraction);
  return kernel;
}

}  // namespace

Entries matmul_entries() {
  const Candidate matmul{"onednn.matmul", bind_matmul};
  return {{"MatMul", matmul}, {"Gemm", matmul}, {"espalier.Fused", matmul}};
}

}  // namespace espalier::bind
