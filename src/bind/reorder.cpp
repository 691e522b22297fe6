#include <algorithm>
#include <cstring>
#include <string>

#include "bind/binder.h"
#include "kernels/transpose.h"

namespace espalier {

KernelPtr reorder_kernel(DType dtype, const Shape& shape, Layout from, Layout to) {
  const size_t width = size_of(dtype);
  if (dtype == DType::string)
    return function_kernel("copy", [count = numel(shape)](const KernelArgs& a) {
      std::copy_n(a.read<std::string>(0), count, a.write<std::string>(0));
    });
  if (layouts_agree(shape, from, to)) {
    auto copy =
        function_kernel("copy", [bytes = size_t(numel(shape)) * width](const KernelArgs& a) {
          std::memcpy(a.out[0], a.in[0], bytes);
        });
    copy->operand_layouts = {from};
    copy->result_layouts = {to};
    return copy;
  }
  // Both directions transpose matrices: [C, spatial] to [spatial, C] or back, N times.
  const int64_t channels = shape[1], spatial = product(shape, 2, shape.size());
  const bool to_last = to == Layout::kChannelsLast;
  auto kernel =
      function_kernel(to_last ? "reorder to channels-last" : "reorder to plain",
                      [n = shape[0], rows = to_last ? channels : spatial,
                       columns = to_last ? spatial : channels, width](const KernelArgs& a) {
                        kernels::transpose_matrices(a.in[0], a.out[0], n, rows, columns, width);
                      });
  kernel->operand_layouts = {from};
  kernel->result_layouts = {to};
  return kernel;
}

}  // namespace espalier
