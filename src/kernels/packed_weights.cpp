#include "kernels/packed_weights.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <utility>

#include "base/fingerprint.h"

namespace espalier::kernels {
namespace {

using Bytes = std::shared_ptr<const std::byte>;

struct Held {
  std::weak_ptr<const std::byte> data;
  size_t bytes = 0;
  bool portable = true;
};

struct Lent {
  const LentForms::Weight* weight = nullptr;
  std::weak_ptr<const void> owner;
};

class Shelf {
 public:
  PackedWeight lent(std::span<const std::byte> weight, const std::string& form, size_t bytes) {
    std::shared_ptr<const void> owner;  // outlives the lock: its end takes weights back
    const std::lock_guard lock(mutex_);
    const auto found = lent_.find(weight.data());
    if (found == lent_.end() || found->second.weight->bytes.size() != weight.size()) return {};
    owner = found->second.owner.lock();
    if (!owner) return {};
    if (form.empty()) return {Bytes(owner, weight.data()), weight.size()};
    for (const auto& f : found->second.weight->forms)
      if (f.name == form && f.bytes.size() == bytes) return {Bytes(owner, f.bytes.data()), bytes};
    return {};
  }

  PackedWeight held(const Fingerprint& contents, const std::string& form) {
    const std::lock_guard lock(mutex_);
    const auto found = held_.find({contents, form});
    if (found == held_.end()) return {};
    return {found->second.data.lock(), found->second.bytes};
  }

  void hold(const Fingerprint& contents, const WeightForm& form, const PackedWeight& packed) {
    const std::lock_guard lock(mutex_);
    std::erase_if(held_, [](const auto& entry) { return entry.second.data.expired(); });
    held_[{contents, form.name}] = {packed.data, packed.bytes, form.portable};
  }

  std::vector<NamedForm> portable(const Fingerprint& contents) {
    const std::lock_guard lock(mutex_);
    std::vector<NamedForm> forms;
    for (auto it = held_.lower_bound({contents, ""});
         it != held_.end() && it->first.first == contents; ++it)
      if (auto data = it->second.data.lock();
          data && it->second.portable && !it->first.second.empty())
        forms.push_back({it->first.second, {std::move(data), it->second.bytes}});
    return forms;
  }

  void lend(const LentForms::Weight& weight, const std::weak_ptr<const void>& owner) {
    const std::lock_guard lock(mutex_);
    lent_[weight.bytes.data()] = {&weight, owner};
  }
  void take_back(const LentForms::Weight& weight) {
    const std::lock_guard lock(mutex_);
    lent_.erase(weight.bytes.data());
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<Fingerprint, std::string>, Held> held_;
  std::map<const std::byte*, Lent> lent_;
};

Shelf& shelf() {
  static Shelf* const shelf = new Shelf;  // sessions may outlive statics
  return *shelf;
}

std::shared_ptr<std::byte> allocated(size_t bytes) {
  constexpr size_t kLine = 64;
  const size_t whole = std::max<size_t>((bytes + kLine - 1) / kLine, 1) * kLine;
  auto* data = static_cast<std::byte*>(std::aligned_alloc(kLine, whole));
  if (!data) throw std::bad_alloc();
  return {data, [](std::byte* p) { std::free(p); }};
}

}  // namespace

PackedWeight packed_weight(std::span<const std::byte> weight, const WeightForm& form, size_t bytes,
                           const std::function<void(std::byte*)>& write) {
  if (auto lent = shelf().lent(weight, form.name, bytes)) return lent;
  const Fingerprint contents = fingerprint(weight.data(), weight.size());
  if (auto held = shelf().held(contents, form.name)) return held;
  const auto target = allocated(bytes);
  write(target.get());
  const PackedWeight packed{target, bytes};
  shelf().hold(contents, form, packed);
  return packed;
}

PackedWeight kept_weight(std::span<const std::byte> weight) {
  return packed_weight(weight, {}, weight.size(), [&](std::byte* to) {
    if (!weight.empty()) std::memcpy(to, weight.data(), weight.size());
  });
}

std::vector<NamedForm> held_forms(std::span<const std::byte> weight) {
  return shelf().portable(fingerprint(weight.data(), weight.size()));
}

LentForms::LentForms(std::vector<Weight> weights, std::weak_ptr<const void> owner)
    : weights_(std::move(weights)) {
  for (const Weight& w : weights_)
    if (!w.bytes.empty()) shelf().lend(w, owner);
}

LentForms::~LentForms() {
  for (const Weight& w : weights_)
    if (!w.bytes.empty()) shelf().take_back(w);
}

}  // namespace espalier::kernels
