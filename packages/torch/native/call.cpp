// Calls of operators: one function reaches every one of ATen's.
//
// Arguments and results travel through a buffer of doubles that both sides see (the command buffer), so that a call costs
// one bare Node-API transition and no conversion of JavaScript values.
//
// Before a call: [operator, argument, argument, ...]; an argument is a tag and its payload.
// After it: [status, number of results, result, ...]. An error is read by lastError; where the buffer is too small for
// the results it holds [kWaiting, length needed], and they wait for takeResults.

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cuda.h"
#include "state.h"

namespace bridge {

namespace {

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
    throw std::runtime_error("there is no device '" + name + "': no NVIDIA GPU with a working driver was found");
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
    s.command[0] = kWaiting;
    s.command[1] = static_cast<double>(length);
    return;
  }
  s.command[1] = static_cast<double>(s.stack.size());
  Writer writer;
  for (auto& value : s.stack) writer.result(value);
  s.stack.clear();
  s.command[0] = kDone;
}

void fail(std::string message) {
  state->error = std::move(message);
  state->stack.clear();
  state->command[0] = kFailed;
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

}  // namespace

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

// (buffer: Float64Array): the command buffer to use from now on.
Napi::Value setCommandBuffer(const Napi::CallbackInfo& info) {
  auto buffer = info[0].As<Napi::Float64Array>();
  state->command = buffer.Data();
  state->commandLength = buffer.ElementLength();
  state->commandReference = Napi::Reference<Napi::Float64Array>::New(buffer, 1);
  return info.Env().Undefined();
}

Napi::Value lastError(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), state->error); }

}  // namespace bridge
