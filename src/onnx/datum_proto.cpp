#include "onnx/datum_proto.h"

#include <google/protobuf/stubs/logging.h>
#include <onnx/onnx-data_pb.h>

#include "base/error.h"
#include "base/files.h"
#include "onnx/tensor_proto.h"

namespace espalier {
namespace {

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path)
      : where_(path.string()), external_(path.parent_path()) {}

  Datum sequence(const onnx::SequenceProto& proto, const Type& type) {
    const Type& element = type.element();
    std::vector<Datum> items;
    for (const auto& t : proto.tensor_values())
      items.emplace_back(decode_tensor(t, where_, &external_));
    for (const auto& s : proto.sequence_values()) items.push_back(sequence(s, nested(element)));
    for (const Datum& item : items) check(item, element);
    return Datum::sequence(element, std::move(items));
  }

  Datum optional(const onnx::OptionalProto& proto, const Type& type) {
    const Type& element = type.element();
    if (proto.has_tensor_value() && proto.tensor_value().data_type() != 0) {
      const Datum item = decode_tensor(proto.tensor_value(), where_, &external_);
      check(item, element);
      return Datum::some(element, item);
    }
    if (proto.has_sequence_value())
      return Datum::some(element, sequence(proto.sequence_value(), nested(element)));
    return Datum::none(element);
  }

 private:
  const Type& nested(const Type& type) const {
    if (!type.is_sequence())
      throw bad_input(where_, "holds a sequence where " + to_string(type) + " is asked for");
    return type;
  }
  void check(const Datum& item, const Type& type) const {
    if (!fits(item, type))
      throw bad_input(where_,
                      "holds " + describe(item) + " where " + to_string(type) + " is asked for");
  }

  std::string where_;
  ExternalData external_;
};

template <class Proto>
Proto parsed(const std::filesystem::path& path, const Type& type) {
  const std::string bytes = read_file(path);
  google::protobuf::LogSilencer silence;
  Proto proto;
  if (!proto.ParseFromString(bytes))
    throw bad_input(path.string(), "is not a serialised " + to_string(type),
                    "files of test vectors are named input_N.pb and output_N.pb");
  return proto;
}

}  // namespace

Datum read_datum_proto(const std::filesystem::path& path, const Type& type) {
  if (type.is_sequence())
    return Reader(path).sequence(parsed<onnx::SequenceProto>(path, type), type);
  if (type.is_optional())
    return Reader(path).optional(parsed<onnx::OptionalProto>(path, type), type);
  return read_tensor_proto(path);
}

}  // namespace espalier
