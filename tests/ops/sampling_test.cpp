// Sampling, spectra, contractions and steps on numbers worked out by hand, and what they refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/registry.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Ints = std::vector<int64_t>;

Tensor floats(Shape shape, std::initializer_list<float> values) {
  return Tensor::from<float>(std::move(shape), values);
}
Tensor number(int64_t v) { return Tensor::scalar(v); }

/// An empty 1-D f32 tensor stands for an omitted operand.
std::vector<Tensor> run(const char* op, const std::vector<Tensor>& operands,
                        const AttributeMap& attributes = {}) {
  const Room& room = room_named(op);
  std::vector<const Tensor*> p;
  for (const Tensor& t : operands) p.push_back(t.shape() == Shape{0} ? nullptr : &t);
  return run_reference(room, room.parse(attributes, op), p);
}

std::string refusal(const char* op, const std::vector<Tensor>& operands,
                    const AttributeMap& attributes = {}) {
  try {
    run(op, operands, attributes);
  } catch (const UserError& e) {
    return e.what() + ("; " + e.hint());
  }
  return "";
}

std::vector<double> numbers(const Tensor& t) {
  std::vector<double> v;
  for (int64_t i = 0; i < t.size(); ++i) v.push_back(std::round(t.at(i) * 1e4) / 1e4 + 0.0);
  return v;
}

AttributeMap equation(const char* text) { return {{"equation", std::string(text)}}; }

TEST(Einsum, SumsProducts) {
  const Tensor a = floats({2, 2}, {1, 2, 3, 4}), b = floats({2}, {10, 1});
  EXPECT_THAT(numbers(run("Einsum", {a, b}, equation("ij,j->i"))[0]), ElementsAre(12, 34));
  EXPECT_THAT(numbers(run("Einsum", {a}, equation("ii"))[0]), ElementsAre(5));
  EXPECT_THAT(numbers(run("Einsum", {a}, equation("ji"))[0]), ElementsAre(1, 3, 2, 4));
  EXPECT_THAT(numbers(run("Einsum", {a}, equation("i...->..."))[0]), ElementsAre(4, 6));
  // Axes of an ellipsis that the result leaves out are summed over.
  EXPECT_THAT(numbers(run("Einsum", {a}, equation("...i->i"))[0]), ElementsAre(4, 6));
}

TEST(Einsum, RefusesEquationsThatDoNotFit) {
  const Tensor a = floats({2, 2}, {1, 2, 3, 4}), b = floats({3}, {1, 2, 3});
  const auto error = [&](const char* text) { return refusal("Einsum", {a, b}, equation(text)); };
  EXPECT_THAT(error("ij->i"), HasSubstr("for 1 operands, there are 2"));
  EXPECT_THAT(error("ij,j->i"), HasSubstr("'j' stands for extents 2 and 3"));
  EXPECT_THAT(error("ijk,l->i"), HasSubstr("rank 2"));
  EXPECT_THAT(error("ij,k->ii"), HasSubstr("names 'i' twice"));
  EXPECT_THAT(error("ij,k->m"), HasSubstr("which no operand has"));
  EXPECT_THAT(error("i1,k->i"), HasSubstr("holds '1'"));
  EXPECT_THAT(error("i....,k->i"), HasSubstr("holds '.'"));
}

TEST(Einsum, ExpandsWithAnOpenBatch) {
  Graph g;
  const auto input = [&](const char* name, int64_t heads) {
    return g.add_input(name,
                       TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(3), Dim(heads), Dim(4)}));
  };
  const ValueId q = input("q", 2), k = input("k", 2);
  Builder b(g);
  g.add_output(b.one("Einsum", {q, k}, equation("bqhd,bkhd->bhqk")));
  EXPECT_EQ(to_string(g.value(g.outputs()[0]).type), "f32[N,2,3,3]");
  expand_in_place(g, g.order().at(0));
  EXPECT_EQ(to_string(g.value(g.outputs()[0]).type), "f32[N,2,3,3]");
}

TEST(MatMulNBits, RefusesBlocksAndBiasesThatDoNotFit) {
  const auto refused = [](int64_t n, int64_t k, int64_t block, const Tensor& bias) {
    const int64_t blocks = 32 / std::max<int64_t>(1, block);
    return refusal("com.microsoft.MatMulNBits",
                   {Tensor(DType::f32, {1, 32}), Tensor(DType::u8, {2, blocks, block / 2}),
                    Tensor(DType::f32, {2, blocks}), Tensor(), Tensor(), bias},
                   {{"N", n}, {"K", k}, {"block_size", block}});
  };
  const Tensor bias(DType::f32, {2});
  EXPECT_EQ(refused(2, 32, 16, bias), "");
  for (int64_t block : {0, 8, 24})
    EXPECT_THAT(refused(2, 32, block, bias), HasSubstr("a power of two of at least 16")) << block;
  EXPECT_THAT(refused(0, 32, 16, bias), HasSubstr("K, N and block_size are 32, 0 and 16"));
  EXPECT_THAT(refused(2, 0, 16, bias), HasSubstr("K, N and block_size are 0, 2 and 16"));
  EXPECT_THAT(refused(2, 32, 16, Tensor(DType::i64, {2})), HasSubstr("the bias is i64[2]"));
}

TEST(GridSample, ReadsBetweenElements) {
  const Tensor x = floats({1, 1, 2, 2}, {1, 2, 3, 4});
  const auto at = [&](float gx, float gy, const char* padding, bool corners, const char* mode) {
    return run("GridSample", {x, floats({1, 1, 1, 2}, {gx, gy})},
               {{"padding_mode", std::string(padding)},
                {"align_corners", int64_t{corners}},
                {"mode", std::string(mode)}})[0]
        .at(0);
  };
  EXPECT_EQ(at(0, 0, "zeros", false, "bilinear"), 2.5);
  EXPECT_EQ(at(1, -1, "zeros", true, "bilinear"), 2);  // x = 1 is the last column
  EXPECT_EQ(at(1, -1, "zeros", false, "bilinear"), 0.5);
  EXPECT_EQ(at(1, -1, "border", false, "bilinear"), 2);
  EXPECT_EQ(at(0.5f, 0.5f, "zeros", false, "nearest"), 4);
  EXPECT_EQ(at(3, 0, "zeros", true, "bilinear"), 0);
  EXPECT_EQ(at(2, -1, "reflection", true, "bilinear"), 1.5);
  EXPECT_EQ(at(-5, -1, "reflection", true, "bilinear"), 1);  // -5 is -4 - 1: two turns
  EXPECT_EQ(at(NAN, 0, "zeros", false, "bilinear"), 0);
  EXPECT_EQ(at(INFINITY, 0, "zeros", false, "bicubic"), 0);
}

TEST(GridSample, VolumesTakeThreeCoordinates) {
  Tensor x(DType::f32, {1, 1, 2, 2, 2});
  for (int64_t i = 0; i < 8; ++i) x.mutable_data<float>()[i] = float(i);
  // Depth is the last coordinate.
  const auto y = run("GridSample", {x, floats({1, 2, 1, 1, 3}, {-1, -1, 1, 1, -1, -1})},
                     {{"align_corners", int64_t{1}}, {"mode", std::string("linear")}});
  EXPECT_THAT(numbers(y[0]), ElementsAre(4, 1));
}

TEST(GridSample, RefusesGridsThatDoNotFit) {
  const Tensor x(DType::f32, {1, 1, 2, 2});
  EXPECT_THAT(refusal("GridSample", {x, Tensor(DType::f32, {1, 2, 2, 3})}),
              HasSubstr("the grid is f32[1,2,2,3]"));
  EXPECT_THAT(refusal("GridSample", {x, Tensor(DType::f32, {1, 2, 2, 2})},
                      {{"mode", std::string("lanczos")}}),
              HasSubstr("known: bilinear"));
}

TEST(RoiAlign, AveragesItsSamples) {
  Tensor x(DType::f32, {1, 1, 4, 4});
  for (int64_t i = 0; i < 16; ++i) x.mutable_data<float>()[i] = float(i);
  const auto bins = [&](const char* mode, std::initializer_list<float> roi) {
    return numbers(run("RoiAlign", {x, floats({1, 4}, roi), Tensor::vector_i64(Ints{0})},
                       {{"output_height", int64_t{2}},
                        {"output_width", int64_t{2}},
                        {"sampling_ratio", int64_t{1}},
                        {"coordinate_transformation_mode", std::string(mode)}})[0]);
  };
  // Samples at 0.5 and 2.5 of [0, 4], shifted by half a pixel.
  EXPECT_THAT(bins("half_pixel", {0, 0, 4, 4}), ElementsAre(2.5, 4.5, 10.5, 12.5));
  EXPECT_THAT(bins("output_half_pixel", {0, 0, 3, 3}), ElementsAre(3.75, 5.25, 9.75, 11.25));
  EXPECT_THAT(refusal("RoiAlign", {x, floats({1, 4}, {0, 0, 1, 1}), Tensor::vector_i64(Ints{1})}),
              HasSubstr("outside a batch of 1"));
  EXPECT_THAT(
      refusal("RoiAlign", {x, floats({1, 4}, {0, 0, 1e9f, 1}), Tensor::vector_i64(Ints{0})}),
      HasSubstr("too large"));
}

TEST(RoiAlign, SamplesNothingWithoutChannels) {
  constexpr int64_t kMany = int64_t{1} << 20;
  const auto y = run(
      "RoiAlign",
      {Tensor(DType::f32, {1, 0, 4, 4}), floats({1, 4}, {0, 0, 4, 4}), Tensor::vector_i64(Ints{0})},
      {{"output_height", kMany}, {"output_width", kMany}});
  EXPECT_EQ(y[0].shape(), (Shape{1, 0, kMany, kMany}));
}

TEST(Resize, ExtrapolatesWhereTheRegionIsNoNumber) {
  const Tensor x = floats({1, 1, 2, 2}, {1, 2, 3, 4});
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    const auto y = run("Resize",
                       {x, floats({8}, {0, 0, NAN, 0, 1, 1, 1, INFINITY}), Tensor(),
                        Tensor::vector_i64(Ints{1, 1, 2, 2})},
                       {{"coordinate_transformation_mode", std::string("tf_crop_and_resize")},
                        {"extrapolation_value", 7.0f},
                        {"mode", std::string(mode)}});
    EXPECT_THAT(numbers(y[0]), ::testing::Each(7)) << mode;
  }
}

TEST(Resize, ExtrapolatesBesideElementsThatKeepTheirPlace) {
  // The region is twice the axis: its second half lies outside.
  const auto y = run(
      "Resize", {floats({2}, {1, 2}), floats({2}, {0, 2}), Tensor(), Tensor::vector_i64(Ints{2})},
      {{"coordinate_transformation_mode", std::string("tf_crop_and_resize")},
       {"extrapolation_value", 7.0f},
       {"mode", std::string("linear")}});
  EXPECT_THAT(numbers(y[0]), ElementsAre(1, 7));
}

TEST(Resize, OfNothingGivesNothing) {
  constexpr int64_t kMany = int64_t{1} << 40;
  const auto y = run("Resize", {Tensor(DType::f32, {0, 1}), Tensor(), Tensor(),
                                Tensor::vector_i64(Ints{0, kMany})});
  EXPECT_EQ(y[0].shape(), (Shape{0, kMany}));
}

TEST(Col2Im, RefusesImagesBeyondAllBounds) {
  const Tensor image = Tensor::vector_i64(Ints(3, int64_t{1} << 30));
  EXPECT_THAT(
      refusal("Col2Im", {Tensor(DType::f32, {1, 1, 0}), image, Tensor::vector_i64(Ints{1, 1, 1})}),
      HasSubstr("more elements than fit 64 bits"));
}

TEST(Det, OfSingularMatricesHasAGradient) {
  EXPECT_THAT(numbers(run("Det", {floats({2, 2, 2}, {1, 2, 3, 4, 0, 1, 1, 0})})[0]),
              ElementsAre(-2, -1));
  EXPECT_THAT(
      numbers(run("espalier.DetGrad", {floats({2, 2}, {1, 2, 2, 4}), Tensor::scalar(1.f)})[0]),
      ElementsAre(4, -2, -2, 1));
  // A determinant that no double holds has cofactors that one does.
  const Tensor large = Tensor::from<double>({2, 2}, {1e200, 0, 0, -1e200});
  const Tensor cofactors = run("espalier.DetGrad", {large, Tensor::scalar(1.0)})[0];
  EXPECT_DOUBLE_EQ(cofactors.at(0), -1e200);
  EXPECT_EQ(cofactors.at(1), 0);
  EXPECT_DOUBLE_EQ(cofactors.at(3), 1e200);
  EXPECT_THAT(refusal("Det", {Tensor(DType::f32, {2, 3})}), HasSubstr("no square matrices"));
}

TEST(MaxUnpool, UndoesMaxPool) {
  const Tensor x = floats({1, 1, 2, 4}, {1, 9, 2, 3, 4, 5, 8, 6});
  const AttributeMap window = {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}};
  const auto pooled = run("MaxPool", {x}, window);
  EXPECT_THAT(numbers(run("MaxUnpool", {pooled[0], pooled[1]}, window)[0]),
              ElementsAre(0, 9, 0, 0, 0, 0, 8, 0));
  EXPECT_THAT(
      refusal("MaxUnpool", {pooled[0], Tensor::from<int64_t>({1, 1, 1, 2}, {1, 8})}, window),
      HasSubstr("index 8 lies outside [1,1,2,4]"));
  EXPECT_THAT(
      refusal("MaxUnpool", {pooled[0], pooled[1], Tensor::vector_i64(Ints{1, 1, 1, 4})}, window),
      HasSubstr("cannot become [1,1,1,4]"));
}

TEST(Dft, GivesSpectraAndTakesThemBack) {
  const Tensor x = floats({1, 4, 1}, {1, 2, 3, 5});
  const Tensor spectrum = run("DFT", {x})[0];
  EXPECT_THAT(numbers(spectrum), ElementsAre(11, 0, -2, 3, -3, 0, -2, -3));
  EXPECT_THAT(numbers(run("DFT", {spectrum}, {{"inverse", int64_t{1}}})[0]),
              ElementsAre(1, 0, 2, 0, 3, 0, 5, 0));
  EXPECT_THAT(numbers(run("DFT", {x}, {{"onesided", int64_t{1}}})[0]),
              ElementsAre(11, 0, -2, 3, -3, 0));
  EXPECT_THAT(numbers(run("DFT", {x, number(3)})[0]), ElementsAre(6, 0, -1.5, 0.866, -1.5, -0.866));
  EXPECT_EQ(run("DFT", {Tensor(DType::f32, {0, 4, 1}), number(1 << 30)})[0].shape(),
            (Shape{0, 1 << 30, 2}));
  EXPECT_THAT(refusal("DFT", {x, number(0)}), HasSubstr("one number above 0"));
  EXPECT_THAT(refusal("DFT", {spectrum}, {{"onesided", int64_t{1}}}), HasSubstr("is complex"));
  EXPECT_THAT(refusal("DFT", {x}, {{"axis", int64_t{2}}}), HasSubstr("parts of complex numbers"));
  EXPECT_THAT(refusal("DFT", {floats({4}, {1, 2, 3, 4})}), HasSubstr("last axis"));
}

TEST(Stft, FramesItsSignal) {
  const Tensor x = floats({1, 6, 1}, {1, 2, 3, 4, 5, 6});
  // Frames 1 2, 3 4, 5 6: sums and differences.
  EXPECT_THAT(numbers(run("STFT", {x, number(2), Tensor(), number(2)})[0]),
              ElementsAre(3, 0, -1, 0, 7, 0, -1, 0, 11, 0, -1, 0));
  EXPECT_THAT(numbers(run("STFT", {x, number(4), floats({2}, {1, 0})})[0]),
              ElementsAre(1, 0, 1, 0, 5, 0, 5, 0));
  EXPECT_THAT(refusal("STFT", {x, number(1)}), HasSubstr("neither a window nor a frame_length"));
  EXPECT_THAT(refusal("STFT", {x, number(1), floats({2}, {1, 1}), number(3)}),
              HasSubstr("frames are 3 long"));
  EXPECT_EQ(run("STFT", {x, number(1), Tensor(), number(9)})[0].shape(), (Shape{1, 0, 5, 2}));
}

TEST(Windows, AreSumsOfCosines) {
  const AttributeMap symmetric = {{"periodic", int64_t{0}}};
  EXPECT_THAT(numbers(run("HannWindow", {number(4)})[0]), ElementsAre(0, 0.5, 1, 0.5));
  EXPECT_THAT(numbers(run("HannWindow", {number(3)}, symmetric)[0]), ElementsAre(0, 1, 0));
  EXPECT_THAT(numbers(run("HammingWindow", {number(2)})[0]), ElementsAre(0.087, 1));
  EXPECT_THAT(numbers(run("BlackmanWindow", {number(2)})[0]), ElementsAre(0, 1));
  EXPECT_THAT(numbers(run("BlackmanWindow", {number(1)}, symmetric)[0]), ElementsAre(1));
  EXPECT_THAT(refusal("HannWindow", {number(-1)}), HasSubstr("at least 0"));
}

TEST(MelWeightMatrix, RefusesEdgesOutsideTheSpectrum) {
  const auto mel = [](float low, float high) {
    return refusal("MelWeightMatrix", {number(4), number(16), number(8000), Tensor::scalar(low),
                                       Tensor::scalar(high)});
  };
  EXPECT_EQ(mel(0, 4000), "");
  EXPECT_THAT(mel(0, 9000), HasSubstr("below half the sample rate"));
  EXPECT_THAT(mel(3000, 100), HasSubstr("must rise"));
}

TEST(Normalisations, OfConstantsGiveZerosAndFiniteGradients) {
  const Tensor zeros(DType::f32, {1, 2, 2, 2});
  EXPECT_THAT(numbers(run("LpNormalization", {zeros}, {{"axis", int64_t{1}}})[0]),
              ::testing::Each(0));
  EXPECT_THAT(numbers(run("MeanVarianceNormalization", {zeros})[0]), ::testing::Each(0));
  EXPECT_THAT(numbers(run("GroupNormalization", {zeros, floats({2}, {1, 1}), floats({2}, {3, 4})},
                          {{"num_groups", int64_t{2}}})[0]),
              ElementsAre(3, 3, 3, 3, 4, 4, 4, 4));
  EXPECT_THAT(refusal("GroupNormalization", {zeros, floats({2}, {1, 1}), floats({2}, {3, 4})},
                      {{"num_groups", int64_t{3}}}),
              HasSubstr("cannot be divided into 3 groups"));
}

TEST(Norms, KeepNaNWhenTheyAreExpanded) {
  for (const char* op : {"GlobalLpPool", "LpNormalization"}) {
    Graph g;
    Builder b(g);
    g.add_output(b.one(op, {g.add_input("x", TensorType(DType::f32, Shape{1, 1, 2}))}));
    expand_in_place(g, g.order().at(0));
    const Tensor x = floats({1, 1, 2}, {1, NAN});
    EXPECT_TRUE(std::isnan(interpret(g, std::vector<Tensor>{x})[0].at(0))) << op;
  }
}

TEST(ReverseSequence, RefusesLengthsBeyondTheAxis) {
  const Tensor x(DType::f32, {2, 3});
  EXPECT_THAT(refusal("ReverseSequence", {x, Tensor::vector_i64(Ints{1, 2, 3})}),
              HasSubstr("length 3 lies outside"));
  EXPECT_THAT(refusal("ReverseSequence", {x, Tensor::vector_i64(Ints{1, 2, 2})},
                      {{"batch_axis", int64_t{1}}, {"time_axis", int64_t{1}}}),
              HasSubstr("one is 0, the other 1"));
}

TEST(TrainingSteps, FollowTheirEquations) {
  const Tensor rate = Tensor::scalar(0.1f), x = floats({1}, {1}), g = floats({1}, {2}),
               zero = floats({1}, {0}), some = floats({1}, {5});
  const auto values = [](const std::vector<Tensor>& y) {
    std::vector<double> v;
    for (const Tensor& t : y) v.push_back(std::round(t.at(0) * 1e4) / 1e4);
    return v;
  };
  const AttributeMap exact = {{"epsilon", 0.0f}};
  EXPECT_THAT(values(run("ai.onnx.preview.training.Adagrad", {rate, number(0), x, g, some}, exact)),
              ElementsAre(0.9333, 9));  // 1 - 0.1 * 2 / 3
  // At step 1 the corrected moments are g and g^2.
  EXPECT_THAT(
      values(run("ai.onnx.preview.training.Adam", {rate, number(1), x, g, zero, zero}, exact)),
      ElementsAre(0.9, 0.2, 0.004));
  const auto momentum = [&](const char* mode) {
    return values(run("ai.onnx.preview.training.Momentum", {rate, number(1), x, g, some},
                      {{"alpha", 0.5f},
                       {"beta", 0.1f},
                       {"mode", std::string(mode)},
                       {"norm_coefficient", 0.0f}}));
  };
  EXPECT_THAT(momentum("standard"), ElementsAre(0.73, 2.7));
  EXPECT_THAT(momentum("nesterov"), ElementsAre(0.665, 2.7));
  EXPECT_THAT(refusal("ai.onnx.preview.training.Adagrad", {rate, number(0), x, g, some, x}),
              HasSubstr("3 are needed for each"));
}

}  // namespace
}  // namespace espalier
