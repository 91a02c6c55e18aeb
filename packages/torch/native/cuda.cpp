// A GPU's memory, streams and graphs. With a libtorch without CUDA, or a build without its headers, only cudaFeatures,
// cudaMath and the operators below are there: operators still run wherever libtorch has them.
//
//   pgpc::to_device_ahead                     copies to the GPU, on a stream of its own, while the GPU works
//   pgpc::await_ahead                         from here on the work may use what to_device_ahead gave
//
// All work of a thread goes to one stream from the pool: the default stream cannot be recorded into a graph, and work
// that is recorded and work that is not follow each other without a wait.

#include "cuda.h"
#include "errors.h"
#include "generated/protocol.h"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/library.h>
#include <torch/version.h>

#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <unordered_map>
#include <utility>
#include <vector>

#ifdef PGPC_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace {

using at::Tensor;
using at::TensorList;

template <typename F>
Napi::Value answer(const Napi::CallbackInfo& info, F&& f) {
  return throwingToJavaScript(info.Env(), [&] { return f(info.Env()); });
}

// ---- copies ahead of their use, in terms that every device has ----

struct Ahead {
  c10::Event copied;
  // The page-locked source, which the copy reads until it is done.
  std::vector<Tensor> host;
};

/** Copies under way, by the memory of the first tensor that was made. */
std::unordered_map<const void*, Ahead>& underWay() {
  static auto* copies = new std::unordered_map<const void*, Ahead>();
  return *copies;
}

std::mutex underWayMutex;

std::vector<Tensor> to_device_ahead(TensorList tensors, at::Device device) {
  if (device.is_cpu() || tensors.empty()) return tensors.vec();
  at::NoGradGuard no_grad;
  enterCuda();
  const c10::impl::VirtualGuardImpl guard(device.type());
  const at::Device place = device.has_index() ? device : guard.getDevice();
  static thread_local std::optional<c10::Stream> copying;
  if (!copying) copying = guard.getStreamFromGlobalPool(place);
  std::vector<Tensor> host, made;
  for (const Tensor& tensor : tensors) host.push_back(tensor.pin_memory());
  const c10::Stream working = guard.exchangeStream(*copying);
  try {
    for (const Tensor& tensor : host) made.push_back(tensor.to(place, /*non_blocking=*/true));
  } catch (...) {
    guard.exchangeStream(working);
    throw;
  }
  c10::Event copied(device.type());
  copied.record(*copying);
  guard.exchangeStream(working);
  const std::lock_guard<std::mutex> lock(underWayMutex);
  underWay().insert_or_assign(made[0].data_ptr(), Ahead{std::move(copied), std::move(host)});
  return made;
}

void await_ahead(TensorList tensors) {
  if (tensors.empty() || tensors[0].device().is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(tensors[0].device().type());
  const c10::Stream working = guard.getStream(tensors[0].device());
  {
    const std::lock_guard<std::mutex> lock(underWayMutex);
    const auto found = underWay().find(tensors[0].data_ptr());
    TORCH_CHECK(found != underWay().end(), "await_ahead takes what to_device_ahead gave, once");
    found->second.copied.block(working);
    underWay().erase(found);
  }
  // Their memory belongs to the stream of the copies: it may not take it back before this one is done with it.
  for (const Tensor& tensor : tensors) tensor.record_stream(working);
}

TORCH_LIBRARY_FRAGMENT(pgpc, m) {
  m.def("to_device_ahead(Tensor[] tensors, Device device) -> Tensor[]", to_device_ahead);
  m.def("await_ahead(Tensor[] tensors) -> ()", await_ahead);
}

#ifdef PGPC_CUDA

// ---- graphs ----

std::unordered_map<uint32_t, std::unique_ptr<at::cuda::CUDAGraph>>& graphs() {
  static auto* kept = new std::unordered_map<uint32_t, std::unique_ptr<at::cuda::CUDAGraph>>();
  return *kept;
}

uint32_t nextGraph = 1;

at::cuda::CUDAGraph& graphAt(const Napi::Value& value) {
  const auto found = graphs().find(value.As<Napi::Number>().Uint32Value());
  if (found == graphs().end()) throw std::runtime_error("no such graph: it was disposed");
  return *found->second;
}

void synchronize() { c10::cuda::device_synchronize(); }

#endif

}  // namespace

void enterCuda() {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 5)
  // cuDNN's backward pass gives NaN for query rows with small scores if the number of keys leaves 64 over when divided
  // by 128, as MiT's does on crops of 256 (pytorch/pytorch#196678): runs ended in it. Libtorch has other kernels.
  static std::once_flag once;
  std::call_once(once, [] { at::globalContext().setSDPUseCuDNN(false); });
#endif
#ifdef PGPC_CUDA
  static thread_local bool entered = false;
  if (entered) return;
  entered = true;
  c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool(/*isHighPriority=*/true));
#endif
}

namespace bridge {

#ifdef PGPC_CUDA

Napi::Value graphBegin(const Napi::CallbackInfo& info) {
  return answer(info, [&](Napi::Env env) -> Napi::Value {
    enterCuda();
    const bool shared = info[0].As<Napi::Number>().Uint32Value() != 0;
    const auto pool = shared ? graphAt(info[0]).pool() : at::cuda::graph_pool_handle();
    if (!shared) {
      // What the steps before kept for themselves would be there twice.
      synchronize();
      c10::cuda::CUDACachingAllocator::emptyCache();
    }
    auto graph = std::make_unique<at::cuda::CUDAGraph>();
    for (const at::Generator& generator : cudaGenerators()) graph->register_generator_state(generator);
    graph->capture_begin(pool);
    const uint32_t id = nextGraph++;
    graphs().emplace(id, std::move(graph));
    return Napi::Number::New(env, id);
  });
}

Napi::Value graphEnd(const Napi::CallbackInfo& info) {
  return answer(info, [&](Napi::Env env) -> Napi::Value {
    graphAt(info[0]).capture_end();
    return env.Undefined();
  });
}

/** After an error while recording: the recording is closed if it can be, and forgotten. */
Napi::Value graphAbandon(const Napi::CallbackInfo& info) {
  const uint32_t id = info[0].As<Napi::Number>().Uint32Value();
  const auto found = graphs().find(id);
  if (found == graphs().end()) return info.Env().Undefined();
  try {
    found->second->capture_end();
  } catch (const std::exception&) {
    // The error that made it invalid is the one to be told.
  }
  try {
    graphs().erase(found);
  } catch (const std::exception&) {
  }
  return info.Env().Undefined();
}

Napi::Value graphReplay(const Napi::CallbackInfo& info) {
  return answer(info, [&](Napi::Env env) -> Napi::Value {
    graphAt(info[0]).replay();
    return env.Undefined();
  });
}

Napi::Value graphFree(const Napi::CallbackInfo& info) {
  return answer(info, [&](Napi::Env env) -> Napi::Value {
    // It may still be running.
    synchronize();
    graphs().erase(info[0].As<Napi::Number>().Uint32Value());
    return env.Undefined();
  });
}

// ---- the GPU ----

Napi::Value cudaSynchronize(const Napi::CallbackInfo& info) {
  return answer(info, [&](Napi::Env env) -> Napi::Value {
    synchronize();
    return env.Undefined();
  });
}

Napi::Value cudaMemory(const Napi::CallbackInfo& info) {
  return answer(info, [&](Napi::Env env) -> Napi::Value {
    enterCuda();
    const auto device = c10::cuda::current_device();
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(device);
    const auto& allocated = stats.allocated_bytes[0];
    const auto& reserved = stats.reserved_bytes[0];
    size_t free = 0, total = 0;
    C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    const double values[] = {static_cast<double>(allocated.current), static_cast<double>(allocated.peak),
                             static_cast<double>(reserved.current),  static_cast<double>(reserved.peak),
                             static_cast<double>(free),              static_cast<double>(total)};
    auto result = Napi::Array::New(env, 6);
    for (uint32_t i = 0; i < 6; i++) result.Set(i, values[i]);
    return result;
  });
}

Napi::Value cudaUseDevice(const Napi::CallbackInfo& info) {
  return answer(info, [&](Napi::Env env) -> Napi::Value {
    c10::cuda::set_device(static_cast<c10::DeviceIndex>(info[0].As<Napi::Number>().Int32Value()));
    enterCuda();
    return env.Undefined();
  });
}

Napi::Value cudaName(const Napi::CallbackInfo& info) {
  return answer(info, [&](Napi::Env env) -> Napi::Value {
    cudaDeviceProp properties;
    C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, c10::cuda::current_device()));
    return Napi::String::New(env, properties.name);
  });
}

Napi::Value cudaResetPeak(const Napi::CallbackInfo& info) {
  return answer(info, [&](Napi::Env env) -> Napi::Value {
    c10::cuda::CUDACachingAllocator::resetPeakStats(c10::cuda::current_device());
    return env.Undefined();
  });
}

Napi::Value cudaEmptyCache(const Napi::CallbackInfo& info) {
  return answer(info, [&](Napi::Env env) -> Napi::Value {
    c10::cuda::CUDACachingAllocator::emptyCache();
    return env.Undefined();
  });
}

Napi::Value cudaForbidWaiting(const Napi::CallbackInfo& info) {
  const bool on = info[0].As<Napi::Boolean>().Value();
  c10::cuda::warning_state().set_sync_debug_mode(on ? c10::cuda::SyncDebugMode::L_ERROR
                                                    : c10::cuda::SyncDebugMode::L_DISABLED);
  return info.Env().Undefined();
}

#endif

Napi::Value cudaMath(const Napi::CallbackInfo& info) {
  return answer(info, [&](Napi::Env env) -> Napi::Value {
    const bool tf32 = info[0].As<Napi::Boolean>().Value();
    at::globalContext().setAllowTF32CuBLAS(tf32);
    at::globalContext().setAllowTF32CuDNN(tf32);
    at::globalContext().setBenchmarkCuDNN(info[1].As<Napi::Boolean>().Value());
    return env.Undefined();
  });
}

Napi::Value cudaFeatures(const Napi::CallbackInfo& info) {
#ifdef PGPC_CUDA
  return Napi::Boolean::New(info.Env(), true);
#else
  return Napi::Boolean::New(info.Env(), false);
#endif
}

}  // namespace bridge
