#include "runtime/order.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <tuple>

namespace espalier {
namespace {

using Turn = std::tuple<int, int, int>;  // place, 0 of an update and 1 of others, position

/// When each work wants to run: where it stands, or early.
std::vector<int> wanted_places(std::span<const Work> works, std::vector<bool> read_later) {
  const size_t n = works.size();
  std::vector<bool> early(n, false);
  std::vector<int> maker(read_later.size(), -1), place(n);
  for (size_t i = n; i-- > 0;) {
    early[i] = std::ranges::all_of(works[i].results,
                                   [&](int r) { return r < 0 || !read_later[size_t(r)]; });
    if (early[i]) continue;
    for (int o : works[i].operands)
      if (o >= 0) read_later[size_t(o)] = true;
  }
  for (size_t i = 0; i < n; ++i) {
    place[i] = early[i] ? 0 : int(i);
    if (early[i])
      for (int o : works[i].operands)
        if (o >= 0 && maker[size_t(o)] >= 0)
          place[i] = std::max(place[i], place[size_t(maker[size_t(o)])]);
    for (int r : works[i].results)
      if (r >= 0) maker[size_t(r)] = int(i);
  }
  // What other works make and no update but this one reads need not be kept if this one shrinks it.
  std::vector<int> early_reads(read_later.size(), 0);
  for (size_t i = 0; i < n; ++i)
    for (int o : works[i].operands)
      if (o >= 0) early_reads[size_t(o)] += early[i];
  const auto frees = [&](size_t i) {
    return works[i].shrinks && std::ranges::all_of(works[i].operands, [&](int o) {
             return o < 0 || maker[size_t(o)] < 0 ||
                    (!early[size_t(maker[size_t(o)])] && early_reads[size_t(o)] == 1);
           });
  };
  // No sooner than one of its readers can run, which may wait for something else: what is computed
  // again for the backward pass finds its operands there long before.
  std::vector<int> first_read(read_later.size(), int(n));
  for (size_t i = n; i-- > 0;) {
    int soonest = int(n);
    for (int r : works[i].results)
      if (r >= 0) soonest = std::min(soonest, first_read[size_t(r)]);
    if (early[i] && soonest < int(n) && !frees(i)) place[i] = std::max(place[i], soonest);
    for (int o : works[i].operands)
      if (o >= 0) first_read[size_t(o)] = std::min(first_read[size_t(o)], place[i]);
  }
  return place;
}

}  // namespace

std::vector<int> update_early(std::span<const Work> works, const std::vector<bool>& wanted,
                              std::span<const std::pair<int, int>> before) {
  const size_t n = works.size();
  const std::vector<int> place = wanted_places(works, wanted);
  std::vector<int> maker(wanted.size(), -1), waits(n, 0);
  for (size_t i = 0; i < n; ++i)
    for (int r : works[i].results)
      if (r >= 0) maker[size_t(r)] = int(i);
  std::vector<std::vector<int>> next(n);
  const auto edge = [&](int from, int to) {
    next[size_t(from)].push_back(to);
    ++waits[size_t(to)];
  };
  for (size_t i = 0; i < n; ++i)
    for (int o : works[i].operands)
      if (o >= 0 && maker[size_t(o)] >= 0) edge(maker[size_t(o)], int(i));
  for (const auto& [from, to] : before) edge(from, to);
  // Of works that want the same place, updates first: what they read need not be kept any longer.
  std::vector<bool> read(wanted);
  for (const Work& w : works)
    for (int o : w.operands)
      if (o >= 0) read[size_t(o)] = true;
  const auto turn = [&](int i) {
    const bool last = std::ranges::all_of(works[size_t(i)].results,
                                          [&](int r) { return r < 0 || !read[size_t(r)]; });
    return Turn(place[size_t(i)], last ? 0 : 1, i);
  };
  std::priority_queue<Turn, std::vector<Turn>, std::greater<>> ready;
  for (size_t i = 0; i < n; ++i)
    if (waits[i] == 0) ready.push(turn(int(i)));
  std::vector<int> order;
  while (!ready.empty()) {
    const int i = std::get<2>(ready.top());
    ready.pop();
    order.push_back(i);
    for (int j : next[size_t(i)])
      if (--waits[size_t(j)] == 0) ready.push(turn(j));
  }
  if (order.size() != n) order.clear();
  return order;
}

}  // namespace espalier
