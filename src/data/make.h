// `data make` and `data get`: sources written out as files, and public sets fetched.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/source.h"

namespace espalier {

enum class DataFormat {
  idx,     ///< train-images-idx4-ubyte.gz and companions, which idx:DIR reads
  images,  ///< train/CLASS/00000.png and test/CLASS/…, which images:DIR reads
};
DataFormat parse_data_format(const std::string& name);

/// Writes all samples of `spec` below `folder`, validation rows as training rows unless the source
/// names them. Throws UserError when the folder holds anything and `overwrite` is not set, when the
/// spec asks for a part, or when the samples are no pictures of bytes with class labels. Returns
/// the spec that reads them back.
std::string make_data(const DataSpec& spec, const std::filesystem::path& folder, DataFormat format,
                      bool overwrite);

/// One file of a public set.
struct RemoteFile {
  std::string name;
  std::vector<std::string> urls;  ///< tried in order
  std::string md5;                ///< as its publisher gives it
};

struct NamedSet {
  std::string name, what;
  std::vector<RemoteFile> files;
  std::string archive_folder;  ///< what a fetched .tar.gz unpacks to; empty for plain files
  std::string kind;            ///< of the spec that reads it
};
const std::vector<NamedSet>& named_sets();
/// Throws UserError(usage) listing the names.
const NamedSet& find_named_set(const std::string& name);

/// Fetches with curl, checks, unpacks; files already there with the right checksum are kept.
/// Throws UserError when a file cannot be had or has another checksum: it is then not kept. Returns
/// the spec that reads the set.
std::string get_data(const NamedSet& set, const std::filesystem::path& folder);

}  // namespace espalier
