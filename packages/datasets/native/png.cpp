// The pixels of PNG files (ISO/IEC 15948): inflates what libdeflate inflates faster than anything that streams, undoes
// the row filters, and hands out one region.

#include <libdeflate.h>
#include <napi.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

// Scratch memory up to this size stays with its thread: to take and give back megabytes an image costs as much as to
// undo its filters.
constexpr size_t kKept = size_t{64} << 20;

class Scratch {
 public:
  ~Scratch() { std::free(data_); }
  uint8_t* atLeast(size_t size) {
    if (size > size_) {
      std::free(data_);
      data_ = static_cast<uint8_t*>(std::malloc(size));
      size_ = data_ == nullptr ? 0 : size;
      if (data_ == nullptr) throw std::runtime_error("no memory for an image of " + std::to_string(size) + " bytes");
    }
    return data_;
  }
  void trim() {
    if (size_ <= kKept) return;
    std::free(data_);
    data_ = nullptr;
    size_ = 0;
  }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

thread_local Scratch scratch;
thread_local std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor(
    libdeflate_alloc_decompressor(), libdeflate_free_decompressor);

// ---- row filters (ISO/IEC 15948, 9.2); `BPP` bytes lie between a sample and the one to its left ----

// One pixel, widened: Paeth's predictor needs signs. What is read beyond a pixel is not used.
typedef uint8_t Bytes __attribute__((vector_size(8)));
typedef int16_t Lanes __attribute__((vector_size(16)));

template <int BPP>
Lanes load(const uint8_t* from) {
  Bytes bytes = {};
  std::memcpy(&bytes, from, BPP <= 4 ? 4 : 8);
  return __builtin_convertvector(bytes, Lanes);
}

template <int BPP>
void put(uint8_t* to, Lanes lanes) {
  const Bytes bytes = __builtin_convertvector(lanes, Bytes);
  std::memcpy(to, &bytes, BPP);
}

// How far beyond the last row `load` may read.
constexpr size_t kReadBeyond = 8;

template <int BPP>
void undoSub(uint8_t* row, size_t stride) {
  Lanes left = {};
  for (size_t i = 0; i + BPP <= stride; i += BPP) {
    left = (left + load<BPP>(row + i)) & 255;
    put<BPP>(row + i, left);
  }
}

void undoUp(uint8_t* row, const uint8_t* above, size_t stride) {
  for (size_t i = 0; i < stride; i++) row[i] = static_cast<uint8_t>(row[i] + above[i]);
}

template <int BPP>
void undoAverage(uint8_t* row, const uint8_t* above, size_t stride) {
  Lanes left = {};
  for (size_t i = 0; i + BPP <= stride; i += BPP) {
    left = (load<BPP>(row + i) + ((left + load<BPP>(above + i)) >> 1)) & 255;
    put<BPP>(row + i, left);
  }
}

template <int BPP>
void undoPaeth(uint8_t* row, const uint8_t* above, size_t stride) {
  Lanes left = {};
  Lanes corner = {};
  for (size_t i = 0; i + BPP <= stride; i += BPP) {
    const Lanes up = load<BPP>(above + i);
    // How far left + up - corner is from each of the three.
    const Lanes fromLeft = up - corner;
    const Lanes fromUp = left - corner;
    const Lanes fromCorner = fromLeft + fromUp;
    const Lanes a = fromLeft < 0 ? -fromLeft : fromLeft;
    const Lanes b = fromUp < 0 ? -fromUp : fromUp;
    const Lanes c = fromCorner < 0 ? -fromCorner : fromCorner;
    // The next pixel waits for `left`: what needs only the other two is compared first.
    const Lanes other = b <= c ? up : corner;
    left = (load<BPP>(row + i) + (a <= (b < c ? b : c) ? left : other)) & 255;
    put<BPP>(row + i, left);
    corner = up;
  }
}

// `above` is a row of zeros for the first row.
template <int BPP>
void undoFilter(int filter, uint8_t* row, const uint8_t* above, size_t stride, size_t y) {
  switch (filter) {
    case 0:
      return;
    case 1:
      return undoSub<BPP>(row, stride);
    case 2:
      return undoUp(row, above, stride);
    case 3:
      return undoAverage<BPP>(row, above, stride);
    case 4:
      return undoPaeth<BPP>(row, above, stride);
    default:
      throw std::runtime_error("row " + std::to_string(y) + " has the unknown filter " + std::to_string(filter));
  }
}

using Undo = void (*)(int, uint8_t*, const uint8_t*, size_t, size_t);

Undo undoFor(size_t bpp) {
  switch (bpp) {
    case 1:
      return undoFilter<1>;
    case 2:
      return undoFilter<2>;
    case 3:
      return undoFilter<3>;
    case 4:
      return undoFilter<4>;
    case 6:
      return undoFilter<6>;
    case 8:
      return undoFilter<8>;
    default:
      throw std::invalid_argument("no PNG has pixels of " + std::to_string(bpp) + " bytes");
  }
}

// Sizes in bytes, but for rows.
struct Layout {
  size_t stride, height, bpp;
  size_t top, rows, left, length;
};

void checkLayout(const Layout& l) {
  constexpr size_t kMost = size_t{1} << 40;
  if (l.stride >= kMost || l.height >= kMost / (l.stride + 1)) throw std::invalid_argument("no image is that large");
  const bool inside = l.top <= l.height && l.rows <= l.height - l.top && l.left <= l.stride && l.length <= l.stride - l.left;
  if (!inside) throw std::invalid_argument("the region does not lie inside the image");
}

void unpack(const uint8_t* data, size_t size, const Layout& l, uint8_t* result) {
  const Undo undo = undoFor(l.bpp);
  const size_t line = l.stride + 1;
  const size_t expected = line * l.height;
  // The byte beyond tells a stream that holds more; a row of zeros stands above the first.
  uint8_t* zeros = scratch.atLeast(l.stride + expected + kReadBeyond);
  std::memset(zeros, 0, l.stride);
  uint8_t* filtered = zeros + l.stride;
  size_t got = 0;
  switch (libdeflate_zlib_decompress(decompressor.get(), data, size, filtered, expected + 1, &got)) {
    case LIBDEFLATE_SUCCESS:
      break;
    case LIBDEFLATE_INSUFFICIENT_SPACE:
      throw std::runtime_error("more bytes of pixels than the " + std::to_string(expected) + " of the header's size");
    default:
      throw std::runtime_error("the compressed pixels are damaged");
  }
  if (got != expected) {
    throw std::runtime_error(std::to_string(got) + " bytes of pixels where the header's size needs " +
                             std::to_string(expected));
  }
  const uint8_t* above = zeros;
  for (size_t y = 0; y < l.top + l.rows; y++) {
    uint8_t* row = filtered + y * line + 1;
    undo(row[-1], row, above, l.stride, y);
    if (y >= l.top) std::memcpy(result + (y - l.top) * l.length, row + l.left, l.length);
    above = row;
  }
}

class UnpackWork final : public Napi::AsyncWorker {
 public:
  UnpackWork(Napi::Env env, const Napi::Uint8Array& data, const Layout& layout)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        data_(Napi::Persistent(data.As<Napi::Object>())),
        from_(data.Data()),
        size_(data.ByteLength()),
        layout_(layout) {
    auto result = Napi::ArrayBuffer::New(env, layout.rows * layout.length);
    to_ = static_cast<uint8_t*>(result.Data());
    result_ = Napi::Persistent(result.As<Napi::Object>());
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    unpack(from_, size_, layout_, to_);
    scratch.trim();
  }
  void OnOK() override { deferred_.Resolve(result_.Value()); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  // Both live as long as the work.
  Napi::ObjectReference data_;
  Napi::ObjectReference result_;
  const uint8_t* from_;
  size_t size_;
  uint8_t* to_;
  Layout layout_;
};

// (data, stride, height, bpp, top, rows, left, length): a promise of the region's bytes.
Napi::Value unpackRows(const Napi::CallbackInfo& info) {
  const auto size = [&](size_t i) { return static_cast<size_t>(info[i].As<Napi::Number>().Int64Value()); };
  const Layout layout{size(1), size(2), size(3), size(4), size(5), size(6), size(7)};
  try {
    undoFor(layout.bpp);
    checkLayout(layout);
  } catch (const std::invalid_argument& e) {
    throw Napi::RangeError::New(info.Env(), e.what());
  }
  auto* work = new UnpackWork(info.Env(), info[0].As<Napi::Uint8Array>(), layout);
  work->Queue();
  return work->promise();
}

// (bytes)
Napi::Value crc32(const Napi::CallbackInfo& info) {
  const auto bytes = info[0].As<Napi::Uint8Array>();
  return Napi::Number::New(info.Env(), libdeflate_crc32(0, bytes.Data(), bytes.ByteLength()));
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("unpackRows", Napi::Function::New(env, unpackRows, "unpackRows"));
  exports.Set("crc32", Napi::Function::New(env, crc32, "crc32"));
  return exports;
}

NODE_API_MODULE(png, initialize)

}  // namespace
