// What the oneDNN wrappers share: post-ops from epilogues, refusals from oneDNN's errors.
#pragma once

#include <vector>

#include "kernels/convolution.h"
#include "kernels/onednn.h"

namespace espalier::kernels {

/// Runs `make`; oneDNN's "unimplemented" and NoPrimitive become refusals.
template <class Make>
Prepared guarded(Make make) {
  try {
    return {make(), ""};
  } catch (const dnnl::error& e) {
    return {nullptr, std::string("oneDNN has no such primitive here (") + e.what() + ")"};
  } catch (const NoPrimitive& e) {
    return {nullptr, e.why};
  }
}

/// oneDNN's plain loops are no better than ours.
void refuse_reference(const char* implementation);

/// Adds scales (one per index of `channel_axis`) and post-ops to `attr`, the operands they read to
/// `args`, and to the builder the copy of a residual into the result where the sum post-op wants
/// it.
void apply_epilogue(const Epilogue& e, int channel_axis, const dnnl::memory::desc& result,
                    dnnl::primitive_attr& attr, SequenceBuilder& b,
                    std::vector<SequenceBuilder::Arg>& args);

}  // namespace espalier::kernels
