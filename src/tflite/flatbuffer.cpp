#include "tflite/flatbuffer.h"

#include "base/error.h"

namespace espalier::tflite {
namespace {

/// An honest file's lists are read once; a little more is granted for what it shares.
constexpr uint64_t kTimesRead = 8, kAlwaysGranted = 1 << 16;
constexpr uint64_t kVtableHeader = 4;

}  // namespace

FlatBuffer::FlatBuffer(std::string_view bytes, std::string where)
    : bytes_(bytes), where_(std::move(where)), left_(kTimesRead * bytes.size() + kAlwaysGranted) {}

void FlatBuffer::fail(const std::string& what) const {
  throw bad_input(where_, "is damaged or cut short: " + what,
                  "check its size against the original");
}

std::string_view FlatBuffer::take(uint64_t at, uint64_t count) const {
  if (at > bytes_.size() || count > bytes_.size() - at)
    fail(std::to_string(count) + " bytes are needed at " + std::to_string(at) + ", the file has " +
         std::to_string(bytes_.size()));
  return bytes_.substr(at, count);
}

void FlatBuffer::spend(uint64_t bytes) const {
  if (bytes > left_) fail("its lists hold more than the file could");
  left_ -= bytes;
}

FlatTable::FlatTable(const FlatBuffer& buffer, uint64_t at) : buffer_(&buffer), at_(at) {
  const auto back = buffer.scalar<int32_t>(at);
  const int64_t vtable = int64_t(at) - back;
  if (vtable < 0) buffer.fail("a table's fields lie before the file");
  fields_ = uint64_t(vtable);
  vtable_size_ = buffer.scalar<uint16_t>(fields_);
  size_ = buffer.scalar<uint16_t>(fields_ + 2);
  if (vtable_size_ < kVtableHeader || vtable_size_ % 2 != 0)
    buffer.fail("a table has " + std::to_string(vtable_size_) + " bytes of fields");
  buffer.take(fields_, vtable_size_);
  buffer.take(at, size_);
}

FlatTable FlatTable::root(const FlatBuffer& buffer) {
  return FlatTable(buffer, buffer.scalar<uint32_t>(0));
}

uint64_t FlatTable::place(int field, uint64_t width) const {
  const uint64_t entry = kVtableHeader + 2 * uint64_t(field);
  if (!buffer_ || entry + 2 > vtable_size_) return 0;
  const auto offset = buffer_->scalar<uint16_t>(fields_ + entry);
  if (offset == 0) return 0;
  if (offset + width > size_) buffer_->fail("a field lies outside its table");
  return at_ + offset;
}

uint64_t FlatTable::target(int field) const {
  const uint64_t at = place(field, sizeof(uint32_t));
  if (at == 0) return 0;
  const auto forward = buffer_->scalar<uint32_t>(at);
  return forward == 0 ? 0 : at + forward;
}

std::string_view FlatTable::elements(int field, uint64_t width) const {
  const uint64_t at = target(field);
  if (at == 0) return {};
  const uint64_t size = buffer_->scalar<uint32_t>(at) * width;
  const std::string_view data = buffer_->take(at + sizeof(uint32_t), size);
  if (width > 1) buffer_->spend(size);
  return data;
}

FlatTable FlatTable::table(int field) const {
  const uint64_t at = target(field);
  return at == 0 ? FlatTable() : FlatTable(*buffer_, at);
}

std::string FlatTable::string(int field) const {
  const std::string_view text = elements(field, 1);
  if (!text.empty()) buffer_->spend(text.size());
  return std::string(text);
}

std::string_view FlatTable::bytes(int field) const { return elements(field, 1); }

std::vector<FlatTable> FlatTable::tables(int field) const {
  const uint64_t first = target(field) + sizeof(uint32_t);
  const std::vector<uint32_t> offsets = list<uint32_t>(field);
  std::vector<FlatTable> tables;
  tables.reserve(offsets.size());
  for (size_t i = 0; i < offsets.size(); ++i)
    tables.emplace_back(*buffer_, first + i * sizeof(uint32_t) + offsets[i]);
  return tables;
}

}  // namespace espalier::tflite
