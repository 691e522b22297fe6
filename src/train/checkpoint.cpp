#include "train/checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "formats/safetensors.h"

namespace espalier {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int kVersion = 1;
constexpr const char* kFacts = "espalier.checkpoint";
constexpr const char* kChecksum = "checksum";
constexpr const char* kStatePrefix = "state/";
constexpr const char* kHookPrefix = "hook/";
constexpr const char* kHint = "remove it to go on from an older one, or start again";

json to_json(const EpochReport& e) {
  return {{"epoch", e.epoch},
          {"steps", e.steps},
          {"learning_rate", e.learning_rate},
          {"train_loss", e.train_loss},
          {"train_accuracy", e.train_accuracy},
          {"val_loss", e.val_loss},
          {"val_accuracy", e.val_accuracy},
          {"seconds", e.seconds},
          {"val_seconds", e.val_seconds}};
}

EpochReport epoch_from(const json& j) {
  return {j.at("epoch"),        j.at("steps"),          j.at("learning_rate"),
          j.at("train_loss"),   j.at("train_accuracy"), j.at("val_loss"),
          j.at("val_accuracy"), j.at("seconds"),        j.at("val_seconds")};
}

json facts_of(const Checkpoint& c) {
  json history = json::array();
  for (const EpochReport& e : c.history) history.push_back(to_json(e));
  return {{"version", kVersion},    {"step", c.step},           {"epoch", c.epoch},
          {"position", c.position}, {"loss_sum", c.loss_sum},   {"correct", c.correct},
          {"seconds", c.seconds},   {"seed", c.seed},           {"threads", c.threads},
          {"options", c.options},   {"log_bytes", c.log_bytes}, {"history", history}};
}

/// Covers the tensors and the facts.
std::string checksum_of(const TensorFile& file) {
  TensorFile covered = file;
  const std::string& facts = file.metadata.at(kFacts);
  covered.tensors["facts"] = Tensor::from<uint8_t>(
      {int64_t(facts.size())},
      std::span(reinterpret_cast<const uint8_t*>(facts.data()), facts.size()));
  return std::to_string(checksum(covered));
}

Checkpoint from_facts(const json& j) {
  Checkpoint c;
  c.step = j.at("step");
  c.epoch = j.at("epoch");
  c.position = j.at("position");
  c.loss_sum = j.at("loss_sum");
  c.correct = j.at("correct");
  c.seconds = j.at("seconds");
  c.seed = j.at("seed");
  c.threads = j.at("threads");
  c.options = j.at("options");
  c.log_bytes = j.at("log_bytes");
  for (const json& e : j.at("history")) c.history.push_back(epoch_from(e));
  return c;
}

}  // namespace

bool EpochReport::same_results(const EpochReport& o) const {
  return epoch == o.epoch && steps == o.steps && learning_rate == o.learning_rate &&
         train_loss == o.train_loss && train_accuracy == o.train_accuracy &&
         val_loss == o.val_loss && val_accuracy == o.val_accuracy;
}

namespace {

TensorFile file_of(const Checkpoint& c) {
  TensorFile file;
  for (const auto& [name, tensor] : c.states) file.tensors[kStatePrefix + name] = tensor;
  for (const auto& [name, tensor] : c.hooks) file.tensors[kHookPrefix + name] = tensor;
  file.metadata[kFacts] = facts_of(c).dump(-1, ' ', false, json::error_handler_t::replace);
  file.metadata[kChecksum] = checksum_of(file);
  return file;
}

}  // namespace

std::string encode_checkpoint(const Checkpoint& c) { return encode_safetensors(file_of(c)); }

Checkpoint decode_checkpoint(std::string_view bytes, const std::string& where) {
  TensorFile file = decode_safetensors(bytes, where);
  if (!file.metadata.contains(kFacts) || !file.metadata.contains(kChecksum))
    throw bad_input(where, "is no checkpoint");
  const json facts = json::parse(file.metadata[kFacts], nullptr, /*allow_exceptions=*/false);
  if (facts.is_object() && facts.contains("version") && facts["version"] != kVersion)
    throw unsupported(where, "is a checkpoint of version " + facts["version"].dump() +
                                 ", this program reads version " + std::to_string(kVersion));
  if (checksum_of(file) != file.metadata[kChecksum])
    throw bad_input(where, "is damaged: its checksum does not fit its contents", kHint);
  Checkpoint c;
  try {
    c = from_facts(facts);
  } catch (const json::exception& e) {
    throw bad_input(where, std::string("is damaged: ") + e.what(), kHint);
  }
  for (auto& [name, tensor] : file.tensors) {
    if (name.starts_with(kStatePrefix))
      c.states[name.substr(std::string_view(kStatePrefix).size())] = std::move(tensor);
    else if (name.starts_with(kHookPrefix))
      c.hooks[name.substr(std::string_view(kHookPrefix).size())] = std::move(tensor);
  }
  return c;
}

std::vector<fs::path> CheckpointFolder::files() const {
  std::vector<fs::path> files;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder_, missing)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(".safetensors")) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void CheckpointFolder::save(const Checkpoint& c) const {
  make_folder(folder_);
  std::string number = std::to_string(c.step);
  number.insert(0, 9 - std::min<size_t>(9, number.size()), '0');
  save_safetensors(file_of(c), folder_ / ("step-" + number + ".safetensors"));
  const auto all = files();
  std::error_code ignored;
  for (size_t i = 0; i + 2 < all.size(); ++i) fs::remove(all[i], ignored);
}

std::optional<Checkpoint> CheckpointFolder::newest() const {
  const auto all = files();
  if (all.empty()) return std::nullopt;
  try {
    return decode_checkpoint(read_file(all.back()), all.back().string());
  } catch (const UserError& e) {
    if (all.size() < 2) throw;
    throw UserError(e.code(), e.where(), e.problem(),
                    "remove it to go on from the one before, " + all[all.size() - 2].string());
  }
}

}  // namespace espalier
