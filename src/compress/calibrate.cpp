#include "compress/calibrate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "formats/npy.h"
#include "ir/interpret.h"
#include "runtime/session.h"

namespace espalier {
namespace {

/// Counts of magnitudes in equal bins from zero; the reach doubles when something larger comes, two
/// bins becoming one.
class Magnitudes {
 public:
  void add(double magnitude) {
    if (magnitude > reach_) grow(magnitude);
    const auto bin = size_t(magnitude / reach_ * kBins);
    ++counts_[std::min<size_t>(bin, kBins - 1)];
    ++total_;
  }
  /// The upper edge of the bin in which the share is reached.
  double percentile(double percent) const {
    const auto wanted = uint64_t(std::ceil(percent / 100 * double(total_)));
    uint64_t seen = 0;
    for (size_t i = 0; i < kBins; ++i)
      if ((seen += counts_[i]) >= wanted) return double(i + 1) / kBins * reach_;
    return reach_;
  }

 private:
  static constexpr size_t kBins = 8192;

  void grow(double magnitude) {
    if (total_ == 0) {
      reach_ = std::exp2(std::ceil(std::log2(magnitude)));
      return;
    }
    while (magnitude > reach_) {
      for (size_t i = 0; i < kBins / 2; ++i) counts_[i] = counts_[2 * i] + counts_[2 * i + 1];
      std::fill(counts_.begin() + kBins / 2, counts_.end(), 0);
      reach_ *= 2;
    }
  }

  std::array<uint64_t, kBins> counts_{};
  uint64_t total_ = 0;
  double reach_ = std::numeric_limits<double>::min();
};

struct Observed {
  std::string name;
  double least = std::numeric_limits<double>::infinity();
  double largest = 0;
  std::unique_ptr<Magnitudes> magnitudes;
};

bool observable(const Value& v) { return v.type.is_tensor() && v.tensor().dtype == DType::f32; }

/// The graph with every observable result as an output.
Graph exposed(const Graph& graph) {
  Graph g = graph.compacted();
  std::vector<ValueId> outputs;
  for (NodeId id : g.order())
    for (ValueId v : g.node(id).outputs)
      if (v != kNoValue && observable(g.value(v))) outputs.push_back(v);
  g.set_outputs(outputs);
  g.erase_dead();
  return g.compacted();
}

}  // namespace

RangeMethod range_method(const std::string& name) {
  if (name == "minmax") return RangeMethod::kMinMax;
  if (name == "percentile") return RangeMethod::kPercentile;
  throw usage_error("calibration method", "'" + name + "' is not known",
                    "choose minmax or percentile");
}

struct Calibrator::Impl {
  Impl(const Graph& graph, RangeMethod m, double p)
      : method(m), percentile(p), model(exposed(graph)) {
    for (ValueId v : model.graph().inputs())
      if (observable(model.graph().value(v))) watch(v);
    inputs = observed.size();
    for (ValueId v : model.graph().outputs()) watch(v);
  }

  void watch(ValueId v) {
    Observed o{.name = model.graph().value(v).name};
    if (method == RangeMethod::kPercentile) o.magnitudes = std::make_unique<Magnitudes>();
    observed.push_back(std::move(o));
  }

  void see(Observed& o, const Tensor& t) const {
    for (float x : t.span<float>()) {
      if (std::isnan(x))
        throw bad_input("calibration batch " + std::to_string(batches),
                        "value '" + o.name + "' holds NaN",
                        "look for NaN in the data, or for weights that diverged in training");
      o.least = std::min(o.least, double(x));
      o.largest = std::max(o.largest, std::abs(double(x)));
      if (o.magnitudes && std::isfinite(x)) o.magnitudes->add(std::abs(double(x)));
    }
  }

  RangeMethod method;
  double percentile;
  Model model;
  std::vector<Observed> observed;
  size_t inputs = 0;  ///< the first of `observed` are graph inputs
  int64_t batches = 0;
};

Calibrator::Calibrator(const Graph& graph, RangeMethod method, double percentile) {
  if (!(percentile > 0 && percentile <= 100))
    throw usage_error("calibration percentile", "must lie in (0, 100]");
  impl_ = std::make_unique<Impl>(graph, method, percentile);
}
Calibrator::~Calibrator() = default;
Calibrator::Calibrator(Calibrator&&) noexcept = default;

void Calibrator::observe(std::span<const Tensor> inputs) {
  size_t next = 0;
  const auto ids = impl_->model.graph().inputs();
  for (size_t i = 0; i < ids.size() && i < inputs.size(); ++i)
    if (observable(impl_->model.graph().value(ids[i])) && inputs[i].dtype() == DType::f32)
      impl_->see(impl_->observed[next++], inputs[i]);
  const std::vector<Tensor> values = impl_->model.run(inputs);
  for (size_t i = 0; i < values.size(); ++i)
    impl_->see(impl_->observed[impl_->inputs + i], values[i]);
  ++impl_->batches;
}

int64_t Calibrator::batches() const { return impl_->batches; }

Ranges Calibrator::ranges() const {
  if (impl_->batches == 0)
    throw bad_input("calibration", "no data was given", "give at least one batch of samples");
  Ranges ranges;
  for (const Observed& o : impl_->observed) {
    ValueRange r{o.least, o.largest};
    if (o.magnitudes && std::isfinite(o.largest))
      r.magnitude = std::min(r.magnitude, o.magnitudes->percentile(impl_->percentile));
    ranges[o.name] = r;
  }
  return ranges;
}

namespace {

/// Bytes of all values that are watched when inputs have these shapes.
int64_t bytes_watched(const Graph& graph, std::span<const Shape> shapes) {
  const Graph fixed = specialised(graph, shapes);
  int64_t bytes = 0;
  for (NodeId id : fixed.order())
    for (ValueId v : fixed.node(id).outputs)
      if (v != kNoValue && observable(fixed.value(v)) && fixed.value(v).tensor().is_static())
        bytes += numel(fixed.value(v).tensor().shape()) * int64_t(sizeof(float));
  return bytes;
}

/// Samples that run together where the network leaves it open, `one` being the shapes of a single
/// one: a calibrator holds all they make at once.
int64_t samples_together(const Graph& graph, std::span<const Shape> one) {
  constexpr int64_t kMost = 32, kBytes = int64_t{256} << 20;
  return std::clamp<int64_t>(kBytes / std::max<int64_t>(bytes_watched(graph, one), 1), 1, kMost);
}

/// The first extent of an input, 0 where it is open.
int64_t own_batch(const Value& input) {
  const bool tensor = input.type.is_tensor() && input.tensor().rank() > 0;
  return tensor && input.tensor().dims[0].known() ? input.tensor().dims[0].value() : 0;
}

void require_fit(const Value& input, const TensorType& given, const std::string& where) {
  if (!refines(given, input.type))
    throw bad_input(where, "the data give " + to_string(given) + ", the network takes " +
                               to_string(input.type));
}

}  // namespace

std::vector<std::vector<Tensor>> calibration_batches(const Graph& graph, const Dataset& data,
                                                     int64_t samples) {
  if (graph.inputs().size() != 1)
    throw unsupported(graph.name, "takes " + std::to_string(graph.inputs().size()) +
                                      " inputs, a data set feeds one");
  const Value& input = graph.value(graph.inputs()[0]);
  const int64_t own = own_batch(input);
  Shape shape = data.sample_shape();
  shape.insert(shape.begin(), own > 0 ? own : 1);
  require_fit(input, TensorType(data.input_type(), shape), "input '" + input.name + "'");
  const int64_t batch = own > 0 ? own : samples_together(graph, {&shape, 1});
  const int64_t count = std::min(samples, data.size()) / batch;
  if (count < 1)
    throw bad_input(data.description(),
                    "has too few samples for one batch of " + std::to_string(batch));
  // Data sets lie sorted by class more often than not.
  const auto order = Rng(0, stream_of("calibration")).permutation(data.size());
  std::vector<std::vector<Tensor>> batches;
  for (int64_t b = 0; b < count; ++b)
    batches.push_back(
        {data.fetch(std::span(order).subspan(size_t(b * batch), size_t(batch))).inputs});
  return batches;
}

namespace {

const Tensor& array_for(const Value& input, std::span<const NamedTensor> arrays,
                        const std::string& where) {
  const auto found = std::ranges::find(arrays, input.name, &NamedTensor::name);
  if (found == arrays.end())
    throw bad_input(where, "has no array named '" + input.name + "', which the network takes",
                    "name each array after an input");
  if (found->tensor.rank() == 0)
    throw bad_input(where + ": '" + input.name + "'", "is one number, not a row of samples");
  return found->tensor;
}

/// Rows [first, first + count).
Tensor rows_of(const Tensor& t, int64_t first, int64_t count) {
  Shape shape = t.shape();
  const size_t row = shape[0] > 0 ? t.bytes() / size_t(shape[0]) : 0;
  shape[0] = count;
  Tensor part(t.dtype(), shape);
  const auto* from = static_cast<const std::byte*>(t.raw()) + size_t(first) * row;
  std::copy_n(from, size_t(count) * row, static_cast<std::byte*>(part.mutable_raw()));
  return part;
}

}  // namespace

std::vector<std::vector<Tensor>> calibration_batches(const Graph& graph,
                                                     std::span<const NamedTensor> arrays,
                                                     int64_t samples, const std::string& where) {
  constexpr int64_t kBatches = 8;  // at least, where the network does not say how large one is
  std::vector<const Tensor*> given;
  std::vector<Shape> one;
  int64_t rows = samples, batch = 0;
  for (ValueId v : graph.inputs()) {
    const Value& input = graph.value(v);
    rows = std::min(rows, given.emplace_back(&array_for(input, arrays, where))->shape()[0]);
    if (const int64_t own = own_batch(input); own > 0) batch = own;
  }
  for (size_t i = 0; i < given.size(); ++i) {
    const Value& input = graph.value(graph.inputs()[i]);
    Shape& shape = one.emplace_back(given[i]->shape());
    shape[0] = std::max<int64_t>(batch, 1);
    require_fit(input, TensorType(given[i]->dtype(), shape), where + ": '" + input.name + "'");
  }
  if (batch == 0) batch = std::clamp<int64_t>(rows / kBatches, 1, samples_together(graph, one));
  std::vector<std::vector<Tensor>> batches;
  for (int64_t first = 0; first + batch <= rows; first += batch) {
    auto& inputs = batches.emplace_back();
    for (const Tensor* array : given) inputs.push_back(rows_of(*array, first, batch));
  }
  if (batches.empty())
    throw bad_input(where, "has too few samples for one batch of " + std::to_string(batch));
  return batches;
}

}  // namespace espalier
