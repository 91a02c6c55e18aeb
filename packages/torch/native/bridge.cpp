// The bridge between JavaScript and libtorch: its entry.
//
// Every ATen operator is reached by one function, in call.cpp. Tensors live in a table here; JavaScript holds their index
// (the handle). What the dispatcher does not reach (autograd engine, guards, generators, memory of typed arrays) is bound
// by hand, one file a section. Names, tags and codes that both sides know are in protocol.json.

#include <c10/util/Logging.h>

#include <functional>
#include <string>

#include "allocator.h"
#include "state.h"

namespace bridge {

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  keepFreedBlocks();
  // Nobody is shown the C++ stack of an error, and libtorch 1.13 takes milliseconds to write one down.
  c10::SetStackTraceFetcher(std::function<std::string()>([] { return std::string(); }));
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
  exportAll(env, exports);
  return exports;
}

NODE_API_MODULE(bridge, initialize)

}  // namespace bridge
