// Work done ahead of need on one background thread, in order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace espalier {

/// Calls produce(item) for item = first, first + 1, … count - 1 on a background thread, at most
/// `ahead` items before the last one taken. What `produce` makes it stores itself, in a ring of
/// `ahead + 1` slots, say. Loops of base/threads.h inside `produce` run inline: the pool of threads
/// stays with the caller.
class Prefetch {
 public:
  Prefetch(int64_t first, int64_t count, int64_t ahead, std::function<void(int64_t)> produce);
  /// Waits for the item being produced; later items are dropped.
  ~Prefetch();

  /// Waits until `item` is produced. Rethrows what `produce` threw for it. Items are taken in
  /// order, each once; taking one allows a further one to be produced, but the slot of the item
  /// just taken is not reused before the next take.
  void take(int64_t item);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace espalier
