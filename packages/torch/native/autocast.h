// What autocast of the CPU computes in: every version of libtorch has its own function for it.
#pragma once

#include <ATen/autocast_mode.h>
#include <torch/version.h>

inline at::ScalarType autocastDtype() {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
  return at::autocast::get_autocast_dtype(c10::DeviceType::CPU);
#else
  return at::autocast::get_autocast_cpu_dtype();
#endif
}
