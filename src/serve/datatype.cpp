#include "serve/datatype.h"

#include <array>

namespace espalier::serve {
namespace {

struct Named {
  DType type;
  std::string_view datatype;
};
constexpr std::array kNames = {
    Named{DType::f64, "FP64"},     Named{DType::f32, "FP32"},    Named{DType::bf16, "BF16"},
    Named{DType::f16, "FP16"},     Named{DType::i64, "INT64"},   Named{DType::i32, "INT32"},
    Named{DType::i16, "INT16"},    Named{DType::i8, "INT8"},     Named{DType::u64, "UINT64"},
    Named{DType::u32, "UINT32"},   Named{DType::u16, "UINT16"},  Named{DType::u8, "UINT8"},
    Named{DType::boolean, "BOOL"}, Named{DType::string, "BYTES"}};

}  // namespace

std::string_view datatype_of(DType type) {
  for (const Named& n : kNames)
    if (n.type == type) return n.datatype;
  return "";
}

std::optional<DType> dtype_from_datatype(std::string_view datatype) {
  for (const Named& n : kNames)
    if (n.datatype == datatype) return n.type;
  return std::nullopt;
}

}  // namespace espalier::serve
