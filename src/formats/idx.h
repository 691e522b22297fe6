// IDX files, the format of MNIST and its kin: a big-endian header, then a dense array.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace espalier {

/// A tensor of u8, i8, i16, i32, f32 or f64. Throws UserError naming `where` on a wrong magic
/// number, truncation or trailing bytes.
Tensor read_idx(std::string_view bytes, const std::string& where);
/// Throws UserError(unsupported) for an element type that IDX lacks, or more than 255 axes.
std::string write_idx(const Tensor& tensor);

/// Plain or gzip, told apart by content.
Tensor load_idx(const std::filesystem::path& path);
/// Gzip when the name ends in .gz.
void save_idx(const std::filesystem::path& path, const Tensor& tensor);

}  // namespace espalier
