// What the sections of the bridge share: the state of an environment, its tensors and generators, and errors.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <napi.h>

#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "errors.h"
#include "generated/protocol.h"

namespace bridge {

struct Operator {
  c10::OperatorHandle handle;
  const c10::FunctionSchema* schema;
  // Results that alias a written argument are that argument's own JavaScript object: nothing to return.
  bool returnsArgument;
};

// References to typed arrays may only be dropped on the JavaScript thread, while libtorch may free the tensor
// that borrows them on another: the deleter only queues them here.
struct ReleaseQueue {
  std::mutex mutex;
  std::vector<napi_ref> refs;
};

// One seed, and its numbers on the CPU and, once they are asked for, on a GPU.
struct Generators {
  at::Generator cpu;
  at::Generator cuda;
};

struct State {
  napi_env env = nullptr;
  double* command = nullptr;
  size_t commandLength = 0;
  Napi::Reference<Napi::Float64Array> commandReference;
  std::vector<at::Tensor> tensors{at::Tensor()};  // handle 0 is "no tensor"
  std::vector<uint32_t> freeHandles;
  size_t live = 0;
  std::unordered_map<uint32_t, int64_t> reportedBytes;
  std::vector<Generators> generators;
  std::vector<uint32_t> freeGenerators;
  // Of the call under way: places in the stack, and the generators that are meant for them.
  std::vector<std::pair<size_t, double>> givenGenerators;
  std::vector<Operator> operators;
  std::vector<std::unique_ptr<c10::InferenceMode>> inferenceGuards;
  std::shared_ptr<ReleaseQueue> releases = std::make_shared<ReleaseQueue>();
  c10::Stack stack;
  std::string error;
};

// One state an environment (the main thread or a worker), and an environment stays on its thread.
inline thread_local State* state = nullptr;

inline uint32_t store(at::Tensor tensor) {
  if (!tensor.defined()) return 0;
  State& s = *state;
  s.live++;
  if (!s.freeHandles.empty()) {
    const uint32_t handle = s.freeHandles.back();
    s.freeHandles.pop_back();
    s.tensors[handle] = std::move(tensor);
    return handle;
  }
  s.tensors.push_back(std::move(tensor));
  return static_cast<uint32_t>(s.tensors.size() - 1);
}

inline const at::Tensor& tensorAt(double handle) {
  State& s = *state;
  const auto index = static_cast<size_t>(handle);
  if (!(handle > 0) || index >= s.tensors.size() || !s.tensors[index].defined()) {
    throw std::runtime_error("no such tensor: it was disposed");
  }
  return s.tensors[index];
}

inline void drop(uint32_t handle) {
  State& s = *state;
  if (handle == 0 || handle >= s.tensors.size() || !s.tensors[handle].defined()) return;
  if (!s.reportedBytes.empty()) {
    auto reported = s.reportedBytes.find(handle);
    if (reported != s.reportedBytes.end()) {
      int64_t total;
      napi_adjust_external_memory(s.env, -reported->second, &total);
      s.reportedBytes.erase(reported);
    }
  }
  s.tensors[handle] = at::Tensor();
  s.freeHandles.push_back(handle);
  s.live--;
}

inline void drainReleases() {
  State& s = *state;
  std::vector<napi_ref> refs;
  {
    std::lock_guard<std::mutex> lock(s.releases->mutex);
    refs.swap(s.releases->refs);
  }
  for (napi_ref ref : refs) napi_delete_reference(s.env, ref);
}

template <typename F>
auto guarded(Napi::Env env, F&& f) -> decltype(f()) {
  return throwingToJavaScript(env, [&] {
    drainReleases();
    return f();
  });
}

inline double handleOf(const Napi::Value& value) { return value.As<Napi::Number>().DoubleValue(); }

inline std::vector<at::Tensor> tensorsOf(const Napi::Value& value) {
  std::vector<at::Tensor> tensors;
  const auto list = value.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) {
    const double handle = handleOf(list.Get(i));
    tensors.push_back(handle == 0 ? at::Tensor() : tensorAt(handle));
  }
  return tensors;
}

/** The generator of that index whose numbers a tensor of the device is filled with. */
const at::Generator& generatorFor(double index, c10::Device device);

/** Whether there is a GPU that operators can run on. */
inline bool hasGpu() { return c10::impl::hasDeviceGuardImpl(c10::DeviceType::CUDA) && at::getNumGPUs() > 0; }

}  // namespace bridge
