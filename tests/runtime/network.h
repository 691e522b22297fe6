// Small networks with random constants, run compiled and by the interpreter.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "runtime/session.h"
#include "tests/support/samples.h"

namespace espalier::testing {

inline Tensor random(Shape shape, uint64_t stream, double lo = -1, double hi = 1) {
  Tensor t(DType::f32, std::move(shape));
  const Rng rng(7, stream);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), lo, hi));
  return t;
}

inline std::string kernels_of(const Program& p) {
  std::string all;
  for (const auto& i : p.instructions()) all += i.kernel + "; ";
  return all;
}

struct Network {
  Graph g;
  Builder b{g};
  std::vector<Tensor> inputs;

  ValueId input(Shape shape, double lo = -1, double hi = 1, DType type = DType::f32) {
    const auto name = "x" + std::to_string(inputs.size());
    inputs.push_back(random(shape, 100 + inputs.size(), lo, hi).cast(type));
    return g.add_input(name, TensorType(type, shape));
  }
  ValueId weight(Shape shape) { return b.constant(random(shape, 50 + g.value_count(), -0.5, 0.5)); }
  ValueId conv(ValueId x, int64_t out, int64_t kernel, int64_t stride = 1, int64_t group = 1) {
    const int64_t in = b.type(x).dims[1].value(), pad = kernel / 2;
    return b.one("Conv", {x, weight({out, in / group, kernel, kernel}), weight({out})},
                 {{"pads", std::vector<int64_t>{pad, pad, pad, pad}},
                  {"strides", std::vector<int64_t>{stride, stride}},
                  {"group", group}});
  }
  ValueId quantized(ValueId x, float scale, int zero, DType type) {
    const ValueId s = b.constant(Tensor::scalar(scale));
    const ValueId z = b.constant(Tensor::scalar<int64_t>(zero).cast(type));
    const ValueId q = b.one("QuantizeLinear", {x, s, z});
    return b.one("DequantizeLinear", {q, s, z});
  }
  /// A constant weight as s8 with one scale per output channel.
  ValueId quantized_weight(Shape shape, int64_t axis) {
    const Tensor w = random(shape, 900 + g.value_count(), -100, 100).cast(DType::i8);
    Tensor s = random({shape[size_t(axis)]}, 901 + g.value_count(), 0.002, 0.006);
    return b.one(
        "DequantizeLinear",
        {b.constant(w), b.constant(s), b.constant(Tensor(DType::i8, {shape[size_t(axis)]}))},
        {{"axis", axis}});
  }
  std::shared_ptr<const Program> check(double rtol, double atol, CompileOptions options = {}) {
    const auto want = interpret(g, inputs);
    auto program = compile(g, options);
    Session session(program);
    for (int threads : {1, 2}) {
      options.threads = threads;
      Session again(compile(g, options));
      const auto got = again.run(inputs);
      for (size_t i = 0; i < got.size(); ++i)
        EXPECT_LE(mismatch(got[i], want[i], rtol, atol), 1)
            << "output " << i << " at " << threads << " threads\n"
            << kernels_of(*program);
    }
    return program;
  }
};

}  // namespace espalier::testing
