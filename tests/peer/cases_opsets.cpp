// What opsets 18 to 21 of ai.onnx changed.
#include <cmath>
#include <limits>

#include "tests/peer/cases.h"

namespace espalier::testing {
namespace {

using P = PeerCase;
using Ints = std::vector<int64_t>;

Tensor list(const Ints& v) { return Tensor::vector_i64(v); }
Tensor floats(const std::vector<float>& v) {
  return Tensor::from<float>({int64_t(v.size())}, std::span<const float>(v));
}
Tensor bools(Shape shape, int seed) { return steps(std::move(shape), seed, 0, 1, DType::boolean); }
Tensor strings(Shape shape, std::initializer_list<std::string> v) {
  return Tensor::from<std::string>(std::move(shape), v);
}

std::vector<P> resizes() {
  const auto resize = [](const std::string& what, Shape shape, int64_t opset = 19) {
    P c("Resize." + what, "Resize", opset);
    return c.fed(wave(std::move(shape), 1)).omitted();
  };
  const auto text = [](const char* s) { return std::string(s); };
  std::vector<P> cases = {
      resize("axes_18", {1, 2, 4, 5}, 18)
          .stored(floats({2, 1.5f}))
          .with("axes", Ints{2, 3})
          .with("mode", text("linear")),
      resize("axes_and_sizes", {1, 2, 4, 5})
          .omitted()
          .stored(list({7, 3}))
          .with("axes", Ints{3, 2})
          .with("mode", text("cubic")),
      resize("half_pixel_symmetric", {1, 1, 1, 4})
          .stored(floats({1, 1, 1, 0.6f}))
          .with("mode", text("linear"))
          .with("coordinate_transformation_mode", text("half_pixel_symmetric")),
      resize("half_pixel_symmetric_up", {1, 1, 1, 4})
          .stored(floats({1, 1, 1, 1.9f}))
          .with("mode", text("linear"))
          .with("coordinate_transformation_mode", text("half_pixel_symmetric")),
      resize("antialias_linear", {1, 1, 8, 9}, 18)
          .stored(floats({1, 1, 0.4f, 0.6f}))
          .with("mode", text("linear"))
          .with("antialias", int64_t{1}),
      resize("antialias_cubic", {1, 1, 8, 9}, 18)
          .stored(floats({1, 1, 0.4f, 0.6f}))
          .with("mode", text("cubic"))
          .with("antialias", int64_t{1}),
      resize("antialias_cubic_inside", {1, 1, 8, 9}, 18)
          .stored(floats({1, 1, 0.4f, 0.6f}))
          .with("mode", text("cubic"))
          .with("exclude_outside", int64_t{1})
          .with("antialias", int64_t{1}),
      resize("antialias_linear_sizes", {1, 2, 7, 10})
          .omitted()
          .stored(list({1, 2, 3, 4}))
          .with("mode", text("linear"))
          .with("antialias", int64_t{1}),
      resize("antialias_enlarges", {1, 1, 3, 4})
          .stored(floats({1, 1, 2, 1.5f}))
          .with("mode", text("linear"))
          .with("antialias", int64_t{1}),
  };
  for (const char* policy : {"not_larger", "stretch"})
    cases.push_back(resize(std::string("aspect_") + policy, {1, 1, 2, 4})
                        .omitted()
                        .stored(list({1, 1, 7, 8}))
                        .with("axes", Ints{0, 1, 2, 3})
                        .with("mode", text("linear"))
                        .with("keep_aspect_ratio_policy", text(policy)));
  for (const char* policy : {"not_larger", "not_smaller"})
    cases.push_back(resize(std::string("aspect_of_two_axes_") + policy, {1, 1, 3, 4}, 18)
                        .omitted()
                        .stored(list({8, 7}))
                        .with("axes", Ints{2, 3})
                        .with("keep_aspect_ratio_policy", text(policy)));
  return cases;
}

std::vector<P> moves() {
  const auto pad = [](const std::string& what, Shape shape, const Ints& pads) {
    return P("Pad." + what, "Pad", 19).fed(wave(std::move(shape), 1)).stored(list(pads));
  };
  const auto scatter = [](const std::string& how) {
    return P("ScatterElements." + how, "ScatterElements", 18)
        .fed(wave({3, 3}, 1))
        .fed(Tensor::from<int64_t>({3, 2}, {0, 2, 1, 1, 2, 0}))
        .fed(wave({3, 2}, 2))
        .with("axis", int64_t{1})
        .with("reduction", how);
  };
  const auto scatter_nd = [](const std::string& how) {
    return P("ScatterND." + how, "ScatterND", 18)
        .fed(wave({3, 3}, 1))
        .fed(Tensor::from<int64_t>({3, 1}, {0, 2, 0}))
        .fed(wave({3, 3}, 2))
        .with("reduction", how);
  };
  std::vector<P> cases = {
      pad("wrap", {2, 3}, {1, 2, 0, 3}).with("mode", std::string("wrap")),
      pad("axes", {2, 3, 2}, {1, 2, 0, 1}).stored(Tensor::scalar(0.5f)).stored(list({-1, 0})),
      pad("axes_reflect", {2, 4}, {2, 1})
          .omitted()
          .stored(list({1}))
          .with("mode", std::string("reflect")),
      P("Split.uneven", "Split", 18)
          .fed(wave({7}, 1))
          .with("num_outputs", int64_t{3})
          .gives({P::kFloat, P::kFloat, P::kFloat}),
      P("CenterCropPad.crops_and_pads", "CenterCropPad", 18)
          .fed(wave({5, 4, 3}, 1))
          .stored(list({2, 7, 3})),
      P("CenterCropPad.axes", "CenterCropPad", 18)
          .fed(wave({4, 2, 6}, 1))
          .stored(list({3, 5}))
          .with("axes", Ints{-1, 0}),
      P("Col2Im.plain", "Col2Im", 18)
          .fed(wave({1, 8, 16}, 1))
          .stored(list({5, 5}))
          .stored(list({2, 2})),
      P("Col2Im.everything", "Col2Im", 18)
          .fed(wave({2, 12, 8}, 1))
          .stored(list({5, 4}))
          .stored(list({2, 2}))
          .with("dilations", Ints{1, 2})
          .with("pads", Ints{0, 1, 0, 1})
          .with("strides", Ints{2, 1}),
  };
  for (const char* how : {"add", "mul", "max", "min"}) {
    cases.push_back(scatter(how));
    cases.push_back(scatter_nd(how));
  }
  return cases;
}

std::vector<P> reductions() {
  std::vector<P> cases;
  for (const char* op : {"ReduceMax", "ReduceMin"}) {
    cases.push_back(P(std::string(op) + ".bools", op, 20)
                        .fed(bools({3, 4}, 1))
                        .stored(list({1}))
                        .gives({P::kBool}));
    cases.push_back(
        P(std::string(op) + ".axes_20", op, 20).fed(wave({2, 3, 2}, 1)).stored(list({0, 2})));
  }
  for (const char* op :
       {"ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceSumSquare"})
    cases.push_back(P(std::string(op) + ".axes_18", op, 18)
                        .fed(wave({2, 3, 2}, 1))
                        .stored(list({-1, 0}))
                        .with("keepdims", int64_t{0}));
  cases.push_back(P("ReduceLogSum.axes_18", "ReduceLogSum", 18)
                      .fed(steps({2, 3}, 1, 1, 9, DType::f32))
                      .stored(list({1})));
  cases.push_back(P("ReduceMean.no_axes_no_operation", "ReduceMean", 18)
                      .fed(wave({2, 3}, 1))
                      .with("noop_with_empty_axes", int64_t{1}));
  return cases;
}

std::vector<P> pointwise() {
  const Tensor a = steps({2, 3}, 1, -100, 100, DType::i32),
               b = steps({3}, 2, -100, 100, DType::i32);
  const Tensor special = floats({0, std::numeric_limits<float>::infinity(),
                                 -std::numeric_limits<float>::infinity(), std::nanf("")});
  std::vector<P> cases = {
      P("Gelu.exact", "Gelu", 20).fed(wave({2, 5}, 1, 3)),
      P("Gelu.tanh", "Gelu", 20).fed(wave({2, 5}, 1, 3)).with("approximate", std::string("tanh")),
      P("Mish.plain", "Mish", 18).fed(wave({2, 5}, 1, 3)),
      P("BitwiseAnd.broadcasts", "BitwiseAnd", 18).fed(a).fed(b).gives({P::kI32}),
      P("BitwiseOr.broadcasts", "BitwiseOr", 18).fed(a).fed(b).gives({P::kI32}),
      P("BitwiseXor.broadcasts", "BitwiseXor", 18).fed(a).fed(b).gives({P::kI32}),
      P("BitwiseNot.signed", "BitwiseNot", 18).fed(a).gives({P::kI32}),
      P("BitwiseNot.bytes", "BitwiseNot", 18).fed(steps({5}, 1, 0, 255, DType::u8)).gives({P::kU8}),
      P("Equal.strings", "Equal", 19)
          .fed(strings({2, 1}, {"one", "two"}))
          .fed(strings({3}, {"two", "one", "three"}))
          .gives({P::kBool}),
      P("StringConcat.broadcasts", "StringConcat", 20)
          .fed(strings({2, 1}, {"one", "two"}))
          .fed(strings({2}, {"", ".com"}))
          .gives({P::kString}),
      P("IsInf.version_20", "IsInf", 20).stored(special).gives({P::kBool}),
      P("IsNaN.version_20", "IsNaN", 20).stored(special).gives({P::kBool}),
      P("Cast.saturate", "Cast", 19)
          .fed(floats({1.5f, -2.5f, 100}))
          .with("to", int64_t{6})
          .with("saturate", int64_t{1})
          .gives({P::kI32}),
      P("Pow.integer_exponents", "Pow", 15)
          .fed(wave({2, 3}, 1, 2))
          .fed(Tensor::from<int64_t>({3}, {0, 2, 3})),
  };
  return cases;
}

std::vector<P> quantisation() {
  const auto u8 = [](Shape s, int seed) { return steps(std::move(s), seed, 0, 255, DType::u8); };
  const Tensor scales = Tensor::from<float>({2, 2}, {0.02f, 0.05f, 0.1f, 0.03f});
  return {
      P("QuantizeLinear.blocks", "QuantizeLinear", 21)
          .fed(wave({2, 6}, 1, 2))
          .stored(scales)
          .stored(Tensor::from<uint8_t>({2, 2}, {100, 128, 3, 7}))
          .with("axis", int64_t{1})
          .with("block_size", int64_t{3})
          .gives({P::kU8}),
      P("QuantizeLinear.short_last_block", "QuantizeLinear", 21)
          .fed(wave({5, 2}, 1, 2))
          .stored(scales)
          .with("axis", int64_t{0})
          .with("block_size", int64_t{3})
          .gives({P::kU8}),
      P("QuantizeLinear.output_type", "QuantizeLinear", 21)
          .fed(wave({2, 3}, 1, 2))
          .stored(Tensor::scalar(0.02f))
          .with("output_dtype", int64_t{3})
          .gives({P::kI8}),
      P("DequantizeLinear.blocks", "DequantizeLinear", 21)
          .fed(u8({2, 6}, 1))
          .stored(scales)
          .stored(Tensor::from<uint8_t>({2, 2}, {100, 128, 3, 7}))
          .with("axis", int64_t{1})
          .with("block_size", int64_t{3}),
      P("DequantizeLinear.blocks_of_rows", "DequantizeLinear", 21)
          .fed(u8({5, 2}, 1))
          .stored(scales)
          .with("axis", int64_t{0})
          .with("block_size", int64_t{3}),
      P("DequantizeLinear.four_bits", "DequantizeLinear", 21)
          .stored_in_four_bits(steps({3, 5}, 1, -8, 7, DType::i8))
          .stored(Tensor::scalar(0.1f)),
      P("DequantizeLinear.four_bits_unsigned", "DequantizeLinear", 21)
          .stored_in_four_bits(steps({3, 5}, 1, 0, 15, DType::u8))
          .stored(floats({0.1f, 0.2f, 0.3f}))
          .stored_in_four_bits(Tensor::from<uint8_t>({3}, {8, 0, 15}))
          .with("axis", int64_t{0}),
      P("DequantizeLinear.four_bit_blocks", "DequantizeLinear", 21)
          .stored_in_four_bits(steps({2, 6}, 1, -8, 7, DType::i8))
          .stored(scales)
          .stored_in_four_bits(Tensor::from<int8_t>({2, 2}, {-8, 0, 3, 7}))
          .with("axis", int64_t{1})
          .with("block_size", int64_t{3}),
  };
}

std::vector<P> layers() {
  return {
      P("GroupNormalization.version_21", "GroupNormalization", 21)
          .fed(wave({2, 4, 3, 2}, 1))
          .stored(wave({4}, 2))
          .stored(wave({4}, 3))
          .with("num_groups", int64_t{2}),
      P("GroupNormalization.epsilon", "GroupNormalization", 21)
          .fed(wave({1, 6, 5}, 1))
          .stored(wave({6}, 2))
          .stored(wave({6}, 3))
          .with("epsilon", 0.5f)
          .with("num_groups", int64_t{3}),
      P("GroupNormalization.version_18", "GroupNormalization", 18)
          .fed(wave({2, 4, 3}, 1))
          .stored(wave({2}, 2))
          .stored(wave({2}, 3))
          .with("num_groups", int64_t{2}),
      P("AveragePool.dilations", "AveragePool", 19)
          .fed(wave({1, 2, 6, 5}, 1))
          .with("kernel_shape", Ints{2, 2})
          .with("dilations", Ints{2, 3}),
      P("AveragePool.dilations_and_pads", "AveragePool", 19)
          .fed(wave({1, 1, 6, 5}, 1))
          .with("kernel_shape", Ints{3, 2})
          .with("dilations", Ints{2, 1})
          .with("pads", Ints{1, 1, 1, 1})
          .with("strides", Ints{1, 2})
          .with("count_include_pad", int64_t{1}),
      P("AffineGrid.edges", "AffineGrid", 20).fed(wave({2, 2, 3}, 1)).stored(list({2, 1, 3, 4})),
      P("AffineGrid.corners", "AffineGrid", 20)
          .fed(wave({2, 2, 3}, 1))
          .stored(list({2, 1, 3, 4}))
          .with("align_corners", int64_t{1}),
      P("AffineGrid.space", "AffineGrid", 20).fed(wave({1, 3, 4}, 1)).stored(list({1, 1, 2, 3, 2})),
      P("DeformConv.plain", "DeformConv", 19)
          .fed(wave({1, 2, 4, 4}, 1))
          .stored(wave({3, 2, 2, 2}, 2))
          .fed(wave({1, 8, 3, 3}, 3)),
      P("DeformConv.everything", "DeformConv", 19)
          .fed(wave({2, 4, 5, 4}, 1))
          .stored(wave({2, 2, 2, 2}, 2))
          .fed(wave({2, 16, 3, 4}, 3, 2))
          .stored(wave({2}, 4))
          .fed(wave({2, 8, 3, 4}, 5))
          .with("strides", Ints{2, 1})
          .with("pads", Ints{1, 1, 1, 1})
          .with("dilations", Ints{1, 2})
          .with("group", int64_t{2})
          .with("offset_group", int64_t{2}),
  };
}

}  // namespace

std::vector<PeerCase> opset_cases() {
  std::vector<P> all;
  for (auto make : {resizes, moves, reductions, pointwise, quantisation, layers})
    for (P& c : make()) all.push_back(std::move(c));
  return all;
}

}  // namespace espalier::testing
