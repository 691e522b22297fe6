// NumPy's NPY (versions 1 to 3) and NPZ files.
//
// Read: every numeric element type and bool, either byte order, C and Fortran order (the tensor is
// always row-major). Refused by name: complex, text, dates, records, pickled objects. bf16 has no
// NPY name: cast to f32 before writing. NPZ is a zip of NPY files, stored or deflated.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace espalier {

enum class NpyOrder {
  c,
  fortran,
};

/// `where` names the file in errors.
Tensor read_npy(std::string_view bytes, const std::string& where);
/// Version 1.0 bytes, little-endian. Throws UserError(unsupported) for bf16 and strings.
std::string write_npy(const Tensor& tensor, NpyOrder order = NpyOrder::c);

Tensor load_npy(const std::filesystem::path& path);
void save_npy(const std::filesystem::path& path, const Tensor& tensor);

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// Members in archive order, names without ".npy". Throws UserError for a member that is not NPY.
std::vector<NamedTensor> read_npz(std::string_view bytes, const std::string& where);
std::string write_npz(const std::vector<NamedTensor>& tensors);

std::vector<NamedTensor> load_npz(const std::filesystem::path& path);
void save_npz(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors);

}  // namespace espalier
