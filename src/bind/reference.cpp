// The last resort: a room's reference as a kernel. It allocates and is slow; it is always right.
#include <algorithm>
#include <cstring>

#include "bind/binder.h"
#include "ir/reference.h"

namespace espalier {

Bound bind_reference(const BindRequest& request) {
  const Room& room = *request.room;
  if (room.reference.refused()) return Refuse{room.reference.why()};
  struct Operand {
    bool present;
    DType dtype;
    Shape shape;
  };
  std::vector<Operand> operands;
  for (size_t i = 0; i < request.in.size(); ++i)
    operands.push_back(request.in.has(i) ? Operand{true, request.in_dtype(i), request.in_shape(i)}
                                         : Operand{false, DType::f32, {}});
  return function_kernel(
      "reference", [&room, attrs = request.attrs, operands, wanted = request.wanted,
                    where = request.in.where()](const KernelArgs& a) {
        std::vector<Tensor> tensors(operands.size());
        std::vector<const Tensor*> pointers(operands.size(), nullptr);
        for (size_t i = 0; i < operands.size(); ++i) {
          if (!operands[i].present) continue;
          tensors[i] = Tensor(operands[i].dtype, operands[i].shape, nullptr, a.in[i]);
          pointers[i] = &tensors[i];
        }
        const auto results = run_reference(room, attrs, pointers, where);
        for (size_t i = 0; i < results.size() && i < wanted.size(); ++i) {
          if (!wanted[i] || results[i].bytes() == 0) continue;
          if (results[i].dtype() == DType::string)
            std::ranges::copy(results[i].span<std::string>(), a.write<std::string>(i));
          else
            std::memcpy(a.out[i], results[i].raw(), results[i].bytes());
        }
      });
}

}  // namespace espalier
