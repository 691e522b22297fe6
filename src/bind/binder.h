// Which kernel serves which node: for each operator an ordered list of candidates, ending in the
// reference. A candidate gives a kernel or the reason why it does not apply; reasons are what
// `--explain` prints. bind/ is the one place that knows kernels by the names of operators.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "bind/kernel.h"
#include "bind/kernel_choices.h"
#include "ir/room.h"

namespace espalier {

/// What a candidate sees of the node it shall serve. All types are static tensors.
struct BindRequest {
  const Room* room = nullptr;
  Attributes attrs;
  TypesIn in;
  Types out;
  /// Layouts in which the operands stand; a kernel may ask for others.
  std::vector<Layout> layouts;
  /// Results somebody reads.
  std::vector<bool> wanted;
  /// What was chosen by measuring; null: nothing.
  const KernelChoices* choices = nullptr;

  const TensorType& out_type(size_t i) const { return out[i].tensor(); }
  Shape in_shape(size_t i) const { return in[i].shape(); }
  Shape out_shape(size_t i) const { return out[i].tensor().shape(); }
  DType in_dtype(size_t i) const { return in[i].dtype; }
  DType out_dtype(size_t i) const { return out[i].tensor().dtype; }
  Layout layout(size_t i) const { return i < layouts.size() ? layouts[i] : Layout::kPlain; }
};

/// A kernel, or why not.
using Bound = std::variant<KernelPtr, Refuse>;

struct Candidate {
  std::string name;
  Bound (*bind)(const BindRequest&);
};

/// Candidates for an operator in order of preference, without the reference.
std::vector<Candidate> candidates_for(const Room& room);

/// The reference as a kernel; refused where the room refuses the facet.
Bound bind_reference(const BindRequest& request);

/// The first kernel that accepts; null if none but the reference would. Each refusal is reported
/// as "Conv 'layer1': onednn.conv does not apply: reason".
KernelPtr bind_fast(const BindRequest& request,
                    const std::function<void(const std::string&)>& explain = {});

/// Copies elements between layouts (or merely copies, where they agree).
KernelPtr reorder_kernel(DType dtype, const Shape& shape, Layout from, Layout to);

}  // namespace espalier
