// Depthwise 2-D convolution on the CPU, with its gradient, as operators of libtorch's dispatcher.
//
//   pgpc::depthwise_conv2d           y[n,c,i,j] = b[c] + sum_{k,l} w[c,0,k,l] x[n,c,is+kd-p,js+ld-p]
//   pgpc::depthwise_conv2d_backward  the gradients of x, w and b
// with stride s, padding p and dilation d.
//
// libtorch computes a dilated one as C small matrix products. Here every value is read about once from
// memory, which is what bounds the operator. float32 and bfloat16 on the CPU at stride 1 with one filter per
// channel are computed here, in NCHW or channels-last as the input lies; everything else, and the one case that
// oneDNN does faster, goes to at::conv2d. bfloat16 is summed in float32 and rounded once.
//
// Every sum here is taken in an order that depends on the shapes alone, so results do not depend on the
// number of threads.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#include "../autocast.h"
#include "lanes.h"

namespace {

using at::IntArrayRef;
using at::Tensor;
using OptionalTensor = c10::optional<Tensor>;
using Gradients = std::tuple<Tensor, Tensor, Tensor>;

// ---- Geometry ---------------------------------------------------------------------------------------------

// Neighbouring output positions under the same taps. All but the borders of an image are one run.
struct Run {
  int64_t begin, end;
  std::vector<int64_t> taps;
};

// One axis of a correlation of stride 1: at output position `p`, tap `t` reads the input at
// `p + offset + t * dilation`, or a zero outside of the image.
struct Axis {
  int64_t in, out, taps, offset, dilation;

  int64_t source(int64_t position, int64_t tap) const { return position + offset + tap * dilation; }

  bool meets_input(int64_t position, int64_t tap) const {
    const int64_t at = source(position, tap);
    return at >= 0 && at < in;
  }

  // The taps that meet the image anywhere: a dilation larger than the image leaves only some.
  std::vector<int64_t> live() const {
    std::vector<int64_t> live;
    for (int64_t tap = 0; tap < taps; ++tap) {
      if (source(0, tap) < in && source(out - 1, tap) >= 0) live.push_back(tap);
    }
    return live;
  }

  std::vector<Run> runs() const {
    std::vector<Run> runs;
    for (int64_t position = 0; position < out; ++position) {
      std::vector<int64_t> meeting;
      for (int64_t tap = 0; tap < taps; ++tap) {
        if (meets_input(position, tap)) meeting.push_back(tap);
      }
      if (!runs.empty() && runs.back().taps == meeting) {
        runs.back().end = position + 1;
      } else {
        runs.push_back({position, position + 1, std::move(meeting)});
      }
    }
    return runs;
  }

  // The axis of the input's gradient, whose taps run backwards.
  Axis adjoint() const { return {out, in, taps, -offset - (taps - 1) * dilation, dilation}; }
};

struct Geometry {
  int64_t batch, channels;
  Axis y, x;

  int64_t taps() const { return y.taps * x.taps; }
  Geometry adjoint() const { return {batch, channels, y.adjoint(), x.adjoint()}; }
};

Axis convolution_axis(int64_t in, int64_t taps, int64_t padding, int64_t dilation) {
  return {in, in + 2 * padding - (taps - 1) * dilation, taps, -padding, dilation};
}

Geometry geometry_of(const Tensor& input, const Tensor& weight, IntArrayRef padding, IntArrayRef dilation) {
  return {input.size(0), input.size(1),
          convolution_axis(input.size(2), weight.size(2), padding[0], dilation[0]),
          convolution_axis(input.size(3), weight.size(3), padding[1], dilation[1])};
}

// Items per task, so that a task is worth handing to a thread.
int64_t grain(int64_t operations_per_item) {
  return std::max<int64_t>(1, 32768 / std::max<int64_t>(1, operations_per_item));
}

// ---- NCHW: one plane at a time ----------------------------------------------------------------------------

// A plane that may be read outside of the image: `origin[y * pitch + x]`.
struct PaddedPlane {
  const float* origin;
  int64_t pitch;
};

// Lays planes out amid the zeros that the taps read. The margins are cleared once; only the image is
// rewritten from plane to plane.
class Padder {
 public:
  Padder(const Axis& y, const Axis& x) : height_(y.in), width_(x.in) {
    const auto vertical = margins(y), horizontal = margins(x);
    pitch_ = horizontal.first + width_ + horizontal.second;
    origin_ = vertical.first * pitch_ + horizontal.first;
    const int64_t size = (vertical.first + height_ + vertical.second) * pitch_;
    if (size > height_ * width_) buffer_.assign(size, 0.f);
  }

  PaddedPlane operator()(const float* plane) {
    if (buffer_.empty()) return {plane, pitch_};
    for (int64_t y = 0; y < height_; ++y) {
      const float* from = plane + y * width_;
      float* to = buffer_.data() + origin_ + y * pitch_;
      int64_t x = 0;
      for (; x + kLanes <= width_; x += kLanes) store(to + x, load(from + x));
      for (; x < width_; ++x) to[x] = from[x];
    }
    return {buffer_.data() + origin_, pitch_};
  }

 private:
  // How far the live taps read before and after the image.
  static std::pair<int64_t, int64_t> margins(const Axis& axis) {
    const auto live = axis.live();
    if (live.empty()) return {0, 0};
    return {std::max<int64_t>(0, -axis.source(0, live.front())),
            std::max<int64_t>(0, axis.source(axis.out - 1, live.back()) + 1 - axis.in)};
  }

  int64_t height_, width_, pitch_, origin_;
  std::vector<float> buffer_;
};

constexpr int kFused = 9;  // taps summed in registers: all of a 3x3 filter

// out[y, x] = start + sum_t weights[t] * taps[t][y * pitch + x], or added to out.
template <int Taps, bool Add>
void correlate_rows(float* out, int64_t rows, int64_t count, const float* const* taps, int64_t pitch,
                    const float* weights, float start) {
  const float* tap[Taps];
  Lanes weight[Taps];
  for (int t = 0; t < Taps; ++t) {
    tap[t] = taps[t];
    weight[t] = Lanes{} + weights[t];
  }
  for (int64_t row = 0; row < rows; ++row) {
    int64_t x = 0;
    for (; x + kLanes <= count; x += kLanes) {
      Lanes sum = Add ? load(out + x) : Lanes{} + start;
      for (int t = 0; t < Taps; ++t) sum += weight[t] * load(tap[t] + x);
      store(out + x, sum);
    }
    for (; x < count; ++x) {
      float sum = Add ? out[x] : start;
      for (int t = 0; t < Taps; ++t) sum += weight[t][0] * tap[t][x];
      out[x] = sum;
    }
    for (int t = 0; t < Taps; ++t) tap[t] += pitch;
    out += count;
  }
}

using RowsKernel = void (*)(float*, int64_t, int64_t, const float* const*, int64_t, const float*, float);

template <bool Add, int... Index>
constexpr std::array<RowsKernel, sizeof...(Index)> rows_kernels(std::integer_sequence<int, Index...>) {
  return {{correlate_rows<Index + 1, Add>...}};
}

// Correlates planes of one geometry with filters; holds what is the same for all of them.
class PlaneCorrelator {
 public:
  explicit PlaneCorrelator(const Geometry& geometry) : y_(geometry.y), x_(geometry.x), pad_(y_, x_) {
    for (const int64_t ky : y_.live()) {
      for (const int64_t kx : x_.live()) live_.emplace_back(ky, kx);
    }
    taps_.resize(live_.size());
    weights_.resize(live_.size());
  }

  // `filter` has y.taps * x.taps values; `reversed` reads it from its end (the adjoint's filter).
  void operator()(const float* plane, const float* filter, bool reversed, float bias, float* out) {
    using Counts = std::make_integer_sequence<int, kFused>;
    static constexpr auto set = rows_kernels<false>(Counts{});
    static constexpr auto add = rows_kernels<true>(Counts{});
    const PaddedPlane padded = pad_(plane);
    const int64_t last = y_.taps * x_.taps - 1;
    const int count = static_cast<int>(live_.size());
    for (int i = 0; i < count; ++i) {
      const auto [ky, kx] = live_[i];
      const int64_t index = ky * x_.taps + kx;
      taps_[i] = padded.origin + y_.source(0, ky) * padded.pitch + x_.source(0, kx);
      weights_[i] = filter[reversed ? last - index : index];
    }
    if (count == 0) std::fill_n(out, y_.out * x_.out, bias);
    for (int first = 0; first < count; first += kFused) {
      const auto& kernels = first == 0 ? set : add;
      kernels[std::min(kFused, count - first) - 1](out, y_.out, x_.out, taps_.data() + first, padded.pitch,
                                                   weights_.data() + first, bias);
    }
  }

 private:
  Axis y_, x_;
  Padder pad_;
  std::vector<std::pair<int64_t, int64_t>> live_;  // the taps (ky, kx) that meet the image
  std::vector<const float*> taps_;
  std::vector<float> weights_;
};

void forward_planes(const Geometry& g, const float* input, const float* weight, const float* bias,
                    float* out) {
  const int64_t in_plane = g.y.in * g.x.in, out_plane = g.y.out * g.x.out;
  at::parallel_for(0, g.batch * g.channels, grain(out_plane * g.taps()), [&](int64_t begin, int64_t end) {
    PlaneCorrelator correlate(g);
    for (int64_t plane = begin; plane < end; ++plane) {
      const int64_t channel = plane % g.channels;
      correlate(input + plane * in_plane, weight + channel * g.taps(), false, bias ? bias[channel] : 0.f,
                out + plane * out_plane);
    }
  });
}

// Rows summed in float before their total goes to a double: short enough to keep the rounding error of a
// large map near that of one row, and to stay in the first-level cache.
constexpr int64_t kBlockRows = 16;
constexpr int kFusedDots = 3;

// sums[k] += sum over rows and x of gradient[x] * taps[x + k * dilation].
template <int Taps>
void dot_rows(const float* gradient, int64_t rows, int64_t count, const float* taps, int64_t pitch,
              int64_t dilation, double* sums) {
  Lanes even[Taps] = {}, odd[Taps] = {};  // two chains, to hide the latency of an addition
  float rest[Taps] = {};
  for (int64_t row = 0; row < rows; ++row, gradient += count, taps += pitch) {
    int64_t x = 0;
    for (; x + 2 * kLanes <= count; x += 2 * kLanes) {
      const Lanes first = load(gradient + x), second = load(gradient + x + kLanes);
      for (int k = 0; k < Taps; ++k) {
        even[k] += first * load(taps + x + k * dilation);
        odd[k] += second * load(taps + x + kLanes + k * dilation);
      }
    }
    for (; x + kLanes <= count; x += kLanes) {
      const Lanes first = load(gradient + x);
      for (int k = 0; k < Taps; ++k) even[k] += first * load(taps + x + k * dilation);
    }
    for (; x < count; ++x) {
      for (int k = 0; k < Taps; ++k) rest[k] += gradient[x] * taps[x + k * dilation];
    }
  }
  for (int k = 0; k < Taps; ++k) sums[k] += sum_of(even[k] + odd[k]) + rest[k];
}

// sums[ky, kx] += the filter's gradient from one plane.
void dot_plane(const Geometry& g, const std::vector<int64_t>& live_y, const std::vector<int64_t>& live_x,
               const float* gradient, const PaddedPlane& input, double* sums) {
  const int64_t columns = live_x.size();  // live taps are neighbours
  for (int64_t block = 0; block < g.y.out; block += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, g.y.out - block);
    for (const int64_t ky : live_y) {
      for (int64_t first = 0; first < columns; first += kFusedDots) {
        const int64_t kx = live_x[first], left = columns - first;
        const auto dot = left >= kFusedDots ? dot_rows<kFusedDots> : left == 2 ? dot_rows<2> : dot_rows<1>;
        dot(gradient + block * g.x.out, rows, g.x.out,
            input.origin + g.y.source(block, ky) * input.pitch + g.x.source(0, kx), input.pitch, g.x.dilation,
            sums + ky * g.x.taps + kx);
      }
    }
  }
}

double sum_plane(const float* values, int64_t rows, int64_t count) {
  double sum = 0;
  for (int64_t block = 0; block < rows * count; block += kBlockRows * count) {
    const int64_t end = std::min(block + kBlockRows * count, rows * count);
    Lanes even = {}, odd = {};
    int64_t i = block;
    for (; i + 2 * kLanes <= end; i += 2 * kLanes) {
      even += load(values + i);
      odd += load(values + i + kLanes);
    }
    sum += sum_of(even + odd);
    for (; i < end; ++i) sum += values[i];
  }
  return sum;
}

// Any of the three results may be null. A channel belongs to one thread, which takes its images in order.
void backward_planes(const Geometry& g, const float* gradient, const float* input, const float* weight,
                     float* grad_input, float* grad_weight, float* grad_bias) {
  const int64_t in_plane = g.y.in * g.x.in, out_plane = g.y.out * g.x.out;
  at::parallel_for(0, g.channels, grain(g.batch * out_plane * g.taps()), [&](int64_t begin, int64_t end) {
    PlaneCorrelator correlate(g.adjoint());
    Padder pad(g.y, g.x);
    const auto live_y = g.y.live(), live_x = g.x.live();
    std::vector<double> sums(g.taps());
    for (int64_t channel = begin; channel < end; ++channel) {
      std::fill(sums.begin(), sums.end(), 0.);
      double bias_sum = 0;
      for (int64_t image = 0; image < g.batch; ++image) {
        const int64_t plane = image * g.channels + channel;
        const float* from = gradient + plane * out_plane;
        if (grad_input) {
          correlate(from, weight + channel * g.taps(), true, 0.f, grad_input + plane * in_plane);
        }
        if (grad_weight) dot_plane(g, live_y, live_x, from, pad(input + plane * in_plane), sums.data());
        if (grad_bias) bias_sum += sum_plane(from, g.y.out, g.x.out);
      }
      if (grad_weight) std::copy(sums.begin(), sums.end(), grad_weight + channel * g.taps());
      if (grad_bias) grad_bias[channel] = static_cast<float>(bias_sum);
    }
  });
}

// ---- Channels-last: all channels of a pixel at a time -----------------------------------------------------

// Filters and their sums lie in blocks of kLanes channels, (C / kLanes, taps, kLanes), so that the taps of a
// channel are neighbours in memory: at a distance of C they would compete for the same lines of the cache.
int64_t blocks_of(int64_t channels) { return (channels + kLanes - 1) / kLanes; }

// (C, taps) to blocks, the last padded with zeros.
std::vector<float> blocked_filters(const Geometry& g, const float* weight, bool reversed) {
  const int64_t taps = g.taps();
  std::vector<float> filters(blocks_of(g.channels) * taps * kLanes, 0.f);
  for (int64_t c = 0; c < g.channels; ++c) {
    float* to = filters.data() + c / kLanes * taps * kLanes + c % kLanes;
    for (int64_t tap = 0; tap < taps; ++tap) {
      to[tap * kLanes] = weight[c * taps + (reversed ? taps - 1 - tap : tap)];
    }
  }
  return filters;
}

constexpr int kPixels = 8;  // neighbouring output pixels that share a load of the weights

// Taps that lie side by side in a row of the input.
template <typename T>
struct RowTaps {
  const T* input;       // the pixel under the first tap
  const float* weight;  // the first tap's weights in the first block; the next tap's follow
};

// Taps of a row go by threes where they can, else one by one.
int64_t taps_together(const Run& run) { return run.taps.size() % 3 == 0 ? 3 : 1; }

// Neighbouring channels that are gone through together; the first is that of a block.
struct Slab {
  int64_t begin, end;
  int64_t width() const { return end - begin; }
};

// Under a dilation, channels go by this many: 64 bytes of bfloat16.
constexpr int64_t kSlab = 32;

// A dilated filter reads rows that are far apart, and pixels that are often a power of two apart: they would compete
// for the same few lines of the cache. Copied side by side, the slab's channels stay there.
bool is_packed(const Geometry& g) { return g.channels > kSlab && (g.y.dilation > 1 || g.x.dilation > 1); }

int64_t slabs_of(int64_t channels) { return (channels + kSlab - 1) / kSlab; }

Slab slab_at(int64_t index, int64_t channels) {
  return {index * kSlab, std::min(channels, (index + 1) * kSlab)};
}

// A slab's channels of so many pixels, one pixel after the other.
template <typename T>
void pack(const T* pixels, int64_t count, int64_t channels, const Slab& slab, float* to) {
  constexpr int64_t kAhead = 16;  // pixels whose line is on its way: no prefetcher of the processor goes so far
  for (int64_t pixel = 0; pixel < count; ++pixel) {
    const T* from = pixels + pixel * channels + slab.begin;
    __builtin_prefetch(from + kAhead * channels);
    int64_t k = 0;
    for (; k + kLanes <= slab.width(); k += kLanes) store(to + k, load(from + k));
    for (; k < slab.width(); ++k) to[k] = static_cast<float>(from[k]);
    to += slab.width();
  }
}

// What the output pixels of a run have in common.
struct RunShape {
  int64_t from;   // values from a pixel of the input to the next
  int64_t to;     // values from a pixel of the output to the next
  int64_t apart;  // values from the pixel under a tap to that under the next
  int64_t block;  // floats from a block of weights to the next
  const float* bias;
};

// A slab's channels of `Pixels` neighbouring output pixels, `Taps` taps to an entry of `rows`, which are of the slab.
// `Dense`: with a dilation of 1, a pixel of the input is loaded once for all the output pixels under it.
template <int Pixels, int Taps, bool Dense, typename From, typename To>
void correlate_pixels(const std::vector<RowTaps<From>>& rows, const RunShape& shape, const Slab& slab, To* out) {
  const float* bias = shape.bias ? shape.bias + slab.begin : nullptr;
  const int64_t first_block = slab.begin / kLanes;
  int64_t k = 0;
  for (; k + kLanes <= slab.width(); k += kLanes) {
    Lanes sum[Pixels];
    for (int p = 0; p < Pixels; ++p) sum[p] = bias ? load(bias + k) : Lanes{};
    for (const RowTaps<From>& row : rows) {
      const From* input = row.input + k;
      const float* from = row.weight + (first_block + k / kLanes) * shape.block;
      Lanes weight[Taps];
      for (int t = 0; t < Taps; ++t) weight[t] = load(from + t * kLanes);
      if (Dense) {
        for (int column = 0; column < Pixels + Taps - 1; ++column) {
          const Lanes value = load(input + column * shape.from);
          for (int t = 0; t < Taps; ++t) {
            if (column >= t && column - t < Pixels) sum[column - t] += weight[t] * value;
          }
        }
      } else {
        for (int t = 0; t < Taps; ++t) {
          for (int p = 0; p < Pixels; ++p) sum[p] += weight[t] * load(input + t * shape.apart + p * shape.from);
        }
      }
    }
    for (int p = 0; p < Pixels; ++p) store(out + p * shape.to + k, sum[p]);
  }
  for (; k < slab.width(); ++k) {
    for (int p = 0; p < Pixels; ++p) {
      float sum = bias ? bias[k] : 0.f;
      for (const RowTaps<From>& row : rows) {
        const float* weight = row.weight + (first_block + k / kLanes) * shape.block + k % kLanes;
        for (int t = 0; t < Taps; ++t) {
          sum += weight[t * kLanes] * static_cast<float>(row.input[t * shape.apart + p * shape.from + k]);
        }
      }
      out[p * shape.to + k] = static_cast<To>(sum);
    }
  }
}

template <int Taps, typename From, typename To>
void correlate_run(std::vector<RowTaps<From>>& rows, const RunShape& shape, const Slab& slab, int64_t count, To* out) {
  const bool dense = shape.apart == shape.from;
  const auto correlate = dense ? correlate_pixels<kPixels, Taps, true, From, To>
                               : correlate_pixels<kPixels, Taps, false, From, To>;
  const auto advance = [&](int64_t pixels) {
    for (RowTaps<From>& row : rows) row.input += pixels * shape.from;
    out += pixels * shape.to;
  };
  int64_t x = 0;
  for (; x + kPixels <= count; x += kPixels, advance(kPixels)) correlate(rows, shape, slab, out);
  for (; x < count; ++x, advance(1)) correlate_pixels<1, Taps, false, From, To>(rows, shape, slab, out);
}

// One row of the output. `image` is the slab's first channel of the first pixel, and so is `out` of the row's. `rows` is
// room to work in, which a thread has once.
template <typename From, typename To>
void correlate_row(const Geometry& g, const std::vector<Run>& runs, const Slab& slab, const From* image, int64_t from,
                   int64_t y, const float* filters, const float* bias, std::vector<RowTaps<From>>& rows, To* out) {
  const RunShape shape = {from, g.channels, g.x.dilation * from, g.taps() * kLanes, bias};
  for (const Run& run : runs) {
    const int64_t width = taps_together(run);
    rows.clear();
    for (int64_t ky = 0; ky < g.y.taps; ++ky) {
      if (!g.y.meets_input(y, ky)) continue;
      for (size_t first = 0; first < run.taps.size(); first += width) {
        const int64_t kx = run.taps[first];
        const int64_t pixel = g.y.source(y, ky) * g.x.in + g.x.source(run.begin, kx);
        rows.push_back({image + pixel * from, filters + (ky * g.x.taps + kx) * kLanes});
      }
    }
    const auto correlate = width == 3 ? correlate_run<3, From, To> : correlate_run<1, From, To>;
    correlate(rows, shape, slab, run.end - run.begin, out + run.begin * shape.to);
  }
}

// `filters` is in blocks, and reversed for the adjoint.
template <typename T>
void correlate_channels_last(const Geometry& g, const T* input, const float* filters, const float* bias, T* out) {
  const int64_t channels = g.channels, rows = g.y.out;
  const int64_t pixels_in = g.y.in * g.x.in, row_out = g.x.out * channels;
  const std::vector<Run> runs = g.x.runs();
  if (is_packed(g)) {
    at::parallel_for(0, slabs_of(channels) * g.batch, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> packed(pixels_in * kSlab);
      std::vector<RowTaps<float>> taps;
      for (int64_t item = begin; item < end; ++item) {
        const Slab slab = slab_at(item / g.batch, channels);
        const int64_t image = item % g.batch;
        pack(input + image * pixels_in * channels, pixels_in, channels, slab, packed.data());
        for (int64_t y = 0; y < rows; ++y) {
          correlate_row(g, runs, slab, packed.data(), slab.width(), y, filters, bias, taps,
                        out + (image * rows + y) * row_out + slab.begin);
        }
      }
    });
    return;
  }
  at::parallel_for(0, g.batch * rows, grain(row_out * g.taps()), [&](int64_t begin, int64_t end) {
    std::vector<RowTaps<T>> taps;
    for (int64_t index = begin; index < end; ++index) {
      const T* image = input + index / rows * pixels_in * channels;
      correlate_row(g, runs, {0, channels}, image, channels, index % rows, filters, bias, taps, out + index * row_out);
    }
  });
}

// sums[v * block + t * kLanes + c] += sum over `count` pixels of gradient[c] * (the input under tap t)[c],
// for `Vectors` blocks of channels and `Taps` taps.
template <int Vectors, int Taps, typename T>
void dot_pixels(const T* gradient, const T* input, const RunShape& shape, int64_t count, float* sums) {
  Lanes sum[Taps][Vectors] = {};
  for (int64_t pixel = 0; pixel < count; ++pixel) {
    for (int v = 0; v < Vectors; ++v) {
      const Lanes value = load(gradient + v * kLanes);
      for (int t = 0; t < Taps; ++t) sum[t][v] += value * load(input + t * shape.apart + v * kLanes);
    }
    gradient += shape.from;
    input += shape.from;
  }
  for (int t = 0; t < Taps; ++t) {
    for (int v = 0; v < Vectors; ++v) {
      float* to = sums + v * shape.block + t * kLanes;
      store(to, load(to) + sum[t][v]);
    }
  }
}

// The same for one channel and one tap.
template <typename T>
void dot_channel(const T* gradient, const T* input, int64_t stride, int64_t count, float* sum) {
  float total = 0;
  for (int64_t i = 0; i < count; ++i) {
    total += static_cast<float>(gradient[i * stride]) * static_cast<float>(input[i * stride]);
  }
  *sum += total;
}

// sums (in blocks, from the slab's first) += the filters' gradient from one row of the output's gradient. The row and the
// image begin with the slab's first channel, and their pixels are `stride` values apart.
template <typename T>
void dot_row_channels_last(const Geometry& g, const std::vector<Run>& runs, int64_t channels, const T* gradient,
                           const T* image, int64_t stride, int64_t row, float* sums) {
  constexpr int64_t kVectors = 4;
  const RunShape shape = {stride, stride, g.x.dilation * stride, g.taps() * kLanes, nullptr};
  for (int64_t ky = 0; ky < g.y.taps; ++ky) {
    if (!g.y.meets_input(row, ky)) continue;
    const T* input_row = image + g.y.source(row, ky) * g.x.in * stride;
    for (const Run& run : runs) {
      const int64_t count = run.end - run.begin;
      const int64_t width = taps_together(run);
      for (size_t first = 0; first < run.taps.size(); first += width) {
        const int64_t kx = run.taps[first];
        const T* from = gradient + run.begin * stride;
        const T* input = input_row + g.x.source(run.begin, kx) * stride;
        float* sum = sums + (ky * g.x.taps + kx) * kLanes;
        const auto wide = width == 3 ? dot_pixels<kVectors, 3, T> : dot_pixels<kVectors, 1, T>;
        const auto narrow = width == 3 ? dot_pixels<1, 3, T> : dot_pixels<1, 1, T>;
        int64_t c = 0;
        for (; c + kVectors * kLanes <= channels; c += kVectors * kLanes) {
          wide(from + c, input + c, shape, count, sum + c / kLanes * shape.block);
        }
        for (; c + kLanes <= channels; c += kLanes) {
          narrow(from + c, input + c, shape, count, sum + c / kLanes * shape.block);
        }
        for (; c < channels; ++c) {
          for (int64_t t = 0; t < width; ++t) {
            dot_channel(from + c, input + t * shape.apart + c, stride, count,
                        sum + c / kLanes * shape.block + t * kLanes + c % kLanes);
          }
        }
      }
    }
  }
}

// sums[c] += the values of so many pixels.
template <typename T>
void sum_pixels(const T* pixels, int64_t count, int64_t channels, float* sums) {
  for (int64_t x = 0; x < count; ++x) {
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) sums[c] += static_cast<float>(pixels[x * channels + c]);
  }
}

// The gradients of filter (C, taps) and bias; either may be null. Rows are summed in a number of chunks that
// does not depend on the threads, and the chunks in order.
template <typename T>
void reduce_channels_last(const Geometry& g, const T* gradient, const T* input, float* grad_weight, float* grad_bias) {
  constexpr int64_t kMostChunks = 32, kPixelsPerChunk = 32;
  const int64_t channels = g.channels, taps = g.taps(), rows = g.batch * g.y.out;
  const int64_t pixels_in = g.y.in * g.x.in, row_out = g.x.out * channels;
  const int64_t chunks = std::min({kMostChunks, rows, rows * g.x.out / kPixelsPerChunk + 1});
  const int64_t bias_at = blocks_of(channels) * taps * kLanes, chunk_size = bias_at + channels;
  const std::vector<Run> runs = g.x.runs();
  std::vector<float> partial(chunks * chunk_size, 0.f);
  const auto first_row = [&](int64_t chunk) { return rows * chunk / chunks; };
  if (grad_weight && is_packed(g)) {
    at::parallel_for(0, slabs_of(channels), 1, [&](int64_t begin, int64_t end) {
      std::vector<float> packed(pixels_in * kSlab), packed_row(g.x.out * kSlab);
      for (int64_t index = begin; index < end; ++index) {
        const Slab slab = slab_at(index, channels);
        for (int64_t chunk = 0; chunk < chunks; ++chunk) {
          float* sums = partial.data() + chunk * chunk_size + slab.begin * taps;
          for (int64_t row = first_row(chunk); row < first_row(chunk + 1); ++row) {
            const int64_t y = row % g.y.out;
            if (y == 0) pack(input + row / g.y.out * pixels_in * channels, pixels_in, channels, slab, packed.data());
            pack(gradient + row * row_out, g.x.out, channels, slab, packed_row.data());
            dot_row_channels_last(g, runs, slab.width(), packed_row.data(), packed.data(), slab.width(), y, sums);
          }
        }
      }
    });
  }
  const bool dot_rows = grad_weight && !is_packed(g);
  at::parallel_for(0, chunks, grain(rows / chunks * g.x.out * chunk_size), [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      float* sums = partial.data() + chunk * chunk_size;
      for (int64_t row = first_row(chunk); row < first_row(chunk + 1); ++row) {
        const T* from = gradient + row * row_out;
        if (dot_rows) {
          const T* image = input + row / g.y.out * pixels_in * channels;
          dot_row_channels_last(g, runs, channels, from, image, channels, row % g.y.out, sums);
        }
        if (grad_bias) sum_pixels(from, g.x.out, channels, sums + bias_at);
      }
    }
  });
  std::vector<double> total(chunk_size, 0.);
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
#pragma omp simd
    for (int64_t i = 0; i < chunk_size; ++i) total[i] += partial[chunk * chunk_size + i];
  }
  for (int64_t c = 0; c < channels; ++c) {
    if (grad_weight) {
      const double* from = total.data() + c / kLanes * taps * kLanes + c % kLanes;
      for (int64_t tap = 0; tap < taps; ++tap) grad_weight[c * taps + tap] = from[tap * kLanes];
    }
    if (grad_bias) grad_bias[c] = total[bias_at + c];
  }
}

// ---- Operators --------------------------------------------------------------------------------------------

bool is_plain(const Tensor& tensor) {
  return tensor.device().is_cpu() && tensor.layout() == at::kStrided &&
      (tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kBFloat16);
}

void check_arguments(const Tensor& input, const Tensor& weight, IntArrayRef stride, IntArrayRef padding,
                     IntArrayRef dilation) {
  TORCH_CHECK(input.dim() == 4, "depthwise_conv2d: input must be (N, C, H, W), got ", input.sizes());
  TORCH_CHECK(weight.dim() == 4 && weight.size(1) == 1,
              "depthwise_conv2d: weight must be (C * multiplier, 1, kernel height, kernel width), got ",
              weight.sizes());
  TORCH_CHECK(input.size(1) > 0 && weight.size(0) > 0 && weight.size(0) % input.size(1) == 0,
              "depthwise_conv2d: weight's first size must be a multiple of the input's channels, got weight ",
              weight.sizes(), " for input ", input.sizes());
  TORCH_CHECK(stride.size() == 2 && padding.size() == 2 && dilation.size() == 2,
              "depthwise_conv2d: stride, padding and dilation each take two numbers (vertical, horizontal)");
}

// Whether the kernels above compute this; at::conv2d takes the rest and reports what is wrong with it.
bool has_kernel(const Tensor& input, const Tensor& weight, const OptionalTensor& bias, IntArrayRef stride,
                IntArrayRef padding, IntArrayRef dilation) {
  if (!is_plain(input) || !is_plain(weight)) return false;
  // Autocast leaves the filter as it is.
  if (input.scalar_type() != weight.scalar_type() && input.scalar_type() != at::kBFloat16) return false;
  if (weight.size(0) != input.size(1) || input.numel() == 0 || weight.numel() == 0) return false;
  if (bias.has_value() && bias->defined() &&
      (!is_plain(*bias) || bias->dim() != 1 || bias->size(0) != input.size(1))) {
    return false;
  }
  for (int axis = 0; axis < 2; ++axis) {
    if (stride[axis] != 1 || padding[axis] < 0 || dilation[axis] < 1) return false;
  }
  const Geometry g = geometry_of(input, weight, padding, dilation);
  return g.y.out > 0 && g.x.out > 0;
}

at::MemoryFormat format_of(const Tensor& input) {
  const bool channels_last = input.is_contiguous(at::MemoryFormat::ChannelsLast) && !input.is_contiguous();
  return channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

// Calls `f` with a value of the dtype that a map has.
template <typename F>
void with_values_of(const Tensor& map, const F& f) {
  if (map.scalar_type() == at::kBFloat16) {
    f(at::BFloat16());
  } else {
    f(0.f);
  }
}

// oneDNN's kernel is the faster one for the forward pass of a dense 3x3 filter in channels-last and float32; it too
// gives the same result for any number of threads.
bool is_faster_in_onednn(const Tensor& input, at::MemoryFormat format, const Tensor& weight, IntArrayRef dilation) {
  return input.scalar_type() == at::kFloat && format == at::MemoryFormat::ChannelsLast && weight.size(2) == 3 &&
         weight.size(3) == 3 && dilation[0] == 1 && dilation[1] == 1 && at::hasMKLDNN() &&
         at::globalContext().userEnabledMkldnn();
}

Tensor library_forward(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                       IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation) {
  check_arguments(input, weight, stride, padding, dilation);
  return at::conv2d(input, weight, bias, stride, padding, dilation, input.size(1));
}

Gradients library_backward(const Tensor& grad_output, const Tensor& input, const Tensor& weight,
                           IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                           std::array<bool, 3> output_mask) {
  check_arguments(input, weight, stride, padding, dilation);
  const int64_t bias_size = weight.size(0);
  // libtorch's takes one dtype; autograd turns what comes of it into each argument's own.
  const Tensor filter = weight.to(input.scalar_type());
  return at::convolution_backward(grad_output, input, filter, IntArrayRef(bias_size), stride, padding,
                                  dilation, /*transposed=*/false, IntArrayRef{0, 0}, input.size(1),
                                  output_mask);
}

Tensor cpu_forward(const Tensor& input, const Tensor& weight, const OptionalTensor& bias, IntArrayRef stride,
                   IntArrayRef padding, IntArrayRef dilation) {
  check_arguments(input, weight, stride, padding, dilation);
  const at::MemoryFormat format = format_of(input);
  if (!has_kernel(input, weight, bias, stride, padding, dilation) ||
      is_faster_in_onednn(input, format, weight, dilation)) {
    return library_forward(input, weight, bias, stride, padding, dilation);
  }
  const Geometry g = geometry_of(input, weight, padding, dilation);
  const Tensor filter = weight.to(at::kFloat).contiguous();
  const Tensor offset = bias.has_value() && bias->defined() ? bias->to(at::kFloat).contiguous() : Tensor();
  const float* filter_data = filter.data_ptr<float>();
  const float* bias_data = offset.defined() ? offset.data_ptr<float>() : nullptr;
  const std::vector<int64_t> size = {g.batch, g.channels, g.y.out, g.x.out};
  if (format == at::MemoryFormat::ChannelsLast) {
    const Tensor in = input.contiguous(format), out = at::empty(size, in.options(), format);
    const std::vector<float> filters = blocked_filters(g, filter_data, false);
    with_values_of(in, [&](auto value) {
      using T = decltype(value);
      correlate_channels_last(g, in.data_ptr<T>(), filters.data(), bias_data, out.data_ptr<T>());
    });
    return out;
  }
  // Planes are laid out anew to be read, so that they may as well be widened.
  const Tensor in = input.to(at::kFloat).contiguous(), out = at::empty(size, in.options());
  forward_planes(g, in.data_ptr<float>(), filter_data, bias_data, out.data_ptr<float>());
  return out.to(input.scalar_type());
}

Gradients cpu_backward(const Tensor& grad_output, const Tensor& input, const Tensor& weight,
                       IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                       std::array<bool, 3> output_mask) {
  check_arguments(input, weight, stride, padding, dilation);
  if (grad_output.scalar_type() != input.scalar_type() || !is_plain(grad_output) ||
      !has_kernel(input, weight, {}, stride, padding, dilation)) {
    return library_backward(grad_output, input, weight, stride, padding, dilation, output_mask);
  }
  const Geometry g = geometry_of(input, weight, padding, dilation);
  TORCH_CHECK(grad_output.sizes() == IntArrayRef({g.batch, g.channels, g.y.out, g.x.out}),
              "depthwise_conv2d_backward: grad_output must have the shape of the output, (", g.batch, ", ",
              g.channels, ", ", g.y.out, ", ", g.x.out, "), got ", grad_output.sizes());
  const at::MemoryFormat format = format_of(input);
  const Tensor filter = weight.to(at::kFloat).contiguous();
  const float* filter_data = filter.data_ptr<float>();
  Tensor grad_input, grad_weight, grad_bias;
  if (output_mask[1]) grad_weight = at::empty(weight.sizes(), filter.options());
  if (output_mask[2]) grad_bias = at::empty({g.channels}, filter.options());
  const auto results = [&]() -> Gradients {
    const auto as = [](const Tensor& like, const Tensor& t) { return t.defined() ? t.to(like.scalar_type()) : t; };
    return {as(input, grad_input), as(weight, grad_weight), as(weight, grad_bias)};
  };
  const auto data_of = [](const Tensor& t) { return t.defined() ? t.data_ptr<float>() : nullptr; };
  if (format == at::MemoryFormat::ChannelsLast) {
    const Tensor gradient = grad_output.contiguous(format), in = input.contiguous(format);
    with_values_of(in, [&](auto value) {
      using T = decltype(value);
      const T* gradient_data = gradient.data_ptr<T>();
      if (output_mask[0]) {
        grad_input = at::empty(input.sizes(), in.options(), format);
        const std::vector<float> filters = blocked_filters(g, filter_data, true);
        correlate_channels_last(g.adjoint(), gradient_data, filters.data(), nullptr, grad_input.data_ptr<T>());
      }
      if (output_mask[1] || output_mask[2]) {
        reduce_channels_last(g, gradient_data, in.data_ptr<T>(), data_of(grad_weight), data_of(grad_bias));
      }
    });
    return results();
  }
  const Tensor gradient = grad_output.to(at::kFloat).contiguous(), in = input.to(at::kFloat).contiguous();
  if (output_mask[0]) grad_input = at::empty(input.sizes(), in.options());
  backward_planes(g, gradient.data_ptr<float>(), in.data_ptr<float>(), filter_data, data_of(grad_input),
                  data_of(grad_weight), data_of(grad_bias));
  return results();
}

// A gradient that itself needs a gradient is libtorch's, which records it.
Gradients autograd_backward(const Tensor& grad_output, const Tensor& input, const Tensor& weight,
                            IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                            std::array<bool, 3> output_mask) {
  const bool records = at::GradMode::is_enabled() &&
                       (grad_output.requires_grad() || input.requires_grad() || weight.requires_grad());
  if (records || !grad_output.device().is_cpu()) {
    return library_backward(grad_output, input, weight, stride, padding, dilation, output_mask);
  }
  at::AutoDispatchBelowADInplaceOrView below;
  return cpu_backward(grad_output, input, weight, stride, padding, dilation, output_mask);
}

struct DepthwiseConvolution : torch::autograd::Function<DepthwiseConvolution> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& input, const Tensor& weight,
                        const OptionalTensor& bias, IntArrayRef stride, IntArrayRef padding,
                        IntArrayRef dilation) {
    context->save_for_backward({input, weight});
    context->saved_data["stride"] = stride.vec();
    context->saved_data["padding"] = padding.vec();
    context->saved_data["dilation"] = dilation.vec();
    context->saved_data["has_bias"] = bias.has_value() && bias->defined();
    at::AutoDispatchBelowADInplaceOrView below;
    return cpu_forward(input, weight, bias, stride, padding, dilation);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const bool has_bias = context->saved_data["has_bias"].toBool();
    const std::array<bool, 3> mask = {context->needs_input_grad(0), context->needs_input_grad(1),
                                      has_bias && context->needs_input_grad(2)};
    const auto result = autograd_backward(
        gradients[0], saved[0], saved[1], context->saved_data["stride"].toIntVector(),
        context->saved_data["padding"].toIntVector(), context->saved_data["dilation"].toIntVector(), mask);
    return {std::get<0>(result), std::get<1>(result), std::get<2>(result), Tensor(), Tensor(), Tensor()};
  }
};

Tensor autograd_forward(const Tensor& input, const Tensor& weight, const OptionalTensor& bias,
                        IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation) {
  check_arguments(input, weight, stride, padding, dilation);
  if (!has_kernel(input, weight, bias, stride, padding, dilation)) {
    return library_forward(input, weight, bias, stride, padding, dilation);
  }
  return DepthwiseConvolution::apply(input, weight, bias, stride, padding, dilation);
}

TORCH_LIBRARY(pgpc, m) {
  m.def(
      "depthwise_conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0, "
      "int[2] dilation=1) -> Tensor");
  m.def(
      "depthwise_conv2d_backward(Tensor grad_output, Tensor input, Tensor weight, int[2] stride, "
      "int[2] padding, int[2] dilation, bool[3] output_mask) -> (Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(pgpc, CPU, m) {
  m.impl("depthwise_conv2d", cpu_forward);
  m.impl("depthwise_conv2d_backward", cpu_backward);
}

TORCH_LIBRARY_IMPL(pgpc, CompositeExplicitAutograd, m) {
  m.impl("depthwise_conv2d", library_forward);
  m.impl("depthwise_conv2d_backward", library_backward);
}

TORCH_LIBRARY_IMPL(pgpc, Autograd, m) {
  m.impl("depthwise_conv2d", autograd_forward);
  m.impl("depthwise_conv2d_backward", autograd_backward);
}

// libtorch's bfloat16 kernel of a dilated one takes many times as long as that of float32.
Tensor autocast_forward(const Tensor& input, const Tensor& weight, const OptionalTensor& bias, IntArrayRef stride,
                        IntArrayRef padding, IntArrayRef dilation) {
  check_arguments(input, weight, stride, padding, dilation);
  const bool narrow = autocastDtype() == at::kBFloat16;
  if (!narrow || !has_kernel(input, weight, bias, stride, padding, dilation)) {
    return library_forward(input, weight, bias, stride, padding, dilation);
  }
  c10::impl::ExcludeDispatchKeyGuard plain(c10::DispatchKey::AutocastCPU);
  return autograd_forward(input.to(at::kBFloat16), weight, bias, stride, padding, dilation);
}

// Autocast casts the arguments of at::conv2d by its own rules.
TORCH_LIBRARY_IMPL(pgpc, AutocastCPU, m) { m.impl("depthwise_conv2d", autocast_forward); }
TORCH_LIBRARY_IMPL(pgpc, AutocastCUDA, m) { m.impl("depthwise_conv2d", library_forward); }

}  // namespace
