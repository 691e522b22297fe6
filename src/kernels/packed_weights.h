// Weights in the forms kernels want, held once for all that want the same: programs of one network
// for other shapes or other numbers of threads, networks that share weights, and, where a file
// brings the forms along, processes.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace espalier::kernels {

/// Tells all that the bytes of a packed weight depend on beside the weight.
struct WeightForm {
  std::string name;      ///< empty: the weight as it is
  bool portable = true;  ///< the bytes mean the same on every machine
};

/// A weight in some form, 64-byte aligned; nobody changes it.
struct PackedWeight {
  std::shared_ptr<const std::byte> data;
  size_t bytes = 0;

  explicit operator bool() const { return data != nullptr; }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data.get());
  }
};

/// `weight` in a form of `bytes` bytes: what was lent with it (see LentForms), else what somebody
/// still holds for a weight of equal contents, else what `write` makes now. Any thread may call.
PackedWeight packed_weight(std::span<const std::byte> weight, const WeightForm& form, size_t bytes,
                           const std::function<void(std::byte*)>& write);

/// A copy of `weight` in its own form; itself where it is lent.
PackedWeight kept_weight(std::span<const std::byte> weight);

/// A packed weight and the name of its form.
struct NamedForm {
  std::string name;
  PackedWeight packed;
};

/// The portable forms that are held now for a weight of these contents, ordered by name.
std::vector<NamedForm> held_forms(std::span<const std::byte> weight);

/// Weights that lie in memory of someone else's, a mapped file for instance, with forms of theirs
/// beside them: found by where they lie, so that nothing is read to find them. In force while this
/// lives; what was found keeps `owner` alive.
class LentForms {
 public:
  struct Form {
    std::string name;
    std::span<const std::byte> bytes;
  };
  struct Weight {
    std::span<const std::byte> bytes;
    std::vector<Form> forms;
  };
  LentForms(std::vector<Weight> weights, std::weak_ptr<const void> owner);
  ~LentForms();
  LentForms(const LentForms&) = delete;
  LentForms& operator=(const LentForms&) = delete;

 private:
  std::vector<Weight> weights_;
};

}  // namespace espalier::kernels
