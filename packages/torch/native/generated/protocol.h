// Generated from native/protocol.json by scripts/generate-protocol.mjs: do not edit.
#pragma once

#include <c10/core/Layout.h>
#include <c10/core/MemoryFormat.h>
#include <c10/core/ScalarType.h>
#include <napi.h>

static_assert(static_cast<int>(c10::ScalarType::Byte) == 0, "c10::ScalarType::Byte has moved");
static_assert(static_cast<int>(c10::ScalarType::Char) == 1, "c10::ScalarType::Char has moved");
static_assert(static_cast<int>(c10::ScalarType::Short) == 2, "c10::ScalarType::Short has moved");
static_assert(static_cast<int>(c10::ScalarType::Int) == 3, "c10::ScalarType::Int has moved");
static_assert(static_cast<int>(c10::ScalarType::Long) == 4, "c10::ScalarType::Long has moved");
static_assert(static_cast<int>(c10::ScalarType::Half) == 5, "c10::ScalarType::Half has moved");
static_assert(static_cast<int>(c10::ScalarType::Float) == 6, "c10::ScalarType::Float has moved");
static_assert(static_cast<int>(c10::ScalarType::Double) == 7, "c10::ScalarType::Double has moved");
static_assert(static_cast<int>(c10::ScalarType::Bool) == 11, "c10::ScalarType::Bool has moved");
static_assert(static_cast<int>(c10::ScalarType::BFloat16) == 15, "c10::ScalarType::BFloat16 has moved");
static_assert(static_cast<int>(c10::ScalarType::ComplexHalf) == 8, "c10::ScalarType::ComplexHalf has moved");
static_assert(static_cast<int>(c10::ScalarType::ComplexFloat) == 9, "c10::ScalarType::ComplexFloat has moved");
static_assert(static_cast<int>(c10::ScalarType::ComplexDouble) == 10, "c10::ScalarType::ComplexDouble has moved");
static_assert(static_cast<int>(c10::ScalarType::QInt8) == 12, "c10::ScalarType::QInt8 has moved");
static_assert(static_cast<int>(c10::ScalarType::QUInt8) == 13, "c10::ScalarType::QUInt8 has moved");
static_assert(static_cast<int>(c10::ScalarType::QInt32) == 14, "c10::ScalarType::QInt32 has moved");
static_assert(static_cast<int>(c10::ScalarType::QUInt4x2) == 16, "c10::ScalarType::QUInt4x2 has moved");
static_assert(static_cast<int>(c10::ScalarType::QUInt2x4) == 17, "c10::ScalarType::QUInt2x4 has moved");
static_assert(static_cast<int>(c10::MemoryFormat::Contiguous) == 0, "c10::MemoryFormat::Contiguous has moved");
static_assert(static_cast<int>(c10::MemoryFormat::Preserve) == 1, "c10::MemoryFormat::Preserve has moved");
static_assert(static_cast<int>(c10::MemoryFormat::ChannelsLast) == 2, "c10::MemoryFormat::ChannelsLast has moved");
static_assert(static_cast<int>(c10::MemoryFormat::ChannelsLast3d) == 3, "c10::MemoryFormat::ChannelsLast3d has moved");
static_assert(static_cast<int>(c10::Layout::Strided) == 0, "c10::Layout::Strided has moved");

namespace bridge {

// Tags of the values in the command buffer.
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

// What a call leaves in command[0].
enum Status {
  kDone = 0,
  kFailed = 1,
  kWaiting = 2,
};

// call.cpp
napi_value call(napi_env, napi_callback_info);
napi_value takeResults(napi_env, napi_callback_info);
Napi::Value callWithStrings(const Napi::CallbackInfo& info);
Napi::Value setCommandBuffer(const Napi::CallbackInfo& info);
Napi::Value lastError(const Napi::CallbackInfo& info);

// schemas.cpp
Napi::Value operatorNames(const Napi::CallbackInfo& info);
Napi::Value lookup(const Napi::CallbackInfo& info);

// memory.cpp
napi_value disposeMany(napi_env, napi_callback_info);
Napi::Value describe(const Napi::CallbackInfo& info);
Napi::Value deviceOf(const Napi::CallbackInfo& info);
Napi::Value dispose(const Napi::CallbackInfo& info);
Napi::Value reportMemory(const Napi::CallbackInfo& info);
Napi::Value memory(const Napi::CallbackInfo& info);
Napi::Value fromTypedArray(const Napi::CallbackInfo& info);
Napi::Value arrayBuffer(const Napi::CallbackInfo& info);
Napi::Value copyTo(const Napi::CallbackInfo& info);
Napi::Value isStrided(const Napi::CallbackInfo& info);
Napi::Value isExpanded(const Napi::CallbackInfo& info);

// autograd.cpp
Napi::Value requiresGrad(const Napi::CallbackInfo& info);
Napi::Value setRequiresGrad(const Napi::CallbackInfo& info);
Napi::Value getGrad(const Napi::CallbackInfo& info);
Napi::Value setGrad(const Napi::CallbackInfo& info);
Napi::Value backward(const Napi::CallbackInfo& info);
Napi::Value grad(const Napi::CallbackInfo& info);
Napi::Value setGradMode(const Napi::CallbackInfo& info);
Napi::Value enterInferenceMode(const Napi::CallbackInfo& info);
Napi::Value leaveInferenceMode(const Napi::CallbackInfo& info);

// random.cpp
Napi::Value newGenerator(const Napi::CallbackInfo& info);
Napi::Value disposeGenerator(const Napi::CallbackInfo& info);
Napi::Value seedGenerator(const Napi::CallbackInfo& info);
Napi::Value generatorState(const Napi::CallbackInfo& info);
Napi::Value setGeneratorState(const Napi::CallbackInfo& info);

// autocast.cpp
Napi::Value setAutocast(const Napi::CallbackInfo& info);
Napi::Value autocastState(const Napi::CallbackInfo& info);

// process.cpp
Napi::Value setNumThreads(const Napi::CallbackInfo& info);
Napi::Value buildInfo(const Napi::CallbackInfo& info);

// disk.cpp
Napi::Value startWriteback(const Napi::CallbackInfo& info);

// cuda.cpp
Napi::Value cudaFeatures(const Napi::CallbackInfo& info);
Napi::Value cudaMath(const Napi::CallbackInfo& info);

// cuda.cpp
#ifdef PGPC_CUDA
Napi::Value cudaUseDevice(const Napi::CallbackInfo& info);
Napi::Value cudaSynchronize(const Napi::CallbackInfo& info);
Napi::Value cudaMemory(const Napi::CallbackInfo& info);
Napi::Value cudaName(const Napi::CallbackInfo& info);
Napi::Value cudaResetPeak(const Napi::CallbackInfo& info);
Napi::Value cudaEmptyCache(const Napi::CallbackInfo& info);
Napi::Value cudaForbidWaiting(const Napi::CallbackInfo& info);
Napi::Value graphBegin(const Napi::CallbackInfo& info);
Napi::Value graphEnd(const Napi::CallbackInfo& info);
Napi::Value graphAbandon(const Napi::CallbackInfo& info);
Napi::Value graphReplay(const Napi::CallbackInfo& info);
Napi::Value graphFree(const Napi::CallbackInfo& info);
#endif

// profiler.cpp
Napi::Value profilerStart(const Napi::CallbackInfo& info);
Napi::Value profilerStop(const Napi::CallbackInfo& info);
Napi::Value profilerPush(const Napi::CallbackInfo& info);
Napi::Value profilerPop(const Napi::CallbackInfo& info);

// distributed.cpp
Napi::Value distributedBackends(const Napi::CallbackInfo& info);
Napi::Value distributedJoin(const Napi::CallbackInfo& info);
Napi::Value distributedLeave(const Napi::CallbackInfo& info);

/** Makes every function above an export of the addon. */
inline void exportAll(Napi::Env env, Napi::Object exports) {
  napi_value bare;
  napi_create_function(env, "call", NAPI_AUTO_LENGTH, call, nullptr, &bare);
  exports.Set("call", Napi::Value(env, bare));
  napi_create_function(env, "takeResults", NAPI_AUTO_LENGTH, takeResults, nullptr, &bare);
  exports.Set("takeResults", Napi::Value(env, bare));
  exports.Set("callWithStrings", Napi::Function::New(env, callWithStrings, "callWithStrings"));
  exports.Set("setCommandBuffer", Napi::Function::New(env, setCommandBuffer, "setCommandBuffer"));
  exports.Set("lastError", Napi::Function::New(env, lastError, "lastError"));
  exports.Set("operatorNames", Napi::Function::New(env, operatorNames, "operatorNames"));
  exports.Set("lookup", Napi::Function::New(env, lookup, "lookup"));
  napi_create_function(env, "disposeMany", NAPI_AUTO_LENGTH, disposeMany, nullptr, &bare);
  exports.Set("disposeMany", Napi::Value(env, bare));
  exports.Set("describe", Napi::Function::New(env, describe, "describe"));
  exports.Set("deviceOf", Napi::Function::New(env, deviceOf, "deviceOf"));
  exports.Set("dispose", Napi::Function::New(env, dispose, "dispose"));
  exports.Set("reportMemory", Napi::Function::New(env, reportMemory, "reportMemory"));
  exports.Set("memory", Napi::Function::New(env, memory, "memory"));
  exports.Set("fromTypedArray", Napi::Function::New(env, fromTypedArray, "fromTypedArray"));
  exports.Set("arrayBuffer", Napi::Function::New(env, arrayBuffer, "arrayBuffer"));
  exports.Set("copyTo", Napi::Function::New(env, copyTo, "copyTo"));
  exports.Set("isStrided", Napi::Function::New(env, isStrided, "isStrided"));
  exports.Set("isExpanded", Napi::Function::New(env, isExpanded, "isExpanded"));
  exports.Set("requiresGrad", Napi::Function::New(env, requiresGrad, "requiresGrad"));
  exports.Set("setRequiresGrad", Napi::Function::New(env, setRequiresGrad, "setRequiresGrad"));
  exports.Set("getGrad", Napi::Function::New(env, getGrad, "getGrad"));
  exports.Set("setGrad", Napi::Function::New(env, setGrad, "setGrad"));
  exports.Set("backward", Napi::Function::New(env, backward, "backward"));
  exports.Set("grad", Napi::Function::New(env, grad, "grad"));
  exports.Set("setGradMode", Napi::Function::New(env, setGradMode, "setGradMode"));
  exports.Set("enterInferenceMode", Napi::Function::New(env, enterInferenceMode, "enterInferenceMode"));
  exports.Set("leaveInferenceMode", Napi::Function::New(env, leaveInferenceMode, "leaveInferenceMode"));
  exports.Set("newGenerator", Napi::Function::New(env, newGenerator, "newGenerator"));
  exports.Set("disposeGenerator", Napi::Function::New(env, disposeGenerator, "disposeGenerator"));
  exports.Set("seedGenerator", Napi::Function::New(env, seedGenerator, "seedGenerator"));
  exports.Set("generatorState", Napi::Function::New(env, generatorState, "generatorState"));
  exports.Set("setGeneratorState", Napi::Function::New(env, setGeneratorState, "setGeneratorState"));
  exports.Set("setAutocast", Napi::Function::New(env, setAutocast, "setAutocast"));
  exports.Set("autocastState", Napi::Function::New(env, autocastState, "autocastState"));
  exports.Set("setNumThreads", Napi::Function::New(env, setNumThreads, "setNumThreads"));
  exports.Set("buildInfo", Napi::Function::New(env, buildInfo, "buildInfo"));
  exports.Set("startWriteback", Napi::Function::New(env, startWriteback, "startWriteback"));
  exports.Set("cudaFeatures", Napi::Function::New(env, cudaFeatures, "cudaFeatures"));
  exports.Set("cudaMath", Napi::Function::New(env, cudaMath, "cudaMath"));
#ifdef PGPC_CUDA
  exports.Set("cudaUseDevice", Napi::Function::New(env, cudaUseDevice, "cudaUseDevice"));
  exports.Set("cudaSynchronize", Napi::Function::New(env, cudaSynchronize, "cudaSynchronize"));
  exports.Set("cudaMemory", Napi::Function::New(env, cudaMemory, "cudaMemory"));
  exports.Set("cudaName", Napi::Function::New(env, cudaName, "cudaName"));
  exports.Set("cudaResetPeak", Napi::Function::New(env, cudaResetPeak, "cudaResetPeak"));
  exports.Set("cudaEmptyCache", Napi::Function::New(env, cudaEmptyCache, "cudaEmptyCache"));
  exports.Set("cudaForbidWaiting", Napi::Function::New(env, cudaForbidWaiting, "cudaForbidWaiting"));
  exports.Set("graphBegin", Napi::Function::New(env, graphBegin, "graphBegin"));
  exports.Set("graphEnd", Napi::Function::New(env, graphEnd, "graphEnd"));
  exports.Set("graphAbandon", Napi::Function::New(env, graphAbandon, "graphAbandon"));
  exports.Set("graphReplay", Napi::Function::New(env, graphReplay, "graphReplay"));
  exports.Set("graphFree", Napi::Function::New(env, graphFree, "graphFree"));
#endif
  exports.Set("profilerStart", Napi::Function::New(env, profilerStart, "profilerStart"));
  exports.Set("profilerStop", Napi::Function::New(env, profilerStop, "profilerStop"));
  exports.Set("profilerPush", Napi::Function::New(env, profilerPush, "profilerPush"));
  exports.Set("profilerPop", Napi::Function::New(env, profilerPop, "profilerPop"));
  exports.Set("distributedBackends", Napi::Function::New(env, distributedBackends, "distributedBackends"));
  exports.Set("distributedJoin", Napi::Function::New(env, distributedJoin, "distributedJoin"));
  exports.Set("distributedLeave", Napi::Function::New(env, distributedLeave, "distributedLeave"));
}

}  // namespace bridge
