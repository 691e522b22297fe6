// Sequences of oneDNN primitives prepared once: the common form of everything oneDNN computes for
// us. Scratch memory is handed in by the caller (user-mode scratchpads), so that planned memory is
// all the memory there is.
//
// This header includes oneDNN's; only files that build primitives include it. What they build is
// used through kernels/primitive.h.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include "kernels/packed_weights.h"
#include "kernels/primitive.h"
#include "tensor/tensor.h"

namespace espalier::kernels {

/// The one CPU engine.
const dnnl::engine& cpu_engine();

/// Thrown inside `guarded` to say why there is no primitive.
struct NoPrimitive {
  std::string why;
};

/// oneDNN's element type. Throws NoPrimitive for those it lacks: see onednn_supports.
dnnl::memory::data_type onednn_type(DType type);
/// f32, bf16, i32, i8 and u8.
bool onednn_supports(DType type);

/// A row-major descriptor.
dnnl::memory::desc plain_desc(const Shape& shape, DType type);
/// N, C, spatial… in memory as N, spatial…, C.
dnnl::memory::desc channels_last_desc(const Shape& shape, DType type);
/// Layout left to the primitive.
dnnl::memory::desc any_desc(const Shape& shape, DType type);

/// Attributes every primitive starts from: user-mode scratchpad.
dnnl::primitive_attr base_attributes();

/// Builds a PrimitiveSequence.
class SequenceBuilder {
 public:
  SequenceBuilder();
  ~SequenceBuilder();

  /// Bytes of scratch for one descriptor; the reference stays valid for the whole sequence.
  Ref scratch(size_t bytes);
  /// Bytes kept with the sequence.
  Ref keep(PackedWeight weight);

  struct Arg {
    int id;
    dnnl::memory::desc desc;
    Ref where;
  };
  /// Appends a primitive; its scratchpad is added to `args`.
  void add(const dnnl::primitive& primitive, const dnnl::memory::desc& scratchpad,
           std::vector<Arg> args);
  /// Appends a copy of `bytes` from one place to another, skipped when they are the same.
  void copy(Ref from, Ref to, size_t bytes);
  /// A reorder from one descriptor to another.
  void reorder(const dnnl::memory::desc& from, Ref source, const dnnl::memory::desc& to,
               Ref target);
  /// `source` as the primitive wants it: itself if the descriptors agree, else reordered into
  /// scratch at run time.
  Ref wanted(const dnnl::memory::desc& from, Ref source, const dnnl::memory::desc& to);
  /// A constant as the primitive wants it, reordered now and kept (see packed_weight).
  Ref pack(const dnnl::memory::desc& from, const void* data, const dnnl::memory::desc& to);

  /// The sequence runs on one thread whatever the pool: for primitives whose sums are split by it.
  void on_one_thread();

  std::shared_ptr<const PrimitiveSequence> finish(std::string implementation);

 private:
  std::shared_ptr<PrimitiveSequence> sequence_;
};

}  // namespace espalier::kernels
