// The autograd engine and its modes, which the dispatcher does not reach.

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <memory>

#include "state.h"

namespace bridge {

Napi::Value requiresGrad(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Boolean::New(info.Env(), tensorAt(handleOf(info[0])).requires_grad());
  });
}

Napi::Value setRequiresGrad(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    tensorAt(handleOf(info[0])).requires_grad_(info[1].As<Napi::Boolean>().Value());
    return info.Env().Undefined();
  });
}

Napi::Value getGrad(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), store(tensorAt(handleOf(info[0])).grad()));
  });
}

Napi::Value setGrad(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const at::Tensor& tensor = tensorAt(handleOf(info[0]));
    const double handle = handleOf(info[1]);
    if (handle == 0) {
      tensor.mutable_grad() = at::Tensor();
      return info.Env().Undefined();
    }
    const at::Tensor& grad = tensorAt(handle);
    if (grad.is_same(tensor)) throw std::runtime_error("a tensor cannot be its own gradient");
    if (grad.sizes() != tensor.sizes() || grad.scalar_type() != tensor.scalar_type() ||
        grad.device() != tensor.device()) {
      throw std::runtime_error("a gradient has the shape, dtype and device of its tensor");
    }
    tensor.mutable_grad() = grad;
    return info.Env().Undefined();
  });
}

// (tensors, gradients (0 where none), retainGraph, createGraph).
Napi::Value backward(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    torch::autograd::backward(tensorsOf(info[0]), tensorsOf(info[1]), info[2].As<Napi::Boolean>().Value(),
                              info[3].As<Napi::Boolean>().Value());
    return info.Env().Undefined();
  });
}

// (outputs, inputs, gradients, retainGraph, createGraph, allowUnused): a handle for each input, 0 where unused.
Napi::Value grad(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto grads =
        torch::autograd::grad(tensorsOf(info[0]), tensorsOf(info[1]), tensorsOf(info[2]), info[3].As<Napi::Boolean>().Value(),
                              info[4].As<Napi::Boolean>().Value(), info[5].As<Napi::Boolean>().Value());
    auto result = Napi::Array::New(info.Env(), grads.size());
    for (size_t i = 0; i < grads.size(); i++) result.Set(static_cast<uint32_t>(i), static_cast<double>(store(grads[i])));
    return result;
  });
}

// (enabled): the mode before.
Napi::Value setGradMode(const Napi::CallbackInfo& info) {
  const bool before = c10::GradMode::is_enabled();
  c10::GradMode::set_enabled(info[0].As<Napi::Boolean>().Value());
  return Napi::Boolean::New(info.Env(), before);
}

Napi::Value enterInferenceMode(const Napi::CallbackInfo& info) {
  state->inferenceGuards.push_back(std::make_unique<c10::InferenceMode>(true));
  return info.Env().Undefined();
}

Napi::Value leaveInferenceMode(const Napi::CallbackInfo& info) {
  if (!state->inferenceGuards.empty()) state->inferenceGuards.pop_back();
  return info.Env().Undefined();
}

}  // namespace bridge
