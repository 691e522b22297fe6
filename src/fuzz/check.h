// What is asked of the compiler with one case, and what it did on the way.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/case.h"

namespace espalier::fuzz {

/// The compiler under test: ours, unless somebody puts a defect of his own in its way. Nothing
/// outside of the check that was given a subject sees it.
struct Subject {
  /// Runs a pass and returns how many rewrites it made; by default the pass of that name.
  std::function<int(Graph&, const std::string& pass)> pass;
  /// Changes the graph that is about to be bound to kernels; by default nothing does.
  std::function<void(Graph&)> bind;
};

/// What the compiler was seen to do, as numbers of its events: which pass took away and made which
/// operators, the regions there were, the kernels that were bound and the reasons of those that
/// were not, which pass changed something after which. It is what a release build can tell of the
/// code that ran; two cases with the same events may still have run different lines.
class Events {
 public:
  void add(std::string_view event);
  /// Whether `seen` lacks any of these.
  bool any_new(const Events& seen) const;
  void merge(const Events& other) { numbers_.insert(other.numbers_.begin(), other.numbers_.end()); }
  size_t size() const { return numbers_.size(); }

 private:
  std::set<uint64_t> numbers_;
};

struct Finding {
  std::string oracle;  ///< "pass fold_identity", "kernels", "text", "onnx", …
  std::string found;   ///< in words
};

struct Outcome {
  std::optional<Finding> finding;
  Events events;
  /// Why the case is no test (its inputs do not fit, nothing is meant to run it); empty for tests.
  std::string skipped;
};

struct CheckOptions {
  bool text = true;   ///< the .esp form and back
  bool onnx = false;  ///< an ONNX file and back
  bool kernels = true;
};

/// In this order, until something is found: the text form and back gives the same to the bit; the
/// ONNX form and back, each pass in turn, and the compiled program give what the reference gives of
/// the graph as it was, as far as roundings allow, and so does a batch that runs sample by sample;
/// the verifier has nothing to say after any pass; nothing fails but by refusing what it does not
/// support.
Outcome check(const Case& c, const Subject& subject = {}, const CheckOptions& options = {});

/// The pass by name, through the subject.
int run_pass(const Subject& subject, Graph& graph, const std::string& pass);

}  // namespace espalier::fuzz
