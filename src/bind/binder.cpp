#include "bind/binder.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "bind/families.h"
#include "kernels/simd.h"

namespace espalier {
namespace {

using Table = std::map<std::string, std::vector<Candidate>, std::less<>>;

const Table& table() {
  static const Table t = [] {
    kernels::limit_instruction_set();
    Table all;
    for (const auto& family : bind::families())
      for (const auto& [room, candidate] : family()) all[room].push_back(candidate);
    return all;
  }();
  return t;
}

}  // namespace

std::vector<Candidate> candidates_for(const Room& room) {
  std::vector<Candidate> list;
  if (const auto found = table().find(room.full_name()); found != table().end())
    list = found->second;
  if (room.pointwise.answered())
    for (const Candidate& c : bind::pointwise_candidates()) list.push_back(c);
  return list;
}

namespace {

/// Fast kernels copy bytes, which strings are not.
bool holds_strings(const BindRequest& r) {
  for (size_t i = 0; i < r.in.size(); ++i)
    if (r.in.has(i) && r.in_dtype(i) == DType::string) return true;
  return std::any_of(r.out.begin(), r.out.end(),
                     [](const Type& t) { return t.tensor().dtype == DType::string; });
}

}  // namespace

KernelPtr bind_fast(const BindRequest& request,
                    const std::function<void(const std::string&)>& explain) {
  if (holds_strings(request)) {
    if (explain) explain(request.in.where() + ": no kernel takes strings");
    return nullptr;
  }
  const auto candidates = candidates_for(*request.room);
  for (const Candidate& c : candidates) {
    Bound bound = c.bind(request);
    if (auto* kernel = std::get_if<KernelPtr>(&bound)) return std::move(*kernel);
    if (explain)
      explain(request.in.where() + ": " + c.name +
              " does not apply: " + std::get<Refuse>(bound).why);
  }
  if (candidates.empty() && explain) explain(request.in.where() + ": no kernel serves it");
  return nullptr;
}

}  // namespace espalier
