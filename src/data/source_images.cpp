// images:DIR_OR_ZIP, pictures in class folders. A folder train, val (validation, valid) or test
// above the class folder names the split; without such folders all pictures are one pool.
#include <algorithm>
#include <array>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <system_error>

#include "base/files.h"
#include "base/progress.h"
#include "base/threads.h"
#include "data/cache.h"
#include "data/source.h"
#include "formats/images.h"
#include "formats/picture_stream.h"
#include "formats/zip.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBlock = 1024;  // pictures read before they are decoded in parallel

enum Part {
  kTrain,
  kVal,
  kTest,
};
const std::map<std::string, Part> kPartFolders = {{"train", kTrain},    {"training", kTrain},
                                                  {"val", kVal},        {"valid", kVal},
                                                  {"validation", kVal}, {"test", kTest}};

struct Picture {
  std::string name;        // path within the source, with '/'
  std::string class_name;  // its folder
  Part part = kTrain;
  size_t entry = 0;  // in the zip archive
  int64_t label = 0;
};

bool has_picture_suffix(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return char(std::tolower(c)); });
  return name.ends_with(".jpg") || name.ends_with(".jpeg") || name.ends_with(".png");
}

/// Class and part from the folders above a picture; nothing for files that are no pictures.
std::optional<Picture> classify(const std::string& name, const std::string& where) {
  std::vector<std::string> folders;
  size_t at = 0;
  for (size_t slash; (slash = name.find('/', at)) != name.npos; at = slash + 1)
    folders.push_back(name.substr(at, slash - at));
  const std::string leaf = name.substr(at);
  if (!has_picture_suffix(leaf) || leaf.starts_with('.') ||
      std::find(folders.begin(), folders.end(), "__MACOSX") != folders.end())
    return std::nullopt;
  if (folders.empty() || kPartFolders.contains(folders.back()))
    throw bad_input(where + ": " + name, "lies in no class folder",
                    "pictures belong into [train/|val/|test/]CLASS/");
  Picture picture{name, folders.back(), kTrain, 0, 0};
  folders.pop_back();
  for (const std::string& folder : folders)
    if (const auto found = kPartFolders.find(folder); found != kPartFolders.end())
      picture.part = found->second;
  return picture;
}

/// The pictures of a source and how to read one.
struct Listing {
  std::vector<Picture> pictures;  // train, val, test; each by name
  std::vector<std::string> class_names;
  std::function<std::string(const Picture&)> read;
  std::string fingerprint;  // changes when a file does
};

void sort_and_label(Listing& listing, const std::string& where) {
  if (listing.pictures.empty())
    throw bad_input(where, "holds no .jpg, .jpeg or .png pictures in class folders");
  std::sort(listing.pictures.begin(), listing.pictures.end(), [](const auto& a, const auto& b) {
    return std::tie(a.part, a.name) < std::tie(b.part, b.name);
  });
  std::map<std::string, int64_t> labels;
  for (const Picture& p : listing.pictures) labels[p.class_name] = 0;
  for (auto& [name, label] : labels) {
    label = int64_t(listing.class_names.size());
    listing.class_names.push_back(name);
  }
  for (Picture& p : listing.pictures) p.label = labels.at(p.class_name);
}

std::string stamp(const fs::path& path) {
  return std::to_string(fs::file_size(path)) + " " +
         std::to_string(fs::last_write_time(path).time_since_epoch().count());
}

Listing list_zip(const std::string& path) {
  Listing listing;
  // Mapped: reading entry by entry through a file costs several system calls each.
  struct Mapped {
    MappedFile file;
    ZipArchive zip;
    explicit Mapped(const std::string& path)
        : file(path),
          zip({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path) {}
  };
  auto archive = std::make_shared<const Mapped>(path);
  for (size_t i = 0; i < archive->zip.names().size(); ++i)
    if (auto picture = classify(archive->zip.names()[i], path)) {
      picture->entry = i;
      listing.pictures.push_back(std::move(*picture));
    }
  listing.read = [archive](const Picture& p) { return archive->zip.read(p.entry); };
  listing.fingerprint = stamp(path);
  return listing;
}

Listing list_folder(const std::string& path) {
  Listing listing;
  for (const auto& entry :
       fs::recursive_directory_iterator(path, fs::directory_options::follow_directory_symlink)) {
    if (!entry.is_regular_file()) continue;
    const std::string name = entry.path().lexically_relative(path).generic_string();
    if (auto picture = classify(name, path)) listing.pictures.push_back(std::move(*picture));
  }
  std::vector<std::string> stamps;
  for (const Picture& p : listing.pictures)
    stamps.push_back(p.name + " " + stamp(fs::path(path) / p.name));
  std::sort(stamps.begin(), stamps.end());
  for (const std::string& s : stamps) listing.fingerprint += s + "\n";
  listing.read = [path](const Picture& p) { return read_file(fs::path(path) / p.name); };
  return listing;
}

/// Decodes into rows of one tensor, all of the size and channels of the first picture or of those
/// asked for.
class Decoder {
 public:
  Decoder(const DataSpec& spec, const Listing& listing) : spec_(spec), listing_(listing) {
    if (spec.extra.contains("channels")) {
      channels_ = int(spec.int_option("channels", 3, 1));
      if (channels_ != 1 && channels_ != 3)
        throw usage_error("channels=" + std::to_string(channels_), "is not one of 1, 3");
    }
    if (!spec.extra.contains("shrink")) return;
    shrink_ = shrink_named(spec.option("shrink"));
    if (spec.height == 0)
      throw usage_error("shrink=" + spec.option("shrink"), "says nothing without resize",
                        "resize=224 or resize=96x128 says to which size");
  }

  Tensor run() {
    const auto count = int64_t(listing_.pictures.size());
    decide_shape();
    Tensor samples(DType::u8, {count, channels_, height_, width_});
    Progress progress("decoding " + spec_.path, count, "pictures");
    for (int64_t begin = 0; begin < count; begin += kBlock) {
      const int64_t n = std::min(kBlock, count - begin);
      decode_block(begin, n, samples.mutable_data<uint8_t>());
      progress.advance(n);
    }
    return samples;
  }

 private:
  std::string where(const Picture& p) const { return spec_.path + ": " + p.name; }

  void decide_shape() {
    const Picture& first = listing_.pictures[0];
    const Image image = decode_image(listing_.read(first), where(first));
    if (channels_ == 0) channels_ = image.channels;
    height_ = spec_.height > 0 ? int(spec_.height) : image.height;
    width_ = spec_.width > 0 ? int(spec_.width) : image.width;
  }

  Image decode(const Picture& picture, const std::string& bytes) const {
    int native = 0;
    if (spec_.height > 0) {
      const PictureForm form{width_, height_, channels_, shrink_};
      Image image = decode_resized(bytes, where(picture), form, kMaxPixels, &native);
      check_colour(native, picture);
      return image;
    }
    Image image = decode_image(bytes, where(picture));
    check_colour(image.channels, picture);
    image = convert_channels(std::move(image), channels_);
    if (image.width != width_ || image.height != height_)
      throw bad_input(where(picture),
                      "is " + std::to_string(image.height) + "x" + std::to_string(image.width) +
                          ", the first picture is " + std::to_string(height_) + "x" +
                          std::to_string(width_) + " (height x width)",
                      "add resize=" + std::to_string(height_) + "x" + std::to_string(width_));
    return image;
  }

  void check_colour(int native, const Picture& picture) const {
    if (native == 3 && channels_ == 1 && !spec_.extra.contains("channels"))
      throw bad_input(where(picture), "has colour, the first picture is grey",
                      "add channels=3 or channels=1");
  }

  /// Which of several errors is reported must not depend on threads: the first picture's.
  void decode_block(int64_t begin, int64_t n, uint8_t* samples) const {
    std::vector<std::string> files;
    for (int64_t i = 0; i < n; ++i)
      files.push_back(listing_.read(listing_.pictures[size_t(begin + i)]));
    std::vector<std::exception_ptr> errors(static_cast<size_t>(n));
    const int64_t pixels = int64_t{height_} * width_;
    parallel_for(n, 1, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        try {
          const Image image = decode(listing_.pictures[size_t(begin + i)], files[size_t(i)]);
          uint8_t* out = samples + (begin + i) * channels_ * pixels;
          for (int64_t p = 0; p < pixels; ++p)
            for (int64_t c = 0; c < channels_; ++c)
              out[c * pixels + p] = image.pixels[size_t(p * channels_ + c)];
        } catch (...) {
          errors[size_t(i)] = std::current_exception();
        }
      }
    });
    for (const std::exception_ptr& e : errors)
      if (e) std::rethrow_exception(e);
  }

  const DataSpec& spec_;
  const Listing& listing_;
  int channels_ = 0, height_ = 0, width_ = 0;
  Shrink shrink_ = Shrink::sample;
};

RawData decode_all(const DataSpec& spec, const Listing& listing) {
  RawData raw;
  raw.class_names = listing.class_names;
  raw.samples = Decoder(spec, listing).run();
  Tensor labels(DType::i64, {int64_t(listing.pictures.size())});
  for (size_t i = 0; i < listing.pictures.size(); ++i) {
    labels.mutable_data<int64_t>()[i] = listing.pictures[i].label;
    ++*std::array{&raw.train, &raw.val, &raw.test}[listing.pictures[i].part];
  }
  set_labels(raw, std::move(labels), int64_t(raw.class_names.size()), spec.path);
  return raw;
}

}  // namespace

RawData load_images_source(const DataSpec& spec) {
  try {
    Listing listing = fs::is_directory(spec.path) ? list_folder(spec.path) : list_zip(spec.path);
    const std::string key =
        "images 1\n" + fs::canonical(spec.path).string() + "\nresize " +
        std::to_string(spec.height) + "x" + std::to_string(spec.width) + " channels " +
        spec.option("channels", "first") +
        (spec.extra.contains("shrink") ? " shrink " + spec.option("shrink") : "") + "\n" +
        listing.fingerprint;
    const auto decode = [&] {
      sort_and_label(listing, spec.path);
      return decode_all(spec, listing);
    };
    return spec.cache ? cached_data("images", key, decode) : decode();
  } catch (const fs::filesystem_error& e) {
    throw bad_input(spec.path, "cannot be listed: " + e.code().message());
  }
}

}  // namespace espalier
