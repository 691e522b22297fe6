// A tile of a generated matrix product as a writer of x86 code; private to the micro-kernels.
#pragma once

#include <xbyak/xbyak.h>

#include <cstddef>
#include <cstdint>

#include "kernels/jit/micro_kernel.h"

namespace espalier::kernels {

/// A tile's columns are held in registers side by side. The last of them may be narrow: then a
/// mask says which columns there are, k1 with AVX-512 and a register with AVX2.
class GeneratedTile final : public MicroKernel, private Xbyak::CodeGenerator {
 public:
  explicit GeneratedTile(const MicroKernelSpec& spec);

 private:
  using Xmm = Xbyak::Xmm;
  static constexpr size_t kCodeBytes = 4096;

  Xmm vector(int index) const {
    return Xmm(wide_ ? Xbyak::Operand::ZMM : Xbyak::Operand::YMM, index);
  }
  // Sums first, then the row of b, then whatever is left.
  Xmm sum(int row, int column) const { return vector(row * across_ + column); }
  Xmm b_vector(int column) const { return vector(s_.rows * across_ + column); }
  Xmm spare() const { return vector(wide_ ? 31 : 14); }
  Xmm product() const { return vector(wide_ ? 30 : 15); }  // of integers, while k runs
  Xmm mask() const { return vector(15); }                  // of AVX2
  int last() const { return columns_ - (across_ - 1) * lanes_; }
  bool narrow(int column) const { return column == across_ - 1 && last() < lanes_; }
  int64_t bytes_at(int column) const { return int64_t{column} * lanes_ * int64_t(sizeof(float)); }
  /// Bytes of a number of a, or of a pair.
  int64_t a_bytes() const { return s_.integers ? 2 : int64_t(sizeof(float)); }
  int a_step() const {
    const int packed = s_.packed_rows > 0 ? s_.packed_rows : s_.rows;
    return int(sizeof(float)) * (s_.a_stride == 0 ? packed : 1);
  }
  int b_step() const {
    return int(s_.b_stride == 0 ? s_.vectors * kGemmLanes : s_.b_stride) * int(sizeof(float));
  }

  template <class F>
  void each_sum(const F& f) {
    for (int i = 0; i < s_.rows; ++i)
      for (int j = 0; j < across_; ++j) f(i, j);
  }

  /// Where element (row, first lane of the register) lies from a base with this stride.
  Xbyak::Address at(const Xbyak::Reg64& base, int row, int column, int64_t stride, DType type) {
    const int64_t bytes = int64_t(size_of(type));
    return ptr[base + size_t((row * stride + int64_t{column} * lanes_) * bytes)];
  }
  Xbyak::Address result_at(int row, int column) {
    return at(c_, row, column, s_.c_stride, s_.y_type);
  }
  Xbyak::Address arg(size_t offset) { return ptr[args_ + offset]; }

  /// The columns there are; zero for others.
  void load(const Xmm& to, const Xbyak::Address& from, bool masked);
  void store(const Xbyak::Address& to, const Xmm& from, bool masked);

  void generate();
  void make_mask();
  void start_sums();
  void step(int k);
  void multiply_add(int row, const Xbyak::RegExp& place);
  void multiply_add(const Xmm& sum, const Xmm& b, const Xbyak::Operand& a);
  void run_of_k();
  void all_runs();

  // After the sum.
  void finish();
  void per_column(size_t argument, void (GeneratedTile::*apply)(const Xmm& sum, const Xmm& number));
  void plus(const Xmm& sum, const Xmm& number) { vaddps(sum, sum, number); }
  void times(const Xmm& sum, const Xmm& number) { vmulps(sum, sum, number); }
  void number(const Xmm& to, float value);
  void bits(const Xmm& to, uint32_t value);
  void load_bytes(const Xmm& to, int row, int column, int64_t stride, DType type);
  void add_residual(const EpilogueStep& step);
  void apply(const EpilogueStep& step);
  void store_result();
  float largest_result() const;
  void store_integers();
  void store_rows_as_integers(int row, int rows);
  void store_bytes(const Xbyak::RegExp& to, const Xmm& from, int count);

  const Xbyak::Reg64 args_{Xbyak::util::rdi}, a_{Xbyak::util::rsi}, b_{Xbyak::util::rdx},
      c_{Xbyak::util::rcx}, k_{Xbyak::util::r8}, r_{Xbyak::util::r9}, offsets_{Xbyak::util::r10},
      runs_{Xbyak::util::r11};
  const MicroKernelSpec s_;
  const bool wide_ = vector_registers().lanes == kGemmLanes;
  const int lanes_ = vector_registers().lanes;
  const int columns_, across_;  ///< of the tile: numbers, and registers
};

}  // namespace espalier::kernels
