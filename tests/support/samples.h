// Graphs and operand values from the samples of rooms: what the generated tests run on.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "ir/builder.h"
#include "ir/room.h"

namespace espalier::testing {

/// One sample of one room as a graph of a single node.
struct SampleCase {
  const Room* room = nullptr;
  size_t index = 0;
  std::string name() const;  ///< "LeakyRelu_2"
  const Sample& sample() const { return room->samples[index]; }
};

/// Every sample of every room; registers the rooms, so that tests can be enumerated before main().
std::vector<SampleCase> all_sample_cases();
/// Those to which a test applies.
std::vector<SampleCase> sample_cases_where(const std::function<bool(const SampleCase&)>& applies);
/// For GoogleTest's messages.
void PrintTo(const SampleCase& c, std::ostream* out);

/// Deterministic operand values; `float_type` replaces every float operand's type. Values keep a
/// distance from the room's kinks.
std::vector<Tensor> sample_operands(const SampleCase& c, DType float_type = DType::f32);

/// The sample as a graph: operands marked constant (and integer lists) are constants, others
/// inputs. `inputs` receives the values of the graph's inputs. The operator is the last node; where
/// it takes sequences or optionals, these are made of the inputs before it.
Graph sample_graph(const SampleCase& c, const std::vector<Tensor>& operands,
                   std::vector<Tensor>* inputs);

/// The tensors in data, in order, those of sequences and optionals item by item.
std::vector<Tensor> flattened(std::span<const Datum> data);
/// Whether every operand and result of a sample is a tensor whose size does not depend on data.
bool has_fixed_sizes(const SampleCase& c);

/// Largest |a - b| / (atol + rtol |b|) over elements; above 1 is a mismatch. NaN matches NaN,
/// infinities match themselves. Integers must be equal.
double mismatch(const Tensor& a, const Tensor& b, double rtol, double atol);

}  // namespace espalier::testing
