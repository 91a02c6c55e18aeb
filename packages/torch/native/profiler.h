// The profiler's place in the bridge.
#pragma once

#include <napi.h>

/** Adds profilerStart, profilerStop, profilerPush and profilerPop to the addon's exports. */
void exportProfiler(Napi::Env env, Napi::Object exports);
