// Random numbers: a generator has one seed and draws on the CPU and on a GPU.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "cuda.h"
#include "state.h"

namespace bridge {

namespace {

Generators& generatorsAt(double index) {
  Generators& generators = state->generators.at(static_cast<size_t>(index));
  if (!generators.cpu.defined()) throw std::runtime_error("no such generator: it was disposed");
  return generators;
}

// A generator of its own on a GPU, which starts from `seed`.
at::Generator cudaGenerator(c10::Device device, uint64_t seed) {
  at::Generator generator = at::globalContext().defaultGenerator(device).clone();
  generator.set_current_seed(seed);
  return generator;
}

// The process's own generators, which operators use when they are given none.
Generators processGenerators() {
  if (!hasGpu()) return {at::detail::getDefaultCPUGenerator(), at::Generator()};
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

}  // namespace

const at::Generator& generatorFor(double index, c10::Device device) {
  Generators& generators = generatorsAt(index);
  if (!device.is_cuda()) return generators.cpu;
  if (!generators.cuda.defined()) generators.cuda = cudaGenerator(device, generators.cpu.current_seed());
  return generators.cuda;
}

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

Napi::Value seedGenerator(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Generators generators = generatorsOf(info[0]);
    const auto seed = static_cast<uint64_t>(info[1].As<Napi::Number>().Int64Value());
    setSeed(generators.cpu, seed);
    setSeed(generators.cuda, seed);
    return info.Env().Undefined();
  });
}

// The CPU's state and, behind it, the GPU's, where numbers were drawn there.
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
    const at::Generator gpu = processGenerators().cuda;
    if (!gpu.defined()) return info.Env().Undefined();
    if (bytes.numel() > length) {
      if (!generators.cuda.defined()) generators.cuda = cudaGenerator(gpu.device(), generators.cpu.current_seed());
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

}  // namespace bridge

std::vector<at::Generator> cudaGenerators() {
  std::vector<at::Generator> found;
  for (const bridge::Generators& generators : bridge::state->generators) {
    if (generators.cuda.defined()) found.push_back(generators.cuda);
  }
  return found;
}
