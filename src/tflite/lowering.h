// A TFLite graph on its way into ours: which value holds which tensor, in which layout, as stored
// or as real numbers.
//
// TFLite's pictures are [N, H, W, C], our operators' are [N, C, H, W]. A tensor of four axes is
// held in the layout it was computed in; the other is made by a Transpose when it is asked for,
// once. So chains of convolutions stay channels-first, and what the graph takes and gives is as the
// file says.
//
// A quantised tensor is held as integers; its real numbers are a DequantizeLinear of them, as
// passes/fuse_integer expects.
#pragma once

#include <array>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/builder.h"
#include "tflite/model.h"

namespace espalier::tflite {

/// How a tensor of four axes is laid out. Others are as in the file.
enum class Form {
  kFile,           ///< [N, H, W, C]
  kChannelsFirst,  ///< [N, C, H, W]
};

/// Where axis `axis` of the file's layout stands in `form`.
int64_t axis_in(Form form, int64_t axis);

/// Padding that waits for the convolution that can do it.
struct WaitingPad {
  int32_t source = -1;
  int64_t top = 0, left = 0, bottom = 0, right = 0;
};

class Lowering {
 public:
  /// `where` names the file in errors.
  Lowering(const ModelInfo& model, std::string where);

  const ModelInfo& model() const { return model_; }
  const TensorInfo& info(int32_t t) const { return model_.tensors[size_t(t)]; }
  Graph& graph() { return graph_; }
  Builder& b() { return builder_; }

  // ---- what tensors hold ------------------------------------------------------------------------
  /// The tensor as stored (integers where it is quantised). UserError where nothing gives it yet.
  ValueId stored(int32_t t, Form form = Form::kFile);
  /// The tensor's real numbers; what is not quantised is as stored, 16-bit constants widened.
  ValueId real(int32_t t, Form form = Form::kFile);
  /// The layout the tensor was computed in.
  Form native(int32_t t) const;
  int64_t rank(int32_t t);
  /// The tensor's extents in the file's layout.
  Dims dims(int32_t t);
  /// The tensor as stored, its elements in the order of the file's layout whatever its axes.
  ValueId in_file_order(int32_t t);
  const TensorType& type(int32_t t, Form form = Form::kFile) { return b().type(stored(t, form)); }
  /// The tensor's elements where they are known, as stored, in the file's layout.
  const Tensor* constant(int32_t t);
  /// The same as a list of integers. UserError saying that `what` must be known otherwise.
  std::vector<int64_t> ints(int32_t t, const std::string& what);
  bool quantised(int32_t t) const;
  /// Scale and zero point agree, or neither is quantised.
  bool same_coding(int32_t a, int32_t b) const;

  // ---- giving tensors their values --------------------------------------------------------------
  void set_stored(int32_t t, ValueId v, Form form = Form::kFile);
  /// Quantises what is quantised.
  void set_real(int32_t t, ValueId v, Form form = Form::kFile);
  void set_waiting_pad(int32_t t, WaitingPad pad);
  /// The padding that gives `t`, if it waits.
  const WaitingPad* waiting_pad(int32_t t) const;
  void set_input(int32_t t, ValueId v);

  // ---- writing nodes ----------------------------------------------------------------------------
  /// A node; its result is folded where it is a small integer computation on constants. Named after
  /// the operator that is being written.
  ValueId op(const std::string& name, const Values& inputs, const AttributeMap& attributes = {});
  Values ops(const std::string& name, const Values& inputs, const AttributeMap& attributes,
             size_t results);
  /// `v` in another element type.
  ValueId cast_to(ValueId v, DType to);
  /// The axes of `v` permuted; two permutations in a row become one.
  ValueId transposed(ValueId v, std::vector<int64_t> permutation);
  /// `v` with these extents; at most one may be unknown.
  ValueId reshaped(ValueId v, const Dims& extents);
  /// The real numbers of `v`, which holds integers as tensor `t` does.
  ValueId dequantised(ValueId v, int32_t t);
  /// `v` as tensor `t` stores it.
  ValueId coded(ValueId v, int32_t t);
  /// The zero point of a quantised tensor, a constant.
  ValueId zero_point(int32_t t) { return coding_of(t).second; }
  /// A constant that is learned, so that the network can be trained further.
  ValueId parameter(Tensor value, const std::string& name);
  /// The name the tensor has here.
  std::string name_of(int32_t t) const;

  /// Nodes that follow are named so, and errors say so.
  void begin(const std::string& node_name) { node_name_ = node_name; }
  const std::string& node_name() const { return node_name_; }
  /// A weight as the operators here take it, prepared before: by tensor and use.
  std::map<std::pair<int32_t, std::string>, ValueId> prepared;

 private:
  struct Held {
    std::array<ValueId, 2> stored = {kNoValue, kNoValue};
    std::array<ValueId, 2> real = {kNoValue, kNoValue};
    Form native = Form::kFile;
  };

  void add_constant(int32_t t);
  /// UserError where an operator gave the tensor before.
  void refuse_given(int32_t t) const;
  void make_padded(int32_t t);
  std::optional<std::vector<Tensor>> folded(const Room& room, const Attributes& attrs,
                                            const Values& inputs) const;
  /// Gives `v` the tensor's name, unless it has one that matters.
  void name_after(ValueId v, int32_t t, Form form);
  std::pair<ValueId, ValueId> coding_of(int32_t t);

  const ModelInfo& model_;
  const std::string where_;
  Graph graph_;
  Builder builder_;
  std::string node_name_;
  std::vector<Held> held_;
  std::map<int32_t, WaitingPad> waiting_;
  std::map<int32_t, std::pair<ValueId, ValueId>> codings_;
  std::set<ValueId> named_;  ///< values that stand for a tensor
  std::set<int32_t> outputs_;
};

/// A tensor with its axes permuted.
Tensor permuted(const Tensor& t, const std::vector<int64_t>& permutation);

}  // namespace espalier::tflite
