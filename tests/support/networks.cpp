#include "tests/support/networks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/rng.h"

namespace espalier::testing {

Tensor random_tensor(Shape shape, const std::string& key, double lo, double hi) {
  Tensor t(DType::f32, std::move(shape));
  const Rng rng(7, stream_of(key));
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), lo, hi));
  return t;
}

std::vector<Tensor> random_inputs(const Graph& graph, int64_t batch, uint64_t seed) {
  std::vector<Tensor> inputs;
  for (ValueId v : graph.inputs()) {
    Shape shape;
    for (const Dim& d : graph.value(v).tensor().dims)
      shape.push_back(d.known() ? d.value() : batch);
    inputs.push_back(random_tensor(shape, graph.value(v).name + std::to_string(seed)));
  }
  return inputs;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (int64_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a.at(i) - b.at(i));
    worst = std::isnan(d) ? std::numeric_limits<double>::infinity() : std::max(worst, d);
  }
  return worst;
}

ValueId NetworkWriter::parameter(const std::string& name, Shape shape, double lo, double hi) {
  return graph.add_constant(name, random_tensor(std::move(shape), graph.name + name, lo, hi),
                            Role::kParameter);
}
ValueId NetworkWriter::buffer(const std::string& name, Shape shape, double lo, double hi) {
  return graph.add_constant(name, random_tensor(std::move(shape), graph.name + name, lo, hi),
                            Role::kBuffer);
}

ValueId NetworkWriter::conv(ValueId x, int64_t out, int64_t kernel, const std::string& name,
                            int64_t stride, int64_t groups) {
  const int64_t in = b.type(x).dims[1].value() / groups, pad = kernel / 2;
  const double bound = std::sqrt(6.0 / double(in * kernel * kernel));
  const ValueId w = parameter(name + ".weight", {out, in, kernel, kernel}, -bound, bound);
  return b.one("Conv", {x, w},
               {{"pads", std::vector<int64_t>{pad, pad, pad, pad}},
                {"strides", std::vector<int64_t>{stride, stride}},
                {"group", groups}},
               name);
}

ValueId NetworkWriter::batch_norm(ValueId x, const std::string& name) {
  const Shape c = {b.type(x).dims[1].value()};
  return b.one(
      "BatchNormalization",
      {x, parameter(name + ".weight", c, 0.5, 1.5), parameter(name + ".bias", c, -0.3, 0.3),
       buffer(name + ".running_mean", c, -0.2, 0.2), buffer(name + ".running_var", c, 0.5, 1.5)},
      {}, name);
}

ValueId NetworkWriter::linear(ValueId x, int64_t out, const std::string& name) {
  const int64_t in = b.type(x).dims.back().value();
  const double bound = std::sqrt(3.0 / double(in));
  const ValueId w = parameter(name + ".weight", {in, out}, -bound, bound);
  return b.add(b.one("MatMul", {x, w}, {}, name), parameter(name + ".bias", {out}, -0.2, 0.2));
}

Graph NetworkWriter::finish(ValueId output) {
  graph.add_output(output);
  return std::move(graph);
}

namespace {

ValueId image_input(NetworkWriter& n) {
  return n.graph.add_input("x",
                           TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(3), Dim(8), Dim(8)}));
}

ValueId classifier(NetworkWriter& n, ValueId x) {
  const ValueId pooled = n.b.one("GlobalAveragePool", {x});
  return n.linear(n.b.one("Flatten", {pooled}), 5, "fc");
}

ValueId residual_block(NetworkWriter& n, ValueId x, int64_t out, int64_t stride,
                       const std::string& name) {
  const ValueId hidden = n.conv_bn_relu(x, out, 3, name + ".conv1", stride);
  const ValueId y = n.batch_norm(n.conv(hidden, out, 3, name + ".conv2"), name + ".bn2");
  ValueId skip = x;
  if (stride != 1 || n.b.type(x).dims[1].value() != out)
    skip = n.batch_norm(n.conv(x, out, 1, name + ".shortcut", stride), name + ".shortcut_bn");
  return n.relu(n.b.add(y, skip));
}

ValueId relu6(NetworkWriter& n, ValueId x) {
  return n.b.one("Clip", {x, n.b.scalar(0, x), n.b.scalar(6, x)});
}

ValueId inverted_residual(NetworkWriter& n, ValueId x, int64_t out, const std::string& name) {
  const int64_t in = n.b.type(x).dims[1].value(), wide = 3 * in;
  ValueId y = relu6(n, n.batch_norm(n.conv(x, wide, 1, name + ".expand"), name + ".bn1"));
  y = relu6(n, n.batch_norm(n.conv(y, wide, 3, name + ".depthwise", 1, wide), name + ".bn2"));
  y = n.batch_norm(n.conv(y, out, 1, name + ".project"), name + ".bn3");
  return in == out ? n.b.add(x, y) : y;
}

}  // namespace

Graph mlp() {
  NetworkWriter n("mlp");
  ValueId x = n.graph.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(12)}));
  x = n.relu(n.linear(x, 16, "fc1"));
  x = n.relu(n.linear(x, 10, "fc2"));
  return n.finish(n.linear(x, 5, "fc3"));
}

Graph residual() {
  NetworkWriter n("residual");
  ValueId x = n.conv_bn_relu(image_input(n), 8, 3, "stem");
  x = residual_block(n, x, 8, 1, "layer1");
  x = residual_block(n, x, 12, 2, "layer2");
  return n.finish(classifier(n, x));
}

Graph depthwise() {
  NetworkWriter n("depthwise");
  ValueId x = n.conv_bn_relu(image_input(n), 4, 3, "stem");
  x = inverted_residual(n, x, 4, "block1");
  x = inverted_residual(n, x, 6, "block2");
  return n.finish(classifier(n, x));
}

Graph concat() {
  NetworkWriter n("concat");
  const ValueId x = image_input(n);
  const ValueId a = n.conv_bn_relu(x, 6, 3, "a"), c = n.conv_bn_relu(x, 4, 1, "b");
  const ValueId both = n.b.one("Concat", {a, c}, {{"axis", int64_t{1}}});
  const ValueId pooled = n.b.one(
      "MaxPool", {n.conv_bn_relu(both, 7, 3, "join")},
      {{"kernel_shape", std::vector<int64_t>{4, 4}}, {"strides", std::vector<int64_t>{4, 4}}});
  return n.finish(n.linear(n.b.one("Flatten", {pooled}), 5, "fc"));
}

}  // namespace espalier::testing
