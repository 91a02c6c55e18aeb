// Tensors in the table, and their memory as JavaScript sees it.

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <unordered_set>
#include <vector>

#include "state.h"

namespace bridge {

// (handle): [dtype, ...shape] as numbers; dtype is c10::ScalarType's value.
Napi::Value describe(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const at::Tensor& tensor = tensorAt(handleOf(info[0]));
    auto result = Napi::Array::New(info.Env(), tensor.dim() + 1);
    result.Set(0u, static_cast<double>(tensor.scalar_type()));
    for (int64_t i = 0; i < tensor.dim(); i++) {
      result.Set(static_cast<uint32_t>(i + 1), static_cast<double>(tensor.size(i)));
    }
    return result;
  });
}

Napi::Value deviceOf(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(), tensorAt(handleOf(info[0])).device().str());
  });
}

Napi::Value dispose(const Napi::CallbackInfo& info) {
  drop(info[0].As<Napi::Number>().Uint32Value());
  return info.Env().Undefined();
}

// Disposes command[1] .. command[command[0]]: what a tidy scope leaves behind, in one call.
napi_value disposeMany(napi_env, napi_callback_info) {
  const auto n = std::min(static_cast<size_t>(state->command[0]), state->commandLength - 1);
  for (size_t i = 1; i <= n; i++) drop(static_cast<uint32_t>(state->command[i]));
  return nullptr;
}

// (handle): tells V8 how much memory hangs on a tensor that only its garbage collector will free. Called from a
// microtask, where nobody could catch an error.
Napi::Value reportMemory(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto handle = info[0].As<Napi::Number>().Uint32Value();
    if (handle >= state->tensors.size() || state->reportedBytes.count(handle)) return info.Env().Undefined();
    const at::Tensor& tensor = state->tensors[handle];
    if (!tensor.defined() || !tensor.has_storage()) return info.Env().Undefined();
    const auto bytes = static_cast<int64_t>(tensor.storage().nbytes() / std::max<size_t>(1, tensor.storage().use_count()));
    int64_t total;
    napi_adjust_external_memory(info.Env(), bytes, &total);
    state->reportedBytes[handle] = bytes;
    return info.Env().Undefined();
  });
}

// (): [live tensors, bytes of their distinct storages].
Napi::Value memory(const Napi::CallbackInfo& info) {
  std::unordered_set<const void*> seen;
  double bytes = 0;
  for (const auto& tensor : state->tensors) {
    if (!tensor.defined() || !tensor.has_storage()) continue;
    if (seen.insert(tensor.storage().unsafeGetStorageImpl()).second) bytes += tensor.storage().nbytes();
  }
  auto result = Napi::Array::New(info.Env(), 2);
  result.Set(0u, static_cast<double>(state->live));
  result.Set(1u, bytes);
  return result;
}

// (typedArray, dtype, shape): a tensor over the same memory; the array lives as long as the tensor does.
Napi::Value fromTypedArray(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    napi_typedarray_type type;
    size_t length;
    void* data;
    napi_value buffer;
    size_t offset;
    if (napi_get_typedarray_info(env, info[0], &type, &length, &data, &buffer, &offset) != napi_ok) {
      throw std::runtime_error("not a typed array");
    }
    const auto dtype = static_cast<at::ScalarType>(info[1].As<Napi::Number>().Int32Value());
    std::vector<int64_t> shape;
    const auto sizes = info[2].As<Napi::Array>();
    size_t elements = 1;
    for (uint32_t i = 0; i < sizes.Length(); i++) {
      shape.push_back(sizes.Get(i).As<Napi::Number>().Int64Value());
      elements *= static_cast<size_t>(shape.back());
    }
    const size_t bytes = info[0].As<Napi::TypedArray>().ByteLength();
    if (elements * c10::elementSize(dtype) != bytes) throw std::runtime_error("the shape does not fit the array");
    if (elements == 0) return Napi::Number::New(env, store(at::empty(shape, at::TensorOptions().dtype(dtype))));
    napi_ref reference;
    if (napi_create_reference(env, info[0], 1, &reference) != napi_ok) {
      throw std::runtime_error("the array's memory cannot be held");
    }
    auto releases = state->releases;
    auto release = [releases, reference](void*) {
      std::lock_guard<std::mutex> lock(releases->mutex);
      releases->refs.push_back(reference);
    };
    auto tensor = at::from_blob(data, shape, release, at::TensorOptions().dtype(dtype));
    return Napi::Number::New(env, store(tensor));
  });
}

// (handle): an ArrayBuffer over the tensor's own memory (it must be a contiguous CPU tensor), which keeps it alive.
Napi::Value arrayBuffer(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const at::Tensor& tensor = tensorAt(handleOf(info[0]));
    // Zero tensors and negative views have no elements of their own in memory.
    if (tensor.layout() != at::kStrided || !tensor.device().is_cpu() || !tensor.is_contiguous() || tensor.is_neg() ||
        tensor._is_zerotensor()) {
      throw std::runtime_error("only a contiguous tensor on the CPU can share its memory");
    }
    if (tensor.nbytes() == 0) return Napi::ArrayBuffer::New(env, 0);
    auto holder = std::make_unique<at::Tensor>(tensor.detach());
    void* data = holder->data_ptr();
    const size_t bytes = holder->nbytes();
    return Napi::ArrayBuffer::New(
        env, data, bytes, [](Napi::Env, void*, at::Tensor* held) { delete held; }, holder.release());
  });
}

// (handle, typedArray): copies the elements, in C order, into an array of the same byte length.
Napi::Value copyTo(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const at::Tensor tensor = tensorAt(handleOf(info[0])).detach();
    if (tensor.layout() != at::kStrided) throw std::runtime_error("the tensor is not dense: call toDense() first");
    napi_typedarray_type type;
    size_t length, offset;
    void* data;
    napi_value buffer;
    if (napi_get_typedarray_info(env, info[1], &type, &length, &data, &buffer, &offset) != napi_ok) {
      throw std::runtime_error("not a typed array");
    }
    const auto bytes = static_cast<size_t>(tensor.numel()) * tensor.element_size();
    if (info[1].As<Napi::TypedArray>().ByteLength() != bytes) throw std::runtime_error("the array has another size");
    // copy_ knows every kind of tensor: strided, negated, on another device.
    if (bytes > 0) at::from_blob(data, tensor.sizes(), tensor.scalar_type()).copy_(tensor);
    return env.Undefined();
  });
}

Napi::Value isStrided(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const at::Tensor& tensor = tensorAt(handleOf(info[0]));
    return Napi::Boolean::New(info.Env(), tensor.layout() == at::kStrided && !tensor.is_quantized());
  });
}

Napi::Value isExpanded(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const at::Tensor& tensor = tensorAt(handleOf(info[0]));
    bool found = false;
    if (tensor.layout() == at::kStrided) {
      for (int64_t d = 0; d < tensor.dim(); d++) found |= tensor.size(d) > 1 && tensor.stride(d) == 0;
    }
    return Napi::Boolean::New(info.Env(), found);
  });
}

}  // namespace bridge
