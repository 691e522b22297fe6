// The binary records of CIFAR-10 (one label byte) and CIFAR-100 (coarse and fine label bytes), each
// followed by 3072 bytes: a 32 x 32 image as three planes, red, green, blue.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace espalier {

struct CifarRecords {
  Tensor images;        ///< u8 [N, 3, 32, 32]
  Tensor labels;        ///< i64 [N]; the fine labels of CIFAR-100
  int64_t classes = 0;  ///< 10 or 100
};

/// Which of the two it is follows from the length and the label bytes. Throws UserError naming
/// `where` when neither fits.
CifarRecords read_cifar(std::string_view bytes, const std::string& where);
/// CIFAR-10 records of images u8 [N, 3, 32, 32] and labels i64 [N] below 10.
std::string write_cifar(const Tensor& images, const Tensor& labels);

/// Plain or gzip, told apart by content.
CifarRecords load_cifar(const std::filesystem::path& path);

}  // namespace espalier
