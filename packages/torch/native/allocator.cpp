// The memory of CPU tensors: large blocks are kept when they are freed and handed out again, but hardly more than the
// process has at some time needed at once.
//
// Glibc gives every large block back to the system, and the next training step then faults its pages in again: a
// seventh of the step's time. Keeping all of them in glibc's heap instead leaves holes: a fifth more memory. Here a
// block that was freed serves the next request of about its size; and before fresh memory is taken, kept blocks are
// given back until blocks in use and kept stay together near the largest sum of blocks in use that there ever was. What
// is fresh all the same comes in huge pages where the system has them, which is a fraction of the faults.

#include "allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#if defined(__linux__)
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <unordered_map>

namespace {

// Below this size blocks are left to malloc, which is good at them.
constexpr size_t kLarge = size_t{1} << 20;
// Blocks are multiples of this.
constexpr size_t kUnit = size_t{1} << 16;
// A kept block serves a request of at least this share of its size. Measured on a training step at 256x256: with 0.875
// twice the page faults, with 0.5 as few and more memory.
constexpr double kFit = 0.75;
// How far blocks in use and kept may together exceed the most that was in use. At 1.05 a fifth of the page faults of
// glibc's default remain, and a tenth less memory is resident.
constexpr double kSlack = 1.05;
// Of Linux on x86-64, and on ARM with pages of 4 KiB.
constexpr size_t kHugePage = size_t{1} << 21;

class KeepingAllocator final : public c10::Allocator {
 public:
  // Versions of libtorch differ in which of these are virtual, so none says `override`.
  c10::DataPtr allocate(size_t bytes) { return make(bytes); }
  c10::DataPtr allocate(size_t bytes) const { return make(bytes); }
  void copy_data(void* to, const void* from, size_t bytes) const { std::memcpy(to, from, bytes); }

  c10::DeleterFnPtr raw_deleter() const { return release; }

 private:
  static c10::DataPtr make(size_t bytes) {
    void* data = bytes == 0 ? nullptr : bytes < kLarge ? c10::alloc_cpu(bytes) : take(bytes);
    return {data, data, release, c10::Device(c10::DeviceType::CPU)};
  }

  static void* take(size_t bytes);
  static void release(void* data);
};

struct Pool {
  std::mutex mutex;
  // In use, by address.
  std::unordered_map<void*, size_t> used;
  // Kept, by size.
  std::multimap<size_t, void*> kept;
  size_t usedBytes = 0;
  size_t keptBytes = 0;
  size_t most = 0;
};

// Never destroyed: tensors may be freed after static objects.
Pool& pool() {
  static Pool* made = new Pool();
  return *made;
}

/**
 * Fresh memory. Where it holds a huge page it begins at one, and the system is asked for them: it then faults in and clears
 * 2 MiB at a time instead of 4 KiB. The end is not rounded up, so that no more memory is resident.
 */
void* map(size_t size) {
  const size_t spare = size < kHugePage ? 0 : kHugePage;
  void* data = mmap(nullptr, size + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  if (spare == 0) return data;
  char* const begin = static_cast<char*>(data);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(data) % kHugePage) % kHugePage;
  if (before > 0) munmap(begin, before);
  if (spare > before) munmap(begin + before + size, spare - before);
  madvise(begin + before, size, MADV_HUGEPAGE);
  return begin + before;
}

/** Gives back kept blocks, the largest first, until no more than `limit` bytes are kept. */
void shrink(Pool& p, size_t limit) {
  while (p.keptBytes > limit) {
    const auto last = std::prev(p.kept.end());
    munmap(last->second, last->first);
    p.keptBytes -= last->first;
    p.kept.erase(last);
  }
}

void* KeepingAllocator::take(size_t bytes) {
  const size_t size = (bytes + kUnit - 1) / kUnit * kUnit;
  Pool& p = pool();
  const std::lock_guard<std::mutex> lock(p.mutex);
  const auto fitting = p.kept.lower_bound(size);
  if (fitting != p.kept.end() && static_cast<double>(size) >= kFit * static_cast<double>(fitting->first)) {
    const auto [found, data] = *fitting;
    p.kept.erase(fitting);
    p.keptBytes -= found;
    p.usedBytes += found;
    p.most = std::max(p.most, p.usedBytes);
    p.used.emplace(data, found);
    return data;
  }
  p.most = std::max(p.most, p.usedBytes + size);
  shrink(p, static_cast<size_t>(kSlack * static_cast<double>(p.most)) - p.usedBytes - size);
  void* data = map(size);
  if (data == nullptr) {
    shrink(p, 0);
    data = map(size);
  }
  TORCH_CHECK(data != nullptr, "not enough memory: you tried to allocate ", bytes, " bytes");
  p.usedBytes += size;
  p.used.emplace(data, size);
  return data;
}

void KeepingAllocator::release(void* data) {
  if (data == nullptr) return;
  Pool& p = pool();
  {
    const std::lock_guard<std::mutex> lock(p.mutex);
    const auto block = p.used.find(data);
    if (block != p.used.end()) {
      const size_t size = block->second;
      p.used.erase(block);
      p.usedBytes -= size;
      p.kept.emplace(size, data);
      p.keptBytes += size;
      return;
    }
  }
  c10::free_cpu(data);
}

}  // namespace

void keepFreedBlocks() {
  static KeepingAllocator allocator;
  c10::SetCPUAllocator(&allocator, /*priority=*/1);
}

#else

void keepFreedBlocks() {}

#endif
