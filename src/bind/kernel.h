// What serves a node at run time. A Kernel is chosen and prepared once, at compile time, for fixed
// types, layouts and constants; it is immutable and shared between sessions. A Launch is one
// session's use of it: addresses are handed over once, then `run` is called per execution.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tensor/shape.h"

namespace espalier {

/// How the elements of a tensor of rank 3 or more lie in memory. Everything else is plain.
enum class Layout : uint8_t {
  kPlain,         ///< row-major in the order of the dimensions
  kChannelsLast,  ///< dimension 1 innermost: N, spatial dimensions …, C
};

/// Extents in the order they lie in memory.
Shape physical_shape(const Shape& shape, Layout layout);
/// Which axis of it an axis of the tensor is; negative ones count from the back.
size_t physical_axis(int64_t axis, size_t rank, Layout layout);
/// Both layouts put every element of `shape` at the same place.
bool layouts_agree(const Shape& shape, Layout a, Layout b);
/// Element strides of each logical dimension.
std::vector<int64_t> layout_strides(const Shape& shape, Layout layout);

/// One use of a kernel by one session. Not shared between threads.
class Launch {
 public:
  virtual ~Launch() = default;
  /// Addresses of operands, results (null where absent) and scratch memory (64-byte aligned).
  /// Called before the first run and again whenever one of them moves.
  virtual void place(std::span<const void* const> operands, std::span<void* const> results,
                     void* scratch) = 0;
  virtual void run() = 0;
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual std::unique_ptr<Launch> launch() const = 0;

  /// "onednn.conv brgconv:avx512_core": the family, and what it chose.
  std::string name;
  /// The layouts in which operands must come and results are left; empty means all plain.
  std::vector<Layout> operand_layouts, result_layouts;
  /// Operands the kernel does not read when it runs (packed weights, folded constants).
  std::vector<int> absorbed;
  /// (result, operand): the result may take the operand's place in memory, where the node has both.
  std::vector<std::pair<int, int>> in_place;
  /// If not negative, result 0 is this operand's bytes under another type: nothing runs.
  int view_of = -1;
  size_t scratch_bytes = 0;
  /// The result's bits are the same on any number of threads.
  bool thread_exact = true;
  /// Bytes of constants the kernel keeps for itself.
  size_t packed_bytes = 0;

  Layout operand_layout(size_t i) const {
    return i < operand_layouts.size() ? operand_layouts[i] : Layout::kPlain;
  }
  Layout result_layout(size_t i) const {
    return i < result_layouts.size() ? result_layouts[i] : Layout::kPlain;
  }
  bool absorbs(size_t operand) const {
    for (int a : absorbed)
      if (size_t(a) == operand) return true;
    return false;
  }
};
using KernelPtr = std::shared_ptr<Kernel>;

/// Operands, results and scratch memory of one run.
struct KernelArgs {
  const void* const* in;
  void* const* out;
  void* scratch;
  template <class T>
  const T* read(size_t i) const {
    return static_cast<const T*>(in[i]);
  }
  template <class T>
  T* write(size_t i) const {
    return static_cast<T*>(out[i]);
  }
};

/// A kernel without state of its own: a function of addresses.
KernelPtr function_kernel(std::string name, std::function<void(const KernelArgs&)> run);
/// A kernel that runs nothing because result 0 is operand `view_of`'s bytes.
KernelPtr view_kernel(std::string name, int view_of = 0);

}  // namespace espalier
