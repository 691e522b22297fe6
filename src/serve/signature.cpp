#include "serve/signature.h"

#include <map>

#include "base/error.h"
#include "ir/graph.h"
#include "serve/datatype.h"

namespace espalier::serve {
namespace {

std::vector<Port> ports_of(const Graph& g, std::span<const ValueId> values, const char* what) {
  std::vector<Port> ports;
  for (ValueId v : values) {
    const Value& value = g.value(v);
    if (!value.type.is_tensor())
      throw unsupported(std::string(what) + " '" + value.name + "'",
                        "is " + to_string(value.type) + "; only tensors can be served");
    ports.push_back({value.name, value.tensor()});
  }
  return ports;
}

/// "FP32 [-1,3,224,224]", as clients write it.
std::string described(DType dtype, const Dims& dims) {
  std::string text = std::string(datatype_of(dtype)) + " [";
  for (size_t d = 0; d < dims.size(); ++d)
    text += (d ? "," : "") + std::to_string(dims[d].known() ? dims[d].value() : -1);
  return text + "]";
}

}  // namespace

Signature signature_of(const Graph& graph) {
  if (!graph.states().empty())
    throw unsupported(graph.name, "keeps state between runs, which a server shares between clients",
                      "serve the network in its inference form");
  return {ports_of(graph, graph.inputs(), "input"), ports_of(graph, graph.outputs(), "output")};
}

void check_fit(const Port& port, const Tensor& tensor, const std::string& where) {
  const auto misfit = [&](const std::string& field, const std::string& problem) {
    return bad_input(where + "." + field, problem + "; input '" + port.name + "' takes " +
                                              described(port.type.dtype, port.type.dims));
  };
  if (tensor.dtype() != port.type.dtype)
    throw misfit("datatype", "is " + std::string(datatype_of(tensor.dtype())));
  if (tensor.rank() != port.type.rank())
    throw misfit("shape", "has " + std::to_string(tensor.rank()) + " extents");
  for (size_t d = 0; d < tensor.shape().size(); ++d) {
    const Dim& dim = port.type.dims[d];
    const int64_t extent = tensor.shape()[d];
    if (dim.known() ? !dim.is(extent) : extent < 1)
      throw misfit("shape[" + std::to_string(d) + "]", "is " + std::to_string(extent));
  }
}

void check_symbols(std::span<const Port> ports, std::span<const Tensor> tensors) {
  std::map<std::string, std::pair<int64_t, std::string>> seen;
  for (size_t i = 0; i < ports.size(); ++i)
    for (size_t d = 0; d < ports[i].type.dims.size(); ++d) {
      const Dim& dim = ports[i].type.dims[d];
      if (dim.known() || dim.name().empty()) continue;
      const int64_t extent = tensors[i].shape()[d];
      const auto [it, fresh] = seen.emplace(dim.name(), std::pair(extent, ports[i].name));
      if (!fresh && it->second.first != extent)
        throw bad_input("input '" + ports[i].name + "': shape[" + std::to_string(d) + "]",
                        "is " + std::to_string(extent) + ", of input '" + it->second.second +
                            "' it is " + std::to_string(it->second.first) + " (" + dim.name() +
                            ")");
    }
}

}  // namespace espalier::serve
