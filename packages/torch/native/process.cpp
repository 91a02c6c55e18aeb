// What the process runs on.

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <dlfcn.h>

#include <string>

#include "state.h"

namespace bridge {

Napi::Value setNumThreads(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    at::set_num_threads(info[0].As<Napi::Number>().Int32Value());
    return info.Env().Undefined();
  });
}

// The vector instructions that libtorch's kernels use: "AVX2", "AVX512" and the like. Only its description says so.
std::string instructions() {
  const std::string config = at::show_config(), label = "CPU capability usage: ";
  const size_t found = config.find(label);
  if (found == std::string::npos) return "unknown";
  const size_t begin = found + label.size();
  return config.substr(begin, config.find('\n', begin) - begin);
}

// What this libtorch is: version, instructions, threads, devices, and the file that its matrix products come from.
Napi::Value buildInfo(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto result = Napi::Object::New(env);
  result.Set("libtorch", TORCH_VERSION);
  result.Set("threads", at::get_num_threads());
  result.Set("instructions", instructions());
  result.Set("cuda", Napi::Boolean::New(env, hasGpu()));
  result.Set("mkldnn", Napi::Boolean::New(env, at::globalContext().hasMKLDNN()));
  result.Set("mkl", Napi::Boolean::New(env, at::hasMKL()));
  Dl_info where;
  void* symbol = dlsym(RTLD_DEFAULT, "sgemm_");
  result.Set("blas", symbol != nullptr && dladdr(symbol, &where) != 0 ? where.dli_fname : "inside libtorch");
  return result;
}

}  // namespace bridge
