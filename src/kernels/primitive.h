// A prepared computation of oneDNN's: one or several primitives in a row. Immutable and shareable;
// a PrimitiveCall is one caller's use of it.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace espalier::kernels {

/// Where an argument's bytes are.
struct Ref {
  enum class From : unsigned char { kOperand, kResult, kScratch, kKept } from = From::kOperand;
  size_t index = 0;  ///< operand, result or kept buffer; byte offset in scratch

  static Ref operand(size_t i) { return {From::kOperand, i}; }
  static Ref result(size_t i) { return {From::kResult, i}; }
};

class PrimitiveCall {
 public:
  virtual ~PrimitiveCall() = default;
  virtual void place(std::span<const void* const> operands, std::span<void* const> results,
                     void* scratch) = 0;
  virtual void run() = 0;
};

class PrimitiveSequence {
 public:
  struct Impl;
  explicit PrimitiveSequence(std::unique_ptr<Impl> impl);
  ~PrimitiveSequence();

  std::unique_ptr<PrimitiveCall> call() const;
  size_t scratch_bytes() const;
  size_t kept_bytes() const;
  /// "brgconv:avx512_core": what oneDNN chose for the last primitive.
  const std::string& implementation() const;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

/// A sequence, or why oneDNN has none.
struct Prepared {
  std::shared_ptr<const PrimitiveSequence> sequence;
  std::string refusal;
};

/// Whether oneDNN's products of 8-bit integers may saturate here: without VNNI (or with
/// ONEDNN_MAX_CPU_ISA below it) it adds pairs of them in 16 bits.
bool integer_sums_saturate();
/// Whether oneDNN computes in bf16 here.
bool has_bf16();
/// "avx512_core_vnni": what oneDNN's kernels may use here, ONEDNN_MAX_CPU_ISA heeded.
std::string onednn_instruction_set();
/// "oneDNN 2.7.4": its kernels, and which of them it prefers, change with it.
std::string onednn_version();

}  // namespace espalier::kernels
