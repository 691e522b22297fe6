#include "reproduce/planted_faults.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "diagram/same.h"
#include "ir/interpret.h"
#include "ir/room.h"

namespace espalier {
namespace {

struct Site {
  enum class Kind : uint8_t { kAttribute, kExchanged, kSwappedAxes, kRepeatedAxis, kLeadingAxis };
  Kind kind = Kind::kAttribute;
  NodeId node = kNoNode;
  size_t slot = 0;        ///< of constants
  std::string attribute;  ///< of attributes
};

bool is_integers(const AttributeValue& v) {
  return std::holds_alternative<int64_t>(v) || std::holds_alternative<std::vector<int64_t>>(v);
}

std::vector<Site> sites_of(const Graph& g) {
  std::vector<Site> sites;
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    for (const auto& [name, value] : n.room->print(n.attrs, true))
      if (is_integers(value)) sites.push_back({Site::Kind::kAttribute, id, 0, name});
    if (n.inputs.size() > 1 && n.inputs[0] != kNoValue && n.inputs[1] != kNoValue &&
        n.inputs[0] != n.inputs[1])
      sites.push_back({Site::Kind::kExchanged, id, 0, ""});
    for (size_t slot = 0; slot < n.inputs.size(); ++slot) {
      if (!g.is_constant(n.inputs[slot])) continue;
      const Tensor& t = *g.value(n.inputs[slot]).constant;
      if (!is_float(t.dtype())) continue;
      for (const auto kind :
           {Site::Kind::kSwappedAxes, Site::Kind::kRepeatedAxis, Site::Kind::kLeadingAxis})
        sites.push_back({kind, id, slot, ""});
    }
  }
  return sites;
}

/// The first two elements that differ exchanged, or the first one counted up.
AttributeValue changed(const AttributeValue& v) {
  if (const auto* i = std::get_if<int64_t>(&v)) return *i + 1;
  auto list = std::get<std::vector<int64_t>>(v);
  for (size_t i = 0; i + 1 < list.size(); ++i)
    if (list[i] != list[i + 1]) {
      std::swap(list[i], list[i + 1]);
      return list;
    }
  if (!list.empty()) ++list[0];
  return list;
}

/// The constant after the change; the same shape where it cannot be made.
Tensor changed(const Tensor& t, Site::Kind kind) {
  Shape shape = t.shape();
  if (kind == Site::Kind::kLeadingAxis) {
    shape.insert(shape.begin(), 1);
    return t.reshaped(shape);
  }
  for (size_t i = 0; i < shape.size(); ++i) {
    if (kind == Site::Kind::kSwappedAxes) {
      if (i + 1 == shape.size() || shape[i] == shape[i + 1]) continue;
      std::swap(shape[i], shape[i + 1]);
      return t.reshaped(shape);
    }
    if (shape[i] < 2) continue;
    shape[i] = 1;
    Tensor part(t.dtype(), shape);
    std::memcpy(part.mutable_raw(), t.raw(), part.bytes());
    return part;
  }
  return t;
}

/// What was changed; empty where nothing was.
std::string apply(Graph& g, const Site& site) {
  Node& n = g.mutable_node(site.node);
  const std::string where = describe(g, site.node);
  if (site.kind == Site::Kind::kAttribute) {
    AttributeMap attributes = n.room->print(n.attrs, true);
    attributes[site.attribute] = changed(attributes.at(site.attribute));
    n.attrs = n.room->parse(attributes, where);
    return where + ": attribute " + site.attribute;
  }
  if (site.kind == Site::Kind::kExchanged) {
    std::swap(n.inputs[0], n.inputs[1]);
    return where + ": operands exchanged";
  }
  Value& v = g.mutable_value(n.inputs[site.slot]);
  Tensor t = changed(*v.constant, site.kind);
  if (t.shape() == v.constant->shape()) return "";
  v.type = TensorType(t.dtype(), t.shape());
  v.constant = std::move(t);
  return where + ": axes of '" + v.name + "'";
}

}  // namespace

size_t plant_faults(const Graph& graph, size_t most, const SeeFault& see) {
  const std::vector<Site> sites = sites_of(graph);
  // Every stride-th site first, then those next to them: from all over, however many are none.
  const size_t stride = std::max<size_t>(1, sites.size() / std::max<size_t>(most, 1));
  size_t shown = 0;
  for (size_t first = 0; first < stride && shown < most; ++first)
    for (size_t i = first; i < sites.size() && shown < most; i += stride) {
      Graph faulty = graph;
      std::string what;
      try {
        what = apply(faulty, sites[i]);
        if (what.empty()) continue;
        reinfer(faulty);
      } catch (const UserError&) {
        continue;  // it is no network any more
      }
      if (diagram::difference(graph, faulty).empty()) continue;
      see(what, faulty);
      ++shown;
    }
  return shown;
}

}  // namespace espalier
