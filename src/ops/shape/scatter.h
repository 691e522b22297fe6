// What scattering rooms share: how an update meets what stands there, and where elements go.
#pragma once

#include <functional>

#include "ir/c_writer.h"
#include "ops/shape/move.h"

namespace espalier::ops {

/// What becomes of an element that an update reaches.
enum class Meeting : uint8_t { kReplace, kAdd, kMul, kMax, kMin };
/// The attribute's word as a meeting. UserError for other words.
Meeting meeting_of(const std::string& reduction, const std::string& where);
/// UserError unless the gradient of that meeting is defined.
void require_linear(const std::string& reduction, const Tape& t);

/// result = data, then for every pair (position in result, position in updates), in order, the
/// update meets what stands there. `walk(f)` calls f with the pairs.
template <class Real, class Walk>
void scatter(Ref<Real>& r, Meeting meeting, Walk walk) {
  if (meeting == Meeting::kReplace) {
    r.out_tensor(0) = r.tensor(0).clone();
    const ElementCopier copy(r.tensor(2), r.out_tensor(0));
    walk([&](int64_t to, int64_t from) { copy(to, from); });
    return;
  }
  const auto run = [&](auto data, auto updates, auto y) {
    std::copy(data.begin(), data.end(), y.begin());
    walk([&](int64_t to, int64_t from) {
      auto& here = y[size_t(to)];
      const auto update = updates[size_t(from)];
      switch (meeting) {
        case Meeting::kReplace: here = update; break;
        case Meeting::kAdd: here += update; break;
        case Meeting::kMul: here *= update; break;
        case Meeting::kMax: here = std::max(here, update); break;
        case Meeting::kMin: here = std::min(here, update); break;
      }
    });
  };
  if (r.is_real(0))
    run(r.real(0), r.real(2), r.out_real(0));
  else
    run(r.ints(0), r.ints(2), r.out_ints(0));
}

/// Calls f(position in data, position in indices) for the element-wise forms: along `axis` the
/// position is the index's value, along the other axes its own.
template <class F>
void for_each_element(const Tensor& indices, const Shape& data, int64_t axis, const char* where,
                      F f) {
  const auto at = size_t(axis < 0 ? axis + int64_t(data.size()) : axis);
  auto strides = strides_of(data);
  const int64_t step = strides[at];
  strides[at] = 0;
  const std::vector<int64_t> values = indices.to_i64();
  for_each_offset<1>(indices.shape(), {strides}, [&](int64_t i, const std::array<int64_t, 1>& o) {
    f(o[0] + checked_index(values[size_t(i)], data[at], where) * step, i);
  });
}

/// Calls f(position in data, position in updates, run) for the tuple forms: the last axis of
/// `indices` holds tuples that name slices of data, behind `batch` axes common to both.
template <class F>
void for_each_tuple(const Tensor& indices, const Shape& data, int64_t batch, const char* where,
                    F f) {
  const int64_t length = indices.shape().back();
  const auto strides = strides_of(data);
  const int64_t run = product(data, size_t(batch + length), data.size());
  const int64_t tuples = product(indices.shape(), 0, indices.shape().size() - 1);
  const int64_t batches = product(data, 0, size_t(batch));
  const int64_t batch_step = product(data, size_t(batch), data.size());
  const std::vector<int64_t> values = indices.to_i64();
  for (int64_t i = 0; i < tuples; ++i) {
    int64_t at = batches > 0 ? i / (tuples / batches) * batch_step : 0;
    for (int64_t k = 0; k < length; ++k)
      at += checked_index(values[size_t(i * length + k)], data[size_t(batch + k)], where) *
            strides[size_t(batch + k)];
    f(at, i * run, run);
  }
}

/// The walks of for_each_element and for_each_tuple in C, over operand 1 of operand 0 (or result 0,
/// of the same shape): `body` gets the two positions.
using PositionBody = std::function<void(const std::string& data, const std::string& own)>;
void emit_element_positions(CWriter& c, size_t indices, int64_t axis, const PositionBody& body);
void emit_tuple_positions(CWriter& c, int64_t batch, const PositionBody& body);
/// Element `own` of operand 2 meets element `data` of result 0.
void emit_meeting(CWriter& c, Meeting meeting, const std::string& data, const std::string& own);

}  // namespace espalier::ops
