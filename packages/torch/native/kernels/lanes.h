// Eight floats at a time, from memory of float32 or bfloat16.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <cstring>

// Eight on every machine, whatever its registers hold: the compiler splits or joins them, and the order of a
// sum stays the same.
constexpr int64_t kLanes = 8;
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"  // no function that takes or returns Lanes leaves its file
#endif
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));

inline __attribute__((always_inline)) Lanes load(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

inline __attribute__((always_inline)) void store(float* to, const Lanes& lanes) {
  std::memcpy(to, &lanes, sizeof lanes);
}

// bfloat16 is the upper half of a float32.
typedef uint16_t Halves __attribute__((vector_size(kLanes * sizeof(uint16_t))));
typedef uint32_t Words __attribute__((vector_size(kLanes * sizeof(uint32_t))));

inline __attribute__((always_inline)) Lanes load(const at::BFloat16* from) {
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  const Words words = __builtin_convertvector(halves, Words) << 16;
  Lanes lanes;
  std::memcpy(&lanes, &words, sizeof lanes);
  return lanes;
}

// To the nearest, and to the even one of two, as libtorch rounds.
inline __attribute__((always_inline)) void store(at::BFloat16* to, const Lanes& lanes) {
  constexpr uint32_t kNaN = 0x7fc0;
  Words words;
  std::memcpy(&words, &lanes, sizeof words);
  const Words nearest = (words + 0x7fff + ((words >> 16) & 1)) >> 16;
  const Words rounded = lanes == lanes ? nearest : Words{} + kNaN;
  const Halves halves = __builtin_convertvector(rounded, Halves);
  std::memcpy(to, &halves, sizeof halves);
}

inline double sum_of(const Lanes& lanes) {
  const auto pair = [&](int i) { return static_cast<double>(lanes[i]) + lanes[i + 1]; };
  return (pair(0) + pair(2)) + (pair(4) + pair(6));
}
