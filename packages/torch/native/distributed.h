// Data parallel's place in the bridge.
#pragma once

#include <napi.h>

/** Adds distributedBackends, distributedJoin and distributedLeave to the addon's exports. */
void exportDistributed(Napi::Env env, Napi::Object exports);
