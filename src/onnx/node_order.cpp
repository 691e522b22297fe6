#include "onnx/node_order.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "onnx/attributes.h"
#include "onnx/onnx_proto.h"

namespace espalier {
namespace {

constexpr int kGiven = -1;  // by an input or an initialiser

std::unordered_map<std::string, int> producers(const onnx::GraphProto& graph,
                                               const std::string& where) {
  std::unordered_map<std::string, int> by;
  std::unordered_set<std::string> initialisers;
  for (const auto& t : graph.initializer()) {
    if (t.name().empty()) throw bad_input(where, "an initialiser has no name");
    if (!by.emplace(t.name(), kGiven).second)
      throw bad_input(where, "two initialisers are named '" + t.name() + "'");
    initialisers.insert(t.name());
  }
  for (const auto& in : graph.input()) {
    if (in.name().empty()) throw bad_input(where, "an input has no name");
    // Up to IR version 3 initialisers are listed among the inputs too.
    if (!by.emplace(in.name(), kGiven).second && initialisers.erase(in.name()) == 0)
      throw bad_input(where, "two inputs are named '" + in.name() + "'");
  }
  for (int n = 0; n < graph.node_size(); ++n) {
    for (const auto& out : graph.node(n).output()) {
      if (out.empty()) continue;
      const auto [it, fresh] = by.emplace(out, n);
      if (!fresh)
        throw bad_input(
            where + ": " + describe(graph.node(n)),
            "gives '" + out + "', which " +
                (it->second == kGiven ? "is an input or initialiser"
                                      : describe(graph.node(it->second)) + " gives too"),
            "every value must be given once");
    }
  }
  return by;
}

/// Adds the names that a graph reads and does not give.
void add_free_names(const onnx::GraphProto& graph, std::vector<std::string>& names) {
  std::unordered_set<std::string> own;
  for (const auto& t : graph.initializer()) own.insert(t.name());
  for (const auto& in : graph.input()) own.insert(in.name());
  for (const auto& n : graph.node()) own.insert(n.output().begin(), n.output().end());
  const auto read = [&](const std::string& name) {
    if (!name.empty() && !own.contains(name) && std::ranges::find(names, name) == names.end())
      names.push_back(name);
  };
  for (const auto& n : graph.node()) {
    for (const auto& in : n.input()) read(in);
    for (const auto& name : captured_names(n)) read(name);
  }
  for (const auto& out : graph.output()) read(out.name());
}

}  // namespace

std::vector<std::string> captured_names(const onnx::NodeProto& node) {
  std::vector<std::string> names;
  for (const auto& a : node.attribute())
    if (a.has_g()) add_free_names(a.g(), names);
  return names;
}

std::vector<int> node_order(const onnx::GraphProto& graph, const std::string& where,
                            const std::function<bool(const std::string&)>& outside) {
  const auto by = producers(graph, where);
  std::vector<int> waiting(size_t(graph.node_size()), 0);
  std::vector<std::vector<int>> readers(waiting.size());
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (int n = 0; n < graph.node_size(); ++n) {
    std::vector<std::string> reads(graph.node(n).input().begin(), graph.node(n).input().end());
    const auto captured = captured_names(graph.node(n));
    reads.insert(reads.end(), captured.begin(), captured.end());
    for (const auto& in : reads) {
      if (in.empty()) continue;
      const auto it = by.find(in);
      if (it == by.end() && outside(in)) continue;
      if (it == by.end())
        throw bad_input(where + ": " + describe(graph.node(n)),
                        "reads '" + in + "', which nothing gives");
      if (it->second == kGiven) continue;
      readers[size_t(it->second)].push_back(n);
      ++waiting[size_t(n)];
    }
    if (waiting[size_t(n)] == 0) ready.push(n);
  }
  std::vector<int> order;
  while (!ready.empty()) {
    const int n = ready.top();
    ready.pop();
    order.push_back(n);
    for (int r : readers[size_t(n)])
      if (--waiting[size_t(r)] == 0) ready.push(r);
  }
  if (order.size() == waiting.size()) return order;
  for (int n = 0; n < graph.node_size(); ++n)
    if (waiting[size_t(n)] > 0)
      throw bad_input(where + ": " + describe(graph.node(n)), "lies on a cycle",
                      "a graph must not feed a node's result back into itself");
  return order;
}

}  // namespace espalier
