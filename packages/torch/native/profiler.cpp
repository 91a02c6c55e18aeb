// Times every operator that libtorch runs, forward and backward, through its own observer (at::RecordFunction).
//
// profilerStart(shapes) ... profilerStop() -> { names: string[], shapes: string[], events: Float64Array }, where an
// event is seven numbers: name, shape (index or -1), thread, start (ns), duration (ns), sequence number (-1: none;
// a backward operator has the number of the forward operator it belongs to), backward (0 or 1).
// Between the two, profilerPush(name) and profilerPop() mark ranges of the caller's own, such as modules.

#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>
#include <napi.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "generated/protocol.h"

namespace {

constexpr int kFields = 7;

struct Recording {
  std::mutex mutex;
  std::vector<double> events;
  std::vector<std::string> names;
  std::vector<std::string> shapes;
  std::unordered_map<std::string, size_t> nameIndex;
  std::unordered_map<std::string, size_t> shapeIndex;
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
  bool withShapes = false;
};

// Operators of other threads may still be running when a recording stops, so they hold on to it, and this pointer is
// read and written atomically.
std::shared_ptr<Recording> recording;
at::CallbackHandle callback = 0;

struct Range : public at::ObserverContext {
  std::shared_ptr<Recording> owner;
  double start = 0;
  std::string shapes;
};

double now(const Recording& r) {
  return static_cast<double>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - r.began).count());
}

size_t intern(std::vector<std::string>& list, std::unordered_map<std::string, size_t>& index, std::string text) {
  const auto found = index.find(text);
  if (found != index.end()) return found->second;
  list.push_back(text);
  index.emplace(std::move(text), list.size() - 1);
  return list.size() - 1;
}

std::string shapesOf(const at::RecordFunction& function) {
  std::string text;
  for (const c10::IValue& input : function.inputs()) {
    if (!input.isTensor()) continue;
    const at::Tensor& tensor = input.toTensor();
    if (!tensor.defined()) continue;
    if (!text.empty()) text += ' ';
    for (int64_t d = 0; d < tensor.dim(); d++) {
      if (d > 0) text += 'x';
      text += std::to_string(tensor.size(d));
    }
    if (tensor.dim() == 0) text += "scalar";
  }
  return text;
}

std::unique_ptr<at::ObserverContext> onStart(const at::RecordFunction& function) {
  auto range = std::make_unique<Range>();
  range->owner = std::atomic_load(&recording);
  if (!range->owner) return range;
  if (range->owner->withShapes) range->shapes = shapesOf(function);
  range->start = now(*range->owner);
  return range;
}

void onEnd(const at::RecordFunction& function, at::ObserverContext* context) {
  auto* range = static_cast<Range*>(context);
  if (range == nullptr || !range->owner) return;
  Recording& r = *range->owner;
  const double end = now(r);
  const std::lock_guard<std::mutex> lock(r.mutex);
  const double shape =
      range->shapes.empty() ? -1 : static_cast<double>(intern(r.shapes, r.shapeIndex, range->shapes));
  r.events.insert(r.events.end(),
                  {static_cast<double>(intern(r.names, r.nameIndex, function.name())), shape,
                   static_cast<double>(function.threadId()), range->start, end - range->start,
                   static_cast<double>(function.seqNr()),
                   function.scope() == at::RecordScope::BACKWARD_FUNCTION ? 1.0 : 0.0});
}

// Ranges of the caller, which nest and are closed in order.
thread_local std::vector<std::unique_ptr<at::RecordFunction>> ranges;

}  // namespace

namespace bridge {

Napi::Value profilerStart(const Napi::CallbackInfo& info) {
  if (recording) throw Napi::Error::New(info.Env(), "a profile is being taken already");
  auto fresh = std::make_shared<Recording>();
  fresh->withShapes = info[0].ToBoolean();
  std::atomic_store(&recording, fresh);
  callback = at::addGlobalCallback(at::RecordFunctionCallback(onStart, onEnd)
                                       .needsInputs(fresh->withShapes)
                                       .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION,
                                                at::RecordScope::USER_SCOPE}));
  return info.Env().Undefined();
}

Napi::Value profilerStop(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!recording) throw Napi::Error::New(env, "no profile is being taken");
  at::removeCallback(callback);
  const auto taken = std::atomic_exchange(&recording, std::shared_ptr<Recording>());
  ranges.clear();
  const std::lock_guard<std::mutex> lock(taken->mutex);
  const auto strings = [&env](const std::vector<std::string>& list) {
    auto array = Napi::Array::New(env, list.size());
    for (size_t i = 0; i < list.size(); i++) array.Set(static_cast<uint32_t>(i), list[i]);
    return array;
  };
  auto events = Napi::Float64Array::New(env, taken->events.size());
  std::copy(taken->events.begin(), taken->events.end(), events.Data());
  auto result = Napi::Object::New(env);
  result.Set("names", strings(taken->names));
  result.Set("shapes", strings(taken->shapes));
  result.Set("fields", kFields);
  result.Set("events", events);
  return result;
}

Napi::Value profilerPush(const Napi::CallbackInfo& info) {
  if (recording) {
    auto range = std::make_unique<at::RecordFunction>(at::RecordScope::USER_SCOPE);
    if (range->isActive()) range->before(info[0].As<Napi::String>().Utf8Value());
    ranges.push_back(std::move(range));
  }
  return info.Env().Undefined();
}

Napi::Value profilerPop(const Napi::CallbackInfo& info) {
  if (!ranges.empty()) ranges.pop_back();
  return info.Env().Undefined();
}

}  // namespace bridge
