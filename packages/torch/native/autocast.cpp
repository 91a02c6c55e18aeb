// Automatic mixed precision.

#include <torch/version.h>

#include <algorithm>

#include "autocast.h"
#include "state.h"

namespace bridge {

namespace {

// For both kinds of devices at once: a function of the mode does not ask where its tensors are.
constexpr c10::DeviceType kCastDevices[] = {c10::DeviceType::CPU, c10::DeviceType::CUDA};

bool autocastOn(c10::DeviceType device) {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
  return at::autocast::is_autocast_enabled(device);
#else
  return device == c10::DeviceType::CPU ? at::autocast::is_cpu_enabled() : at::autocast::is_enabled();
#endif
}

void setAutocastOn(c10::DeviceType device, bool on, at::ScalarType dtype) {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
  at::autocast::set_autocast_enabled(device, on);
  if (on) at::autocast::set_autocast_dtype(device, dtype);
#else
  if (device == c10::DeviceType::CPU) {
    at::autocast::set_cpu_enabled(on);
    if (on) at::autocast::set_autocast_cpu_dtype(dtype);
  } else {
    at::autocast::set_enabled(on);
    if (on) at::autocast::set_autocast_gpu_dtype(dtype);
  }
#endif
}

}  // namespace

// (dtype, or -1 for off): what it was before. Leaving it frees the weights that were cast.
Napi::Value setAutocast(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int before = autocastOn(c10::DeviceType::CPU) ? static_cast<int>(autocastDtype()) : -1;
    const int wanted = info[0].As<Napi::Number>().Int32Value();
    for (const auto device : kCastDevices) {
      setAutocastOn(device, wanted >= 0, static_cast<at::ScalarType>(std::max(wanted, 0)));
    }
    if (before >= 0 && wanted != before) at::autocast::clear_cache();
    return Napi::Number::New(info.Env(), before);
  });
}

// (): the dtype, or -1.
Napi::Value autocastState(const Napi::CallbackInfo& info) {
  const int dtype = autocastOn(c10::DeviceType::CPU) ? static_cast<int>(autocastDtype()) : -1;
  return Napi::Number::New(info.Env(), dtype);
}

}  // namespace bridge
