#include "fuzz/check.h"

#include <algorithm>
#include <map>
#include <new>

#include "base/error.h"
#include "base/rng.h"
#include "fuzz/by_sample.h"
#include "fuzz/edges.h"
#include "fuzz/expected.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "onnx/export.h"
#include "onnx/import.h"
#include "passes/passes.h"
#include "runtime/session.h"

namespace espalier::fuzz {

void Events::add(std::string_view event) { numbers_.insert(stream_of(event)); }

bool Events::any_new(const Events& seen) const {
  return std::ranges::any_of(numbers_, [&](uint64_t n) { return !seen.numbers_.contains(n); });
}

int run_pass(const Subject& subject, Graph& graph, const std::string& pass) {
  return subject.pass ? subject.pass(graph, pass) : pass_named(pass).run(graph);
}

namespace {

/// The line without what is of this graph alone: names in quotes, and numbers.
std::string general(std::string_view line) {
  std::string text;
  bool quoted = false;
  for (char ch : line) {
    if (ch == '\'') quoted = !quoted;
    if (!quoted && !(ch >= '0' && ch <= '9')) text += ch;
  }
  return text;
}

/// How many nodes there are of each operator, those in regions after a "/".
using Census = std::map<std::string, int>;

std::string kind_of(const Graph& g, const Node& n) {
  std::string kind = n.room->full_name();
  for (ValueId v : n.outputs)
    if (v != kNoValue && element_type_of(g.value(v).type))
      return kind + " " + std::string(name_of(*element_type_of(g.value(v).type)));
  return kind;
}

void count(const Graph& g, const std::string& head, Census& census) {
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    ++census[head + kind_of(g, n)];
    if (n.room->op.domain.empty()) continue;
    std::string region;
    for (const auto& [name, value] : n.room->print(n.attrs, true))
      if (const auto* body = std::get_if<GraphRef>(&value); body && *body) {
        for (NodeId inner : (*body)->order()) region += " " + kind_of(**body, (*body)->node(inner));
        count(**body, head + "/", census);
      }
    if (!region.empty()) ++census["region" + region];
  }
}

class Checker {
 public:
  Checker(const Case& c, const Subject& subject, const CheckOptions& options)
      : c_(c), subject_(subject), options_(options) {}

  Outcome run() {
    if (!prepare()) return std::move(outcome_);
    forget_edges();  // the reference's are no news
    stages();
    add_edges(outcome_.events);
    return std::move(outcome_);
  }

 private:
  /// Each in turn, until one finds something or ends the case.
  void stages() {
    if (options_.text && !guarded("text", [&] { text(); })) return;
    if (options_.onnx && !guarded("onnx", [&] { onnx(); })) return;
    Graph g = c_.graph.compacted();
    std::string last;
    for (const std::string& name : c_.passes)
      if (!guarded("pass " + name, [&] { pass(g, name, last); })) return;
    if (options_.kernels && !guarded("kernels", [&] { kernels(std::move(g)); })) return;
    if (options_.kernels) guarded("samples", [&] { samples(); });
  }

  bool prepare() {
    try {
      inputs_ = inputs_of(c_);
      want_ = expected(c_.graph, inputs_);
      return true;
    } catch (const UserError& e) {
      outcome_.skipped = e.what();
    } catch (const std::exception& e) {
      find("reference", std::string("failed: ") + e.what());
    }
    return false;
  }

  void find(const std::string& oracle, const std::string& found) {
    if (!outcome_.finding) outcome_.finding = Finding{oracle, found};
  }

  /// False where it found something, or where the case ends here.
  template <class F>
  bool guarded(const std::string& oracle, F f) {
    try {
      f();
    } catch (const UserError& e) {
      if (e.code() == ExitCode::kUnsupported) {
        outcome_.events.add("refused " + oracle + general(e.what()));
        if (oracle == "onnx") return true;
        outcome_.skipped = e.what();
        return false;
      }
      find(oracle, std::string("refused: ") + e.what());
    } catch (const std::bad_alloc&) {
      find(oracle, "failed: out of memory");
    } catch (const std::exception& e) {
      find(oracle, std::string("failed: ") + e.what());
    }
    return !outcome_.finding;
  }

  void compare(const std::string& oracle, std::span<const Tensor> got) {
    if (const auto d = difference(want_, got)) find(oracle, *d);
  }

  void text() {
    const std::string once = print(c_.graph);
    const Graph back = parse_graph(once, "printed");
    if (print(back) != once) return find("text", "the text form read back prints as another");
    const std::vector<Tensor> got = interpret(back, inputs_);
    for (size_t i = 0; i < got.size(); ++i)
      if (!got[i].identical(want_.outputs[i]))
        return find("text", "read back, output " + std::to_string(i) + " differs");
  }

  /// Files hold bf16 as weights alone, so graphs with any keep to the other oracles.
  bool fits_onnx() const {
    for (size_t i = 0; i < c_.graph.value_count(); ++i) {
      if (!c_.graph.alive(ValueId(i))) continue;
      if (element_type_of(c_.graph.value(ValueId(i)).type) == DType::bf16) return false;
    }
    return true;
  }

  void onnx() {
    if (!fits_onnx()) return;
    const Graph back = import_onnx_bytes(export_onnx_bytes(c_.graph), "exported");
    if (back.inputs().size() != inputs_.size())
      return find("onnx", "the file has " + std::to_string(back.inputs().size()) +
                              " inputs, the graph " + std::to_string(inputs_.size()));
    compare("onnx", interpret(back, inputs_));
  }

  void pass(Graph& g, const std::string& name, std::string& last) {
    Census before, after;
    count(g, "", before);
    const int changes = run_pass(subject_, g, name);
    if (const std::string problem = violation(g); !problem.empty())
      return find("pass " + name, "the graph is broken: " + problem);
    if (changes == 0) return;
    count(g, "", after);
    for (const auto& [kind, n] : before)
      if (const auto now = after.find(kind); now == after.end() || now->second < n)
        outcome_.events.add(name + " - " + kind);
    for (const auto& [kind, n] : after)
      if (const auto then = before.find(kind); then == before.end() || then->second < n)
        outcome_.events.add(name + " + " + kind);
    outcome_.events.add(name + " after " + last);
    last = name;
    compare("pass " + name, interpret(g, inputs_));
  }

  void kernels(Graph g) {
    if (subject_.bind) subject_.bind(g);
    CompileOptions options;
    options.threads = 1;
    for (const Pass& p : all_passes()) options.disabled_passes.emplace_back(p.name);
    options.explain = [&](const std::string& line) { outcome_.events.add(general(line)); };
    Model model(g, options);
    const std::vector<Tensor> got = model.run(inputs_);
    if (model.compilations() == 1) bound_kernels(model);
    compare("kernels", got);
  }

  void samples() {
    const Graph g = specialised(c_.graph, shapes_of(c_));
    bool ran = false;
    if (const auto d = check_by_sample(g, inputs_, want_, ran)) find("samples", *d);
    if (!ran) return;
    for (NodeId id : g.order()) outcome_.events.add("by sample " + kind_of(g, g.node(id)));
  }

  void bound_kernels(Model& model) {
    try {
      for (const auto& i : model.session(shapes_of(c_)).program().instructions())
        outcome_.events.add("bound " + general(i.node) + " " + i.kernel);
    } catch (const UserError&) {  // it depends on data: what it binds, explain has told
    }
  }

  const Case& c_;
  const Subject& subject_;
  const CheckOptions& options_;
  Outcome outcome_;
  std::vector<Tensor> inputs_;
  Expected want_;
};

}  // namespace

Outcome check(const Case& c, const Subject& subject, const CheckOptions& options) {
  return Checker(c, subject, options).run();
}

}  // namespace espalier::fuzz
