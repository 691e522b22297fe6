#include "reproduce/drawn_networks.h"

#include <cmath>

#include "base/error.h"
#include "ir/builder.h"
#include "recipe/initialise.h"
#include "recipe/yaml.h"

namespace espalier {
namespace {

using Ints = std::vector<int64_t>;

class Writer {
 public:
  Writer(Graph& g, uint64_t seed) : g_(g), b_(g), seed_(seed) {}

  Builder& b() { return b_; }
  ValueId parameter(const std::string& name, const Shape& shape) {
    return g_.add_constant(name, uniform_within(shape, 0.3, seed_, name), Role::kParameter);
  }
  ValueId input(const std::string& name, const Shape& rest) {
    Dims dims = {Dim::symbol("N")};
    for (int64_t d : rest) dims.emplace_back(d);
    return g_.add_input(name, TensorType(DType::f32, std::move(dims)));
  }
  void finish(ValueId y) {
    g_.rename(y, "output");
    g_.add_output(y);
  }

  ValueId linear(ValueId x, int64_t in, int64_t out, const std::string& name) {
    const ValueId y = b_.one("MatMul", {x, parameter(name + ".weight", {in, out})}, {}, name);
    return b_.add(y, parameter(name + ".bias", {out}));
  }
  ValueId norm(ValueId x, int64_t width, const std::string& name) {
    return b_.one("LayerNormalization",
                  {x, parameter(name + ".weight", {width}), parameter(name + ".bias", {width})}, {},
                  name);
  }
  ValueId conv(ValueId x, int64_t in, int64_t out, int64_t kernel, const std::string& name,
               int64_t stride = 1, int64_t pad = 0) {
    const ValueId w = parameter(name + ".weight", {out, in, kernel, kernel});
    return b_.one("Conv", {x, w, parameter(name + ".bias", {out})},
                  {{"strides", Ints{stride, stride}}, {"pads", Ints(4, pad)}}, name);
  }

 private:
  Graph& g_;
  Builder b_;
  uint64_t seed_;
};

constexpr int64_t kTokens = 16, kWidth = 32, kHeads = 4;

/// Vaswani et al. 2017, with the normalisations before attention and perceptron.
ValueId transformer_block(Writer& w, ValueId x, ValueId mask, const std::string& name) {
  Builder& b = w.b();
  const int64_t per_head = kWidth / kHeads;
  const ValueId h = w.norm(x, kWidth, name + ".norm1");
  const auto heads = [&](const char* which, Ints order) {
    const ValueId v = w.linear(h, kWidth, kWidth, name + "." + which);
    return b.transpose(b.reshape(v, {0, kTokens, kHeads, per_head}), std::move(order));
  };
  const ValueId q = heads("query", {0, 2, 1, 3}), k = heads("key", {0, 2, 3, 1});
  const ValueId v = heads("value", {0, 2, 1, 3});
  ValueId scores = b.mul(b.matmul(q, k), 1.0 / std::sqrt(double(per_head)));
  if (mask != kNoValue) scores = b.add(scores, mask);
  const ValueId mixed = b.matmul(b.one("Softmax", {scores}, {{"axis", int64_t{-1}}}), v);
  const ValueId joined = b.reshape(b.transpose(mixed, {0, 2, 1, 3}), {0, kTokens, kWidth});
  const ValueId y = b.add(x, w.linear(joined, kWidth, kWidth, name + ".out"));
  const ValueId wide = w.linear(w.norm(y, kWidth, name + ".norm2"), kWidth, 64, name + ".fc1");
  return b.add(y, w.linear(b.one("Gelu", {wide}), 64, kWidth, name + ".fc2"));
}

void write_transformer_block(Writer& w) {
  const ValueId x = w.input("tokens", {kTokens, kWidth});
  Tensor causal(DType::f32, {1, 1, kTokens, kTokens});
  for (int64_t i = 0; i < kTokens; ++i)
    for (int64_t k = i + 1; k < kTokens; ++k) causal.mutable_data<float>()[i * kTokens + k] = -1e9f;
  w.finish(transformer_block(w, x, w.b().constant(causal, "causal"), "block"));
}

/// Dosovitskiy et al. 2021: patches as tokens, two blocks, the mean of tokens classified.
void write_vision_transformer(Writer& w) {
  Builder& b = w.b();
  ValueId x = w.conv(w.input("image", {3, 16, 16}), 3, kWidth, 4, "patches", 4);
  x = b.transpose(b.reshape(x, {0, kWidth, kTokens}), {0, 2, 1});
  x = b.add(x, w.parameter("positions", {kTokens, kWidth}));
  for (int i = 0; i < 2; ++i) x = transformer_block(w, x, kNoValue, "blocks." + std::to_string(i));
  x = b.reduce_mean(w.norm(x, kWidth, "norm"), {1}, false);
  w.finish(w.linear(x, kWidth, 10, "head"));
}

/// Ronneberger et al. 2015, two levels deep: what goes down is concatenated to what comes up.
void write_u_net(Writer& w) {
  Builder& b = w.b();
  const auto block = [&](ValueId x, int64_t in, int64_t out, const std::string& name) {
    return b.one("Relu", {w.conv(x, in, out, 3, name, 1, 1)});
  };
  const auto down = [&](ValueId x) {
    return b.one("MaxPool", {x}, {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}});
  };
  const auto up = [&](ValueId x, ValueId skip, int64_t width, const std::string& name) {
    const ValueId kernel = w.parameter(name + ".weight", {width, width, 2, 2});
    const ValueId y = b.one("ConvTranspose", {x, kernel}, {{"strides", Ints{2, 2}}}, name);
    return b.one("Concat", {skip, y}, {{"axis", int64_t{1}}});
  };
  const ValueId first = block(w.input("image", {1, 16, 16}), 1, 8, "down1");
  const ValueId second = block(down(first), 8, 16, "down2");
  const ValueId lowest = block(down(second), 16, 16, "bottom");
  const ValueId third = block(up(lowest, second, 16, "up2"), 32, 8, "merge2");
  const ValueId last = block(up(third, first, 8, "up1"), 16, 8, "merge1");
  w.finish(w.conv(last, 8, 2, 1, "classes"));
}

struct Drawn {
  const char* name;
  void (*write)(Writer&);
};
constexpr Drawn kNetworks[] = {{"transformer_block", write_transformer_block},
                               {"vision_transformer", write_vision_transformer},
                               {"u_net", write_u_net}};

}  // namespace

std::vector<std::string> drawn_network_names() {
  std::vector<std::string> names;
  for (const Drawn& d : kNetworks) names.emplace_back(d.name);
  return names;
}

Graph drawn_network(const std::string& name, uint64_t seed) {
  for (const Drawn& d : kNetworks) {
    if (d.name != name) continue;
    Graph g;
    g.name = name;
    Writer writer(g, seed);
    d.write(writer);
    return g;
  }
  throw bad_input("network '" + name + "'", "is not built in",
                  suggestion(name, drawn_network_names()));
}

}  // namespace espalier
