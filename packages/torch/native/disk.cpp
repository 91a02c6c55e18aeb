// Files on their way to the disk.

#include <fcntl.h>

#include "state.h"

namespace bridge {

// A hint: a file system that cannot take it writes all of it at the flush, which tells of errors in either case.
Napi::Value startWriteback(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    sync_file_range(info[0].As<Napi::Number>().Int32Value(), 0, 0, SYNC_FILE_RANGE_WRITE);
    return info.Env().Undefined();
  });
}

}  // namespace bridge
