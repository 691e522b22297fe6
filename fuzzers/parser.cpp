#include "fuzzers/parser.h"

#include <sanitizer/allocator_interface.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace espalier::fuzz {
namespace {

std::atomic<int64_t> held{0};
std::atomic<int64_t> allowed{0};  ///< 0: nothing is watched

// Both are called from inside the allocator and must not allocate.
void on_malloc(const volatile void* pointer, size_t size) {
  const int64_t limit = allowed.load(std::memory_order_relaxed);
  if (limit == 0) return;
  if (held.fetch_add(int64_t(size), std::memory_order_relaxed) + int64_t(size) <= limit) return;
  allowed = 0;
  std::fprintf(stderr, "fuzz: more than %lld bytes are held at once\n",
               static_cast<long long>(limit));
  std::abort();
}

void on_free(const volatile void* pointer) {
  if (allowed.load(std::memory_order_relaxed) == 0 || pointer == nullptr) return;
  held.fetch_sub(int64_t(__sanitizer_get_allocated_size(const_cast<const void*>(pointer))),
                 std::memory_order_relaxed);
}

}  // namespace

MemoryLimit::MemoryLimit(size_t input_bytes) {
  static const int installed = __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
  if (installed == 0) std::abort();
  held = 0;
  allowed = 4 * int64_t(input_bytes) + (int64_t{64} << 20);
}

MemoryLimit::~MemoryLimit() { allowed = 0; }

}  // namespace espalier::fuzz
