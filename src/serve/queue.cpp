#include "serve/queue.h"

#include <algorithm>

namespace espalier::serve {
namespace {

Duration duration_of(double seconds) {
  return std::chrono::round<Duration>(std::chrono::duration<double>(seconds));
}

/// Moves an estimate towards a sample: quick to believe that work is fast again, slower to believe
/// that it is slow, for one hiccup must not turn everybody away.
void follow(double& estimate, double sample) {
  const double weight = estimate == 0 ? 1 : sample < estimate ? 0.5 : 0.25;
  estimate += weight * (sample - estimate);
}

}  // namespace

std::optional<Refusal> BatchQueue::admit(Time now, Time deadline) {
  const Duration wait = expected_wait();
  if (closed_) return Refusal{"the server is shutting down", std::chrono::seconds(1)};
  if (deadline <= now) return Refusal{"the time for this request is over already", {}};
  if (waiting() >= options_.most_waiting)
    return Refusal{std::to_string(waiting()) + " requests are waiting", wait};
  if (wait > options_.longest_wait)
    return Refusal{"the wait would be " +
                       std::to_string(std::chrono::ceil<std::chrono::milliseconds>(wait).count()) +
                       " ms",
                   wait - options_.longest_wait};
  if (wait > deadline - now)
    return Refusal{"the wait would be longer than the request's time allows", wait};
  ++places_;
  return std::nullopt;
}

void BatchQueue::add(WorkPtr work, Time now, Duration decoding) {
  --places_;
  follow(decode_seconds_, seconds(decoding));
  work->entered = now;
  waiting_rows_ += work->rows;
  queue_.push_back(std::move(work));
}

BatchQueue::Dropped BatchQueue::sweep(Time now) {
  Dropped dropped;
  for (WorkPtr& work : queue_) {
    std::vector<WorkPtr>* to = work->deadline <= now ? &dropped.expired
                               : work->gone()        ? &dropped.gone
                                                     : nullptr;
    if (!to) continue;
    waiting_rows_ -= work->rows;
    to->push_back(std::move(work));
  }
  std::erase(queue_, nullptr);
  return dropped;
}

/// The oldest work of a kind and those behind it that fit into one batch.
struct BatchQueue::Group {
  std::vector<size_t> members;
  int64_t rows = 0;
  bool full = false;
  Time start = Time::max();  ///< when it runs, full or not
};

BatchQueue::Group BatchQueue::group_from(size_t first) const {
  const Work& head = *queue_[first];
  Group group;
  Time earliest = Time::max();
  for (size_t i = first; i < queue_.size() && !group.full; ++i) {
    const Work& work = *queue_[i];
    if (i != first && (!head.stacks || !work.stacks || work.kind != head.kind)) continue;
    if (i != first && group.rows + work.rows > options_.max_rows) {
      group.full = true;
      break;
    }
    group.members.push_back(i);
    group.rows += work.rows;
    earliest = std::min(earliest, work.deadline);
    group.full = group.rows >= options_.max_rows;
  }
  group.full = group.full || !head.stacks || hurried_;
  // The delay must not eat the time that computing needs.
  group.start = std::min(head.entered + options_.max_delay,
                         earliest == Time::max() ? earliest : earliest - cost_of(group.rows));
  return group;
}

BatchQueue::Next BatchQueue::next(Time now) {
  Next next;
  std::vector<const void*> seen;
  for (size_t i = 0; i < queue_.size(); ++i) {
    const Work& head = *queue_[i];
    if (head.stacks) {
      if (std::ranges::find(seen, head.kind) != seen.end()) continue;
      seen.push_back(head.kind);
    }
    const Group group = group_from(i);
    if (!group.full && group.start > now) {
      next.wake = std::min(next.wake, group.start);
      continue;
    }
    for (size_t member : group.members) {
      queue_[member]->started = now;
      next.batch.push_back(std::move(queue_[member]));
    }
    std::erase(queue_, nullptr);
    waiting_rows_ -= group.rows;
    running_rows_ += group.rows;
    ++running_;
    return next;
  }
  return next;
}

void BatchQueue::finished(int64_t rows, Duration compute) {
  running_rows_ -= rows;
  --running_;
  follow(row_seconds_, seconds(compute) / double(std::max<int64_t>(1, rows)));
}

Duration BatchQueue::cost_of(int64_t rows) const {
  return duration_of(row_seconds_ * double(rows));
}

Duration BatchQueue::expected_wait() const {
  const Duration decoding = duration_of(decode_seconds_ * double(places_) / options_.decoders);
  if (running_ < options_.instances && waiting() == 0) return decoding;
  return decoding + cost_of(places_ + waiting_rows_ + running_rows_) / options_.instances;
}

}  // namespace espalier::serve
