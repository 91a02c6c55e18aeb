// Puts each small block of posix_memalign, from which libtorch takes the memory of tensors, against a page that may not be
// touched: behind it and before it by turns. What is freed may not be touched either. An operator that reads or writes past
// its tensors then dies at once, and every time; without this it mostly finds other memory of the process there.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

enum { kPage = 4096, kPages = 5, kSlot = kPage * kPages, kUsable = kSlot - kPage, kSlots = 16384, kAlign = 16 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char* arena;
static uint32_t queue[kSlots];
static uint32_t first, waiting;
static uint32_t turn;

static int (*real_posix_memalign)(void**, size_t, size_t);
static void (*real_free)(void*);

__attribute__((constructor)) static void start(void) {
  real_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
  real_free = dlsym(RTLD_NEXT, "free");
  void* made = mmap(NULL, (size_t)kSlot * kSlots + kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (made == MAP_FAILED) return;
  for (uint32_t i = 0; i < kSlots; i++) queue[i] = i;
  waiting = kSlots;
  arena = made;
}

int posix_memalign(void** out, size_t align, size_t size) {
  if (arena == NULL || size == 0 || size > kUsable || align > 64) return real_posix_memalign(out, align, size);
  pthread_mutex_lock(&mutex);
  const int taken = waiting > 0;
  const uint32_t slot = queue[first];
  const int atEnd = turn++ % 4 != 0;
  if (taken) {
    first = (first + 1) % kSlots;
    waiting--;
  }
  pthread_mutex_unlock(&mutex);
  if (!taken) return real_posix_memalign(out, align, size);
  // The arena begins with a page that nobody may touch, and each slot ends with one.
  char* base = arena + kPage + (size_t)slot * kSlot;
  if (mprotect(base, kUsable, PROT_READ | PROT_WRITE) != 0) return ENOMEM;
  *out = atEnd ? (void*)((uintptr_t)(base + kUsable - size) & ~(uintptr_t)(kAlign - 1)) : base;
  return 0;
}

void free(void* block) {
  char* const at = block;
  if (arena == NULL || at < arena || at >= arena + kPage + (size_t)kSlot * kSlots) {
    if (real_free == NULL) real_free = dlsym(RTLD_NEXT, "free");
    real_free(block);
    return;
  }
  const uint32_t slot = (uint32_t)((at - arena - kPage) / kSlot);
  mprotect(arena + kPage + (size_t)slot * kSlot, kUsable, PROT_NONE);
  pthread_mutex_lock(&mutex);
  queue[(first + waiting) % kSlots] = slot;
  waiting++;
  pthread_mutex_unlock(&mutex);
}
