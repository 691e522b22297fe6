#include "ir/datum.h"

#include <algorithm>

#include "base/error.h"

namespace espalier {

Datum Datum::sequence(Type element, std::vector<Datum> items) {
  Datum d;
  d.held_ = std::make_shared<const Held>(Held{sequence_of(std::move(element)), std::move(items)});
  return d;
}

Datum Datum::some(Type element, Datum item) {
  Datum d;
  d.held_ = std::make_shared<const Held>(Held{optional_of(std::move(element)), {std::move(item)}});
  return d;
}

Datum Datum::none(Type element) {
  Datum d;
  d.held_ = std::make_shared<const Held>(Held{optional_of(std::move(element)), {}});
  return d;
}

const Tensor& Datum::tensor() const {
  ESP_CHECK(!held_, "a sequence or optional was read as a tensor");
  return tensor_;
}

const std::vector<Datum>& Datum::items() const {
  ESP_CHECK(held_ != nullptr, "a tensor was read as a sequence or optional");
  return held_->items;
}

Type Datum::type() const {
  return held_ ? held_->type : Type(TensorType(tensor_.dtype(), tensor_.shape()));
}

Datum Datum::retyped(const Type& type) const {
  if (!held_ || type == held_->type) return *this;
  std::vector<Datum> items;
  for (const Datum& item : held_->items) items.push_back(item.retyped(type.element()));
  Datum d;
  d.held_ = std::make_shared<const Held>(Held{type, std::move(items)});
  return d;
}

bool fits(const Datum& datum, const Type& type) {
  if (datum.is_tensor()) return refines(datum.type(), type);
  if (datum.type().form.index() != type.form.index()) return false;
  return std::ranges::all_of(datum.items(),
                             [&](const Datum& item) { return fits(item, type.element()); });
}

bool identical(const Datum& a, const Datum& b) {
  if (a.is_tensor() || b.is_tensor())
    return a.is_tensor() && b.is_tensor() && a.tensor().identical(b.tensor());
  if (a.type().form.index() != b.type().form.index()) return false;
  return std::ranges::equal(a.items(), b.items(), identical);
}

std::string describe(const Datum& datum) {
  std::string text = to_string(datum.type());
  if (datum.type().is_sequence())
    text += " of " + std::to_string(datum.items().size()) + " items";
  else if (!datum.is_tensor() && datum.items().empty())
    text += " that is empty";
  return text;
}

std::vector<Datum> to_data(std::span<const Tensor> tensors) {
  return std::vector<Datum>(tensors.begin(), tensors.end());
}

std::vector<Tensor> to_tensors(std::span<const Datum> data, const std::string& where) {
  std::vector<Tensor> tensors;
  for (const Datum& d : data) {
    if (!d.is_tensor())
      throw unsupported(where, "gives " + to_string(d.type()) + " where tensors are asked for");
    tensors.push_back(d.tensor());
  }
  return tensors;
}

}  // namespace espalier
