#include "formats/zip.h"

#include <zip.h>

#include <algorithm>

#include "base/error.h"

namespace espalier {
namespace {

constexpr size_t kMinStep = 512, kMaxStep = size_t{1} << 20;
constexpr zip_uint16_t kFirstDosDate = (1 << 5) | 1;  // 1980-01-01

std::string message_of(zip_error_t* error) {
  std::string text = zip_error_strerror(error);
  zip_error_fini(error);
  return text;
}

UserError not_an_archive(const std::string& where, const std::string& why) {
  return bad_input(where, "cannot be read as a zip archive: " + why, "fetch or write it again");
}

struct EntryFile {
  zip_file_t* file;
  ~EntryFile() {
    if (file) zip_fclose(file);
  }
};

}  // namespace

struct ZipArchive::State {
  zip_t* archive = nullptr;
  std::string where;
  std::vector<std::string> names;

  ~State() {
    if (archive) zip_discard(archive);
  }

  void list() {
    // libzip takes an empty file for an empty archive; more likely a download failed.
    if (zip_get_num_entries(archive, 0) == 0) throw not_an_archive(where, "it holds no entries");
    const zip_int64_t count = zip_get_num_entries(archive, 0);
    names.reserve(size_t(count));
    for (zip_int64_t i = 0; i < count; ++i) {
      const char* name = zip_get_name(archive, zip_uint64_t(i), ZIP_FL_ENC_GUESS);
      if (!name) throw not_an_archive(where, zip_strerror(archive));
      names.emplace_back(name);
    }
  }
};

ZipArchive::ZipArchive(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  state_->where = path.string();
  int code = 0;
  state_->archive = zip_open(path.c_str(), ZIP_RDONLY, &code);
  if (!state_->archive) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    throw not_an_archive(state_->where, message_of(&error));
  }
  state_->list();
}

ZipArchive::ZipArchive(std::string_view bytes, const std::string& where)
    : state_(std::make_unique<State>()) {
  state_->where = where;
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  if (!source) throw not_an_archive(where, message_of(&error));
  state_->archive = zip_open_from_source(source, ZIP_RDONLY, &error);
  if (!state_->archive) {
    zip_source_free(source);
    throw not_an_archive(where, message_of(&error));
  }
  state_->list();
}

ZipArchive::~ZipArchive() = default;
ZipArchive::ZipArchive(ZipArchive&&) noexcept = default;

const std::vector<std::string>& ZipArchive::names() const { return state_->names; }

std::string ZipArchive::read(size_t entry, size_t limit) const {
  ESP_CHECK(entry < state_->names.size(), "zip entry out of range");
  const std::string where = state_->where + ": " + state_->names[entry];
  EntryFile open{zip_fopen_index(state_->archive, entry, 0)};
  if (!open.file)
    throw bad_input(where, std::string("cannot be unpacked: ") + zip_strerror(state_->archive));
  // The size an archive claims may be a lie: it is where reading starts to look for the end, and
  // the buffer grows with what really arrives.
  zip_stat_t stat;
  zip_stat_init(&stat);
  zip_stat_index(state_->archive, entry, 0, &stat);
  size_t step = std::max(size_t(std::min<zip_uint64_t>(stat.size, kMaxStep)), kMinStep);
  std::string bytes;
  bytes.reserve(step + kMinStep);
  // To the very end, where the checksum is compared.
  for (;; step = std::clamp(bytes.size(), kMinStep, kMaxStep)) {
    const size_t done = bytes.size();
    bytes.resize(done + step);
    const zip_int64_t n = zip_fread(open.file, bytes.data() + done, step);
    if (n < 0)
      throw bad_input(
          where, std::string("is damaged: ") + zip_error_strerror(zip_file_get_error(open.file)),
          "fetch the archive again");
    bytes.resize(done + size_t(n));
    if (n == 0) return bytes;
    if (bytes.size() > limit)
      throw unsupported(where, "holds more than " + std::to_string(limit) + " bytes");
  }
}

std::string write_zip(const std::vector<ZipEntry>& entries, bool store) {
  // Writing to memory cannot fail for reasons that come from input.
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* target = zip_source_buffer_create(nullptr, 0, 0, &error);
  ESP_CHECK(target, "zip target: " + message_of(&error));
  zip_source_keep(target);  // survives the archive, which takes the first reference
  zip_t* archive = zip_open_from_source(target, ZIP_TRUNCATE, &error);
  ESP_CHECK(archive, "zip archive: " + message_of(&error));
  for (const ZipEntry& entry : entries) {
    zip_source_t* source = zip_source_buffer(archive, entry.bytes.data(), entry.bytes.size(), 0);
    const zip_int64_t index = zip_file_add(archive, entry.name.c_str(), source, ZIP_FL_ENC_UTF_8);
    ESP_CHECK(index >= 0, "zip entry " + entry.name + ": " + zip_strerror(archive));
    zip_set_file_compression(archive, zip_uint64_t(index), store ? ZIP_CM_STORE : ZIP_CM_DEFLATE,
                             0);
    zip_file_set_dostime(archive, zip_uint64_t(index), 0, kFirstDosDate, 0);
  }
  ESP_CHECK(zip_close(archive) == 0, std::string("zip close: ") + zip_strerror(archive));
  ESP_CHECK(zip_source_open(target) == 0, "zip result");
  zip_stat_t stat;
  zip_stat_init(&stat);
  ESP_CHECK(zip_source_stat(target, &stat) == 0, "zip result");
  std::string bytes(size_t(stat.size), '\0');
  const zip_int64_t n = zip_source_read(target, bytes.data(), bytes.size());
  zip_source_close(target);
  zip_source_free(target);
  ESP_CHECK(n == zip_int64_t(bytes.size()), "zip result");
  return bytes;
}

}  // namespace espalier
