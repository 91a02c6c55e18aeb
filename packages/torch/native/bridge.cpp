// The bridge between JavaScript and libtorch.
//
// One function reaches every ATen operator: `call`. Arguments and results travel through a buffer of
// doubles that both sides see (the command buffer), so that a call costs one bare Node-API transition and no
// conversion of JavaScript values. Tensors live in a table here; JavaScript holds their index (the handle).
// What the dispatcher does not reach (autograd engine, guards, generators, memory of typed arrays) is bound
// by hand below.
//
// Command buffer of a call: [operator, argument, argument, ...]; an argument is a tag and its payload.
// After it: [status, number of results, result, ...]; status 0 is success, 1 an error to be read by lastError,
// and 2 results for which the buffer is too small: [2, length needed], and they wait for takeResults.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>
#include <napi.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/version.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "allocator.h"
#include "autocast.h"
#include "cuda.h"
#include "distributed.h"
#include "errors.h"
#include "profiler.h"

namespace {

enum Tag {
  kNone = 0,
  kTensor = 1,
  kInt = 2,
  kDouble = 3,
  kBool = 4,
  kString = 5,
  kIntList = 6,
  kDoubleList = 7,
  kBoolList = 8,
  kTensorList = 9,
  kOptionalTensorList = 10,
  kScalarList = 11,
  kDevice = 12,
  kGenerator = 13,
  kDefault = 14,
};

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

// One seed, and the numbers that come of it on the CPU and, once they are asked for, on a card.
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
thread_local State* state = nullptr;

uint32_t store(at::Tensor tensor) {
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

const at::Tensor& tensorAt(double handle) {
  State& s = *state;
  const auto index = static_cast<size_t>(handle);
  if (!(handle > 0) || index >= s.tensors.size() || !s.tensors[index].defined()) {
    throw std::runtime_error("no such tensor: it was disposed");
  }
  return s.tensors[index];
}

void drop(uint32_t handle) {
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

void drainReleases() {
  State& s = *state;
  std::vector<napi_ref> refs;
  {
    std::lock_guard<std::mutex> lock(s.releases->mutex);
    refs.swap(s.releases->refs);
  }
  for (napi_ref ref : refs) napi_delete_reference(s.env, ref);
}

Generators& generatorsAt(double index) {
  Generators& generators = state->generators.at(static_cast<size_t>(index));
  if (!generators.cpu.defined()) throw std::runtime_error("no such generator: it was disposed");
  return generators;
}

// A generator of its own on a card, which starts from `seed`.
at::Generator cudaGenerator(c10::Device device, uint64_t seed) {
  at::Generator generator = at::globalContext().defaultGenerator(device).clone();
  generator.set_current_seed(seed);
  return generator;
}

// The one whose numbers a tensor of the device is filled with.
const at::Generator& generatorFor(double index, c10::Device device) {
  Generators& generators = generatorsAt(index);
  if (!device.is_cuda()) return generators.cpu;
  if (!generators.cuda.defined()) generators.cuda = cudaGenerator(device, generators.cpu.current_seed());
  return generators.cuda;
}

class Reader {
 public:
  Reader(const double* at, const double* end) : at_(at), end_(end) {}

  double next() {
    if (at_ >= end_) throw std::runtime_error("the command buffer ended inside an argument");
    return *at_++;
  }

  size_t count() {
    const double n = next();
    if (!(n >= 0) || n > static_cast<double>(end_ - at_)) {
      throw std::runtime_error("a list is longer than the command buffer");
    }
    return static_cast<size_t>(n);
  }

 private:
  const double* at_;
  const double* end_;
};

at::Scalar readScalar(Reader& reader) {
  const int tag = static_cast<int>(reader.next());
  const double value = reader.next();
  if (tag == kInt) return at::Scalar(static_cast<int64_t>(value));
  if (tag == kBool) return at::Scalar(value != 0);
  return at::Scalar(value);
}

// Where a tensor may be. Other devices have no use here, and some without their driver end the process when asked.
c10::Device deviceNamed(const std::string& name) {
  const c10::Device device(name);
  if (device.is_cpu() || device.is_meta()) return device;
  if (!device.is_cuda()) throw std::runtime_error("devices are 'cpu', 'cuda' and 'meta', not '" + name + "'");
  if (!c10::impl::hasDeviceGuardImpl(device.type())) {
    throw std::runtime_error("there is no device '" + name + "': this libtorch was built without CUDA");
  }
  const size_t count = at::getNumGPUs();
  if (count == 0) {
    throw std::runtime_error("there is no device '" + name + "': no NVIDIA card with a working driver was found");
  }
  if (device.has_index() && static_cast<size_t>(device.index()) >= count) {
    throw std::runtime_error("there is no device '" + name + "' among " + std::to_string(count) + " from cuda:0");
  }
  enterCuda();
  return device;
}

void pushArgument(Reader& reader, const c10::Argument& argument, const std::vector<std::string>& strings) {
  c10::Stack& stack = state->stack;
  const int tag = static_cast<int>(reader.next());
  switch (tag) {
    case kNone:
      // An undefined tensor is libtorch's "no tensor" where the schema has an optional one.
      stack.emplace_back();
      return;
    case kTensor:
      stack.emplace_back(tensorAt(reader.next()));
      return;
    case kInt:
      stack.emplace_back(static_cast<int64_t>(reader.next()));
      return;
    case kDouble:
      stack.emplace_back(reader.next());
      return;
    case kBool:
      stack.emplace_back(reader.next() != 0);
      return;
    case kString:
      stack.emplace_back(strings.at(static_cast<size_t>(reader.next())));
      return;
    case kDevice:
      stack.emplace_back(deviceNamed(strings.at(static_cast<size_t>(reader.next()))));
      return;
    case kGenerator:
      // Which of its two is meant is known when all arguments are: see chooseGenerators.
      state->givenGenerators.push_back({stack.size(), reader.next()});
      stack.emplace_back();
      return;
    case kIntList: {
      const size_t n = reader.count();
      c10::List<int64_t> list;
      list.reserve(n);
      for (size_t i = 0; i < n; i++) list.push_back(static_cast<int64_t>(reader.next()));
      stack.emplace_back(std::move(list));
      return;
    }
    case kDoubleList: {
      const size_t n = reader.count();
      c10::List<double> list;
      list.reserve(n);
      for (size_t i = 0; i < n; i++) list.push_back(reader.next());
      stack.emplace_back(std::move(list));
      return;
    }
    case kBoolList: {
      const size_t n = reader.count();
      c10::List<bool> list;
      list.reserve(n);
      for (size_t i = 0; i < n; i++) list.push_back(reader.next() != 0);
      stack.emplace_back(std::move(list));
      return;
    }
    case kTensorList: {
      const size_t n = reader.count();
      c10::List<at::Tensor> list;
      list.reserve(n);
      for (size_t i = 0; i < n; i++) list.push_back(tensorAt(reader.next()));
      stack.emplace_back(std::move(list));
      return;
    }
    case kOptionalTensorList: {
      const size_t n = reader.count();
      c10::List<c10::optional<at::Tensor>> list;
      list.reserve(n);
      for (size_t i = 0; i < n; i++) {
        const double handle = reader.next();
        if (handle == 0) {
          list.push_back(c10::optional<at::Tensor>());
        } else {
          list.push_back(c10::optional<at::Tensor>(tensorAt(handle)));
        }
      }
      stack.emplace_back(std::move(list));
      return;
    }
    case kScalarList: {
      const size_t n = reader.count();
      c10::List<c10::IValue> list(c10::NumberType::get());
      list.reserve(n);
      for (size_t i = 0; i < n; i++) list.push_back(c10::IValue(readScalar(reader)));
      stack.emplace_back(std::move(list));
      return;
    }
    case kDefault:
      if (!argument.default_value()) {
        throw std::runtime_error("argument " + argument.name() + " is required");
      }
      stack.emplace_back(*argument.default_value());
      return;
    default:
      throw std::runtime_error("unknown tag in the command buffer");
  }
}

// Puts in the generators of the call, each with the numbers of the device that the call is about: that of its first
// tensor, or the one that it names.
void chooseGenerators() {
  c10::Device device(c10::DeviceType::CPU);
  for (const auto& value : state->stack) {
    if (value.isTensor() && value.toTensor().defined()) {
      device = value.toTensor().device();
      break;
    }
    if (value.isDevice()) device = value.toDevice();
  }
  for (const auto& [place, index] : state->givenGenerators) {
    state->stack[place] = c10::IValue(generatorFor(index, device));
  }
}

// How much of the command buffer a result takes.
size_t lengthOf(const c10::IValue& value) {
  if (value.isTensorList()) return 2 + value.toTensorList().size();
  if (value.isIntList()) return 2 + value.toIntList().size();
  if (value.isDoubleList()) return 2 + value.toDoubleList().size();
  return 2;
}

// Writes results to the command buffer, which has room for them.
class Writer {
 public:
  void put(double value) { state->command[at_++] = value; }

  void result(c10::IValue& value) {
    if (value.isTensor()) {
      put(kTensor);
      put(store(std::move(value).toTensor()));
    } else if (value.isNone()) {
      put(kNone);
      put(0);
    } else if (value.isInt()) {
      put(kInt);
      put(static_cast<double>(value.toInt()));
    } else if (value.isDouble()) {
      put(kDouble);
      put(value.toDouble());
    } else if (value.isBool()) {
      put(kBool);
      put(value.toBool() ? 1 : 0);
    } else if (value.isTensorList()) {
      const auto list = value.toTensorList();
      put(kTensorList);
      put(static_cast<double>(list.size()));
      for (size_t i = 0; i < list.size(); i++) put(store(list.get(i)));
    } else if (value.isIntList()) {
      const auto list = value.toIntList();
      put(kIntList);
      put(static_cast<double>(list.size()));
      for (size_t i = 0; i < list.size(); i++) put(static_cast<double>(list.get(i)));
    } else if (value.isDoubleList()) {
      const auto list = value.toDoubleList();
      put(kDoubleList);
      put(static_cast<double>(list.size()));
      for (size_t i = 0; i < list.size(); i++) put(list.get(i));
    } else {
      throw std::runtime_error("a result of type " + value.tagKind() + " has no form in JavaScript");
    }
  }

 private:
  size_t at_ = 2;
};

void writeResults() {
  State& s = *state;
  size_t length = 2;
  for (const auto& value : s.stack) length += lengthOf(value);
  if (length > s.commandLength) {
    s.command[0] = 2;
    s.command[1] = static_cast<double>(length);
    return;
  }
  s.command[1] = static_cast<double>(s.stack.size());
  Writer writer;
  for (auto& value : s.stack) writer.result(value);
  s.stack.clear();
  s.command[0] = 0;
}

void fail(std::string message) {
  state->error = std::move(message);
  state->stack.clear();
  state->command[0] = 1;
}

// Runs what may throw and leaves an error where JavaScript finds it.
template <typename F>
void reporting(F&& f) {
  try {
    f();
  } catch (const std::exception& e) {
    fail(firstLine(e));
  } catch (...) {
    fail("unknown C++ exception");
  }
}

void execute(const std::vector<std::string>& strings) {
  reporting([&] {
    State& s = *state;
    if (!s.releases->refs.empty()) drainReleases();
    const double index = s.command[0];
    if (!(index >= 0) || index >= static_cast<double>(s.operators.size())) {
      throw std::runtime_error("no such operator");
    }
    const Operator& op = s.operators[static_cast<size_t>(index)];
    Reader reader(s.command + 1, s.command + s.commandLength);
    s.stack.clear();
    s.givenGenerators.clear();
    for (const auto& argument : op.schema->arguments()) pushArgument(reader, argument, strings);
    if (!s.givenGenerators.empty()) chooseGenerators();
    op.handle.callBoxed(s.stack);
    if (op.returnsArgument) s.stack.clear();
    writeResults();
  });
}

const std::vector<std::string> kNoStrings;

// The hot path: no Node-API call at all, everything is in the command buffer.
napi_value call(napi_env, napi_callback_info) {
  execute(kNoStrings);
  return nullptr;
}

napi_value takeResults(napi_env, napi_callback_info) {
  reporting(writeResults);
  return nullptr;
}

// The same with strings (dtype names never come here, they are integers): (strings: string[]).
Napi::Value callWithStrings(const Napi::CallbackInfo& info) {
  std::vector<std::string> strings;
  const auto list = info[0].As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) strings.push_back(list.Get(i).As<Napi::String>().Utf8Value());
  execute(strings);
  return info.Env().Undefined();
}

template <typename F>
auto guarded(Napi::Env env, F&& f) -> decltype(f()) {
  return throwingToJavaScript(env, [&] {
    drainReleases();
    return f();
  });
}

double handleOf(const Napi::Value& value) { return value.As<Napi::Number>().DoubleValue(); }

std::vector<at::Tensor> tensorsOf(const Napi::Value& value) {
  std::vector<at::Tensor> tensors;
  const auto list = value.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) {
    const double handle = handleOf(list.Get(i));
    tensors.push_back(handle == 0 ? at::Tensor() : tensorAt(handle));
  }
  return tensors;
}

// ---- operators and their schemas ----

bool startsWith(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

// (buffer: Float64Array): the command buffer to use from now on.
Napi::Value setCommandBuffer(const Napi::CallbackInfo& info) {
  auto buffer = info[0].As<Napi::Float64Array>();
  state->command = buffer.Data();
  state->commandLength = buffer.ElementLength();
  state->commandReference = Napi::Reference<Napi::Float64Array>::New(buffer, 1);
  return info.Env().Undefined();
}

// The name in JavaScript: camelCase, with leading underscores and the in-place underscore at the end kept.
std::string camelCase(const std::string& qualified) {
  const std::string name = qualified.substr(qualified.find("::") == std::string::npos ? 0 : qualified.find("::") + 2);
  if (startsWith(name, "__")) return name;
  std::string result;
  bool upper = false;
  for (size_t i = 0; i < name.size(); i++) {
    const bool inside = !result.empty() && result.find_first_not_of('_') != std::string::npos && i + 1 < name.size();
    if (name[i] == '_' && inside) {
      upper = true;
    } else {
      result += upper ? static_cast<char>(std::toupper(name[i])) : name[i];
      upper = false;
    }
  }
  return result;
}

// (): [name, name in JavaScript, is a method of Tensor][] of the namespaces aten and pgpc, one entry a base name.
Napi::Value operatorNames(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto& dispatcher = c10::Dispatcher::singleton();
    std::unordered_map<std::string, bool> names;
    for (const auto& name : dispatcher.getAllOpNames()) {
      if (!startsWith(name.name, "aten::") && !startsWith(name.name, "pgpc::")) continue;
      const auto handle = dispatcher.findSchema(name);
      if (!handle) continue;
      const auto& arguments = handle->schema().arguments();
      const bool method = !arguments.empty() && arguments[0].name() == "self" &&
                          arguments[0].type()->kind() == c10::TypeKind::TensorType;
      names[name.name] = names[name.name] || method;
    }
    auto result = Napi::Array::New(info.Env(), names.size());
    uint32_t i = 0;
    for (const auto& [name, method] : names) {
      auto entry = Napi::Array::New(info.Env(), 3);
      entry.Set(0u, name);
      entry.Set(1u, camelCase(name));
      entry.Set(2u, Napi::Boolean::New(info.Env(), method));
      result.Set(i++, entry);
    }
    return result;
  });
}

// (name: 'aten::add'): the overloads with their schemas, each with the index by which `call` knows it.
Napi::Value lookup(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string wanted = info[0].As<Napi::String>().Utf8Value();
  return guarded(env, [&]() -> Napi::Value {
    static std::unordered_map<std::string, std::vector<c10::OperatorName>> overloads;
    static std::once_flag once;
    auto& dispatcher = c10::Dispatcher::singleton();
    std::call_once(once, [&] {
      for (const auto& name : dispatcher.getAllOpNames()) overloads[name.name].push_back(name);
    });
    auto result = Napi::Array::New(env);
    const auto found = overloads.find(wanted);
    if (found == overloads.end()) return result;
    std::vector<std::pair<c10::OperatorName, c10::OperatorHandle>> sorted;
    for (const auto& name : found->second) {
      if (const auto handle = dispatcher.findSchema(name)) sorted.emplace_back(name, *handle);
    }
    // The order in which overloads are tried: fewest required arguments first, tensors before scalars, `out` last.
    const auto rank = [](const auto& entry) {
      size_t required = 0;
      size_t scalars = 0;
      bool out = false;
      for (const auto& argument : entry.second.schema().arguments()) {
        required += argument.default_value() ? 0 : 1;
        scalars += argument.type()->kind() == c10::TypeKind::NumberType ? 1 : 0;
        out = out || argument.is_out();
      }
      return std::make_tuple(out, required, scalars, entry.second.schema().arguments().size(), entry.first.overload_name);
    };
    std::sort(sorted.begin(), sorted.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
    for (const auto& [name, handle] : sorted) {
      const auto& schema = handle.schema();
      auto arguments = Napi::Array::New(env);
      for (const auto& argument : schema.arguments()) {
        auto entry = Napi::Object::New(env);
        entry.Set("name", camelCase(argument.name()));
        entry.Set("type", argument.real_type()->str());
        if (argument.N()) entry.Set("size", *argument.N());
        const auto& otherwise = argument.default_value();
        entry.Set("hasDefault", otherwise.has_value());
        entry.Set("mayBeEmpty", otherwise && otherwise->isIntList() && otherwise->toIntList().empty());
        entry.Set("keywordOnly", argument.kwarg_only());
        const auto* alias = argument.alias_info();
        entry.Set("written", alias != nullptr && alias->isWrite());
        arguments.Set(arguments.Length(), entry);
      }
      auto returned = Napi::Array::New(env);
      auto returns = Napi::Array::New(env);
      for (const auto& value : schema.returns()) {
        returns.Set(returns.Length(), value.real_type()->str());
        const auto* alias = value.alias_info();
        if (alias == nullptr || !alias->isWrite()) continue;
        for (size_t i = 0; i < schema.arguments().size(); i++) {
          const auto* written = schema.arguments()[i].alias_info();
          if (written != nullptr && written->beforeSets() == alias->beforeSets()) {
            returned.Set(returned.Length(), static_cast<double>(i));
            break;
          }
        }
      }
      const bool returnsArgument = !schema.returns().empty() && returned.Length() == schema.returns().size();
      auto entry = Napi::Object::New(env);
      entry.Set("index", static_cast<double>(state->operators.size()));
      entry.Set("overload", name.overload_name);
      entry.Set("schema", c10::toString(schema));
      entry.Set("arguments", arguments);
      entry.Set("returns", returns);
      if (returnsArgument) entry.Set("returnedArguments", returned);
      state->operators.push_back({handle, &schema, returnsArgument});
      result.Set(result.Length(), entry);
    }
    return result;
  });
}

Napi::Value lastError(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), state->error); }

// ---- tensors ----

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

// ---- autograd ----

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

// ---- random numbers ----

Napi::Value newGenerator(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto seed = static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value());
    Generators generators{at::detail::createCPUGenerator(seed), at::Generator()};
    State& s = *state;
    if (!s.freeGenerators.empty()) {
      const uint32_t index = s.freeGenerators.back();
      s.freeGenerators.pop_back();
      s.generators[index] = std::move(generators);
      return Napi::Number::New(info.Env(), index);
    }
    s.generators.push_back(std::move(generators));
    return Napi::Number::New(info.Env(), static_cast<double>(s.generators.size() - 1));
  });
}

Napi::Value disposeGenerator(const Napi::CallbackInfo& info) {
  const auto index = info[0].As<Napi::Number>().Uint32Value();
  if (index < state->generators.size() && state->generators[index].cpu.defined()) {
    state->generators[index] = Generators();
    state->freeGenerators.push_back(index);
  }
  return info.Env().Undefined();
}

// Whether there is a card that operators can run on.
bool hasCard() { return c10::impl::hasDeviceGuardImpl(c10::DeviceType::CUDA) && at::getNumGPUs() > 0; }

// The process's own generators, which operators use when they are given none.
Generators processGenerators() {
  if (!hasCard()) return {at::detail::getDefaultCPUGenerator(), at::Generator()};
  const c10::Device current = c10::impl::getDeviceGuardImpl(c10::DeviceType::CUDA)->getDevice();
  return {at::detail::getDefaultCPUGenerator(), at::globalContext().defaultGenerator(current)};
}

// (index or -1 for the process's own).
Generators generatorsOf(const Napi::Value& value) {
  const auto index = value.As<Napi::Number>().Int64Value();
  return index < 0 ? processGenerators() : generatorsAt(static_cast<double>(index));
}

void setSeed(at::Generator& generator, uint64_t seed) {
  if (!generator.defined()) return;
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_current_seed(seed);
}

Napi::Value seedGenerator(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Generators generators = generatorsOf(info[0]);
    const auto seed = static_cast<uint64_t>(info[1].As<Napi::Number>().Int64Value());
    setSeed(generators.cpu, seed);
    setSeed(generators.cuda, seed);
    return info.Env().Undefined();
  });
}

// The CPU's state and, behind it, the card's, where numbers were drawn there.
Napi::Value generatorState(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Generators generators = generatorsOf(info[0]);
    at::Tensor bytes = generators.cpu.get_state();
    if (generators.cuda.defined()) bytes = at::cat({bytes, generators.cuda.get_state()});
    return Napi::Number::New(info.Env(), store(bytes));
  });
}

Napi::Value setGeneratorState(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const bool own = info[0].As<Napi::Number>().Int64Value() >= 0;
    Generators generators = generatorsOf(info[0]);
    const at::Tensor& bytes = tensorAt(handleOf(info[1]));
    const int64_t length = generators.cpu.get_state().numel();
    const at::Tensor wanted = bytes.numel() > length ? bytes.narrow(0, 0, length).clone() : bytes;
    // libtorch checks each field, but not that the position lies within what is left of the numbers.
    auto trial = at::detail::createCPUGenerator();
    trial.set_state(wanted);
    const auto engine = at::check_generator<at::CPUGeneratorImpl>(trial)->engine().data();
    if (engine.left_ != 1 && engine.left_ + static_cast<int64_t>(engine.next_) != at::MERSENNE_STATE_N + 1) {
      throw std::runtime_error("not the state of a generator");
    }
    {
      std::lock_guard<std::mutex> lock(generators.cpu.mutex());
      generators.cpu.set_state(wanted);
    }
    const at::Generator card = processGenerators().cuda;
    if (!card.defined()) return info.Env().Undefined();
    if (bytes.numel() > length) {
      if (!generators.cuda.defined()) generators.cuda = cudaGenerator(card.device(), generators.cpu.current_seed());
      std::lock_guard<std::mutex> lock(generators.cuda.mutex());
      generators.cuda.set_state(bytes.narrow(0, length, bytes.numel() - length).clone());
    } else if (own) {
      // Nothing had been drawn there: it begins with the seed, as it would have then.
      setSeed(generators.cuda, generators.cpu.current_seed());
    }
    if (own) generatorsAt(handleOf(info[0])) = generators;
    return info.Env().Undefined();
  });
}

// ---- autocast ----

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

// ---- the process ----

Napi::Value setNumThreads(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    at::set_num_threads(info[0].As<Napi::Number>().Int32Value());
    return info.Env().Undefined();
  });
}

// What this libtorch is: version, threads, devices, and the file that its matrix products come from.
Napi::Value buildInfo(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto result = Napi::Object::New(env);
  result.Set("libtorch", TORCH_VERSION);
  result.Set("threads", at::get_num_threads());
  result.Set("cuda", Napi::Boolean::New(env, hasCard()));
  result.Set("mkldnn", Napi::Boolean::New(env, at::globalContext().hasMKLDNN()));
  result.Set("mkl", Napi::Boolean::New(env, at::hasMKL()));
  Dl_info where;
  void* symbol = dlsym(RTLD_DEFAULT, "sgemm_");
  result.Set("blas", symbol != nullptr && dladdr(symbol, &where) != 0 ? where.dli_fname : "inside libtorch");
  return result;
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  keepFreedBlocks();
  state = new State();
  state->env = env;
  state->tensors.reserve(4096);
  env.AddCleanupHook(
      [](State* s) {
        state = s;
        delete s;
        state = nullptr;
      },
      state);

  napi_value function;
  napi_create_function(env, "call", NAPI_AUTO_LENGTH, call, nullptr, &function);
  exports.Set("call", Napi::Value(env, function));
  napi_create_function(env, "takeResults", NAPI_AUTO_LENGTH, takeResults, nullptr, &function);
  exports.Set("takeResults", Napi::Value(env, function));
  napi_create_function(env, "disposeMany", NAPI_AUTO_LENGTH, disposeMany, nullptr, &function);
  exports.Set("disposeMany", Napi::Value(env, function));

#define EXPORT(name) exports.Set(#name, Napi::Function::New(env, name, #name))
  EXPORT(callWithStrings);
  EXPORT(setCommandBuffer);
  EXPORT(operatorNames);
  EXPORT(lookup);
  EXPORT(lastError);
  EXPORT(describe);
  EXPORT(deviceOf);
  EXPORT(dispose);
  EXPORT(reportMemory);
  EXPORT(memory);
  EXPORT(fromTypedArray);
  EXPORT(arrayBuffer);
  EXPORT(copyTo);
  EXPORT(requiresGrad);
  EXPORT(setRequiresGrad);
  EXPORT(getGrad);
  EXPORT(setGrad);
  EXPORT(backward);
  EXPORT(grad);
  EXPORT(setGradMode);
  EXPORT(enterInferenceMode);
  EXPORT(leaveInferenceMode);
  EXPORT(newGenerator);
  EXPORT(disposeGenerator);
  EXPORT(seedGenerator);
  EXPORT(generatorState);
  EXPORT(setGeneratorState);
  EXPORT(setAutocast);
  EXPORT(autocastState);
  EXPORT(setNumThreads);
  EXPORT(buildInfo);
#undef EXPORT
  exportCuda(env, exports);
  exportProfiler(env, exports);
  exportDistributed(env, exports);
  return exports;
}

NODE_API_MODULE(bridge, initialize)

}  // namespace

std::vector<at::Generator> cudaGenerators() {
  std::vector<at::Generator> found;
  for (const Generators& generators : state->generators) {
    if (generators.cuda.defined()) found.push_back(generators.cuda);
  }
  return found;
}
