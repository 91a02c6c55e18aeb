// 3x3 convolution of stride 1 and padding 1 on the CPU by Winograd's F(2x2, 3x3) (Lavin and Gray, arXiv 1509.09308),
// with its gradient, as an operator of libtorch's dispatcher.
//
//   pgpc::winograd_conv2d   y[n,o,i,j] = b[o] + sum_{c,k,l} w[o,c,k,l] x[n,c,i+k-1,j+l-1]
//
// An output tile of 2x2 comes from an input tile d of 4x4 as A' [ (G g G') * (B' d B) ] A. The products * over all
// channels are 16 matrix products, with 16 multiplications for what takes 36 directly: 2.25 times fewer. Filters and
// tiles are transformed by additions and halvings alone, so float32 loses no more digits than by the direct sum.
//
// float32 planes on the CPU with many channels are computed here; all else goes to at::conv2d.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace winograd {
namespace {

using at::Tensor;
using OptionalTensor = c10::optional<Tensor>;

constexpr int64_t kPoints = 16;  // values of a transformed tile: as many matrix products

// With fewer channels, filters or tiles the transforms cost more than the products save (docs/results/speed.md).
constexpr int64_t kLeastChannels = 64, kLeastFilters = 96 * 96, kLeastTiles = 512, kLeastWidth = 16;

// Transformed values of a chunk of tiles: so few that they add little to a step's memory.
constexpr int64_t kChunk = int64_t{1} << 23;

const std::array<int64_t, 2> kOnes = {1, 1}, kZeros = {0, 0};

Tensor library_forward(const Tensor& input, const Tensor& weight, const OptionalTensor& bias) {
  return at::conv2d(input, weight, bias, kOnes, kOnes, kOnes, 1);
}

// ---- Tiles ------------------------------------------------------------------------------------------------

// Images of one size, cut into tiles of 2x2 output pixels. Rows of tiles are counted over all images.
struct Tiles {
  int64_t batch, height, width;

  int64_t down() const { return (height + 1) / 2; }
  int64_t across() const { return (width + 1) / 2; }
  int64_t rows() const { return batch * down(); }
};

Tiles tiles_of(const Tensor& images) { return {images.size(0), images.size(2), images.size(3)}; }

bool is_plain(const Tensor& t) {
  return t.device().is_cpu() && t.layout() == at::kStrided && t.scalar_type() == at::kFloat;
}

bool has_kernel(const Tensor& input, const Tensor& weight, const OptionalTensor& bias) {
  if (input.dim() != 4 || weight.dim() != 4 || !is_plain(input) || !is_plain(weight)) return false;
  if (weight.size(1) != input.size(1) || weight.size(2) != 3 || weight.size(3) != 3) return false;
  if (bias.has_value() && bias->defined()) {
    if (bias->dim() != 1 || bias->size(0) != weight.size(0) || !is_plain(*bias)) return false;
  }
  const int64_t out = weight.size(0), in = weight.size(1);
  const Tiles tiles = tiles_of(input);
  return input.is_contiguous() && std::min(out, in) >= kLeastChannels && out * in >= kLeastFilters &&
         tiles.rows() * tiles.across() >= kLeastTiles && tiles.width >= kLeastWidth;
}

// Rows of tiles [begin, end), whose transformed values lie as (16, channels, tiles).
struct Chunk {
  const Tiles& tiles;
  int64_t begin, end;

  int64_t count() const { return (end - begin) * tiles.across(); }
};

// Calls `f(chunk, of_input, of_output)` with each chunk of the input's tiles in turn, and memory for its transformed values:
// (16, channels, tiles) each. All chunks but the last have one size and one memory.
template <typename F>
void for_each_chunk(const Tensor& input, int64_t out, const F& f) {
  const Tiles tiles = tiles_of(input);
  const int64_t in = input.size(1), per_row = kPoints * std::max(in, out) * tiles.across();
  const int64_t rows = std::clamp<int64_t>(kChunk / per_row, 1, tiles.rows());
  Tensor of_input, of_output;
  for (int64_t begin = 0; begin < tiles.rows(); begin += rows) {
    const Chunk chunk{tiles, begin, std::min(begin + rows, tiles.rows())};
    if (!of_input.defined() || of_input.size(2) != chunk.count()) {
      of_input = at::empty({kPoints, in, chunk.count()}, input.options());
      of_output = at::empty({kPoints, out, chunk.count()}, input.options());
    }
    f(chunk, of_input, of_output);
  }
}

// Calls `f(channel, row, plane, tile row in the image, values)` for every channel of every row of tiles of a chunk:
// `plane` is the channel's plane of the row's image, `values` the row's first transformed value of point 0.
template <typename Plane, typename Value, typename F>
void for_each_row(const Chunk& chunk, int64_t channels, Plane* planes, Value* values, const F& f) {
  const Tiles& tiles = chunk.tiles;
  const int64_t count = chunk.count(), plane = tiles.height * tiles.width;
  at::parallel_for(0, channels, std::max<int64_t>(1, 4096 / count), [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) {
      for (int64_t row = chunk.begin; row < chunk.end; ++row) {
        const int64_t image = row / tiles.down();
        f(planes + (image * channels + c) * plane, row % tiles.down(), c,
          values + c * count + (row - chunk.begin) * tiles.across());
      }
    }
  });
}

// Memory of this thread for the rows of a tile, until it asks for more.
float* scratch(int64_t size) {
  thread_local std::vector<float> memory;
  if (static_cast<int64_t>(memory.size()) < size) memory.resize(size);
  return memory.data();
}

// Row `y` of a plane with one zero on its left and zeros outside of the image. Even columns lie apart from odd ones, so
// that neighbouring tiles are neighbours in memory: tile t has the columns even[t], odd[t], even[t + 1], odd[t + 1].
void read_row(const Tiles& tiles, const float* plane, int64_t y, float* even, float* odd) {
  const int64_t across = tiles.across(), width = tiles.width, pairs = width / 2;
  if (y < 0 || y >= tiles.height) {
    std::fill_n(even, across + 1, 0.f);
    std::fill_n(odd, across + 1, 0.f);
    return;
  }
  const float* row = plane + y * width;
  even[0] = 0;
  for (int64_t t = 0; t < pairs; ++t) {
    odd[t] = row[2 * t];
    even[t + 1] = row[2 * t + 1];
  }
  if (width % 2) {
    odd[pairs] = row[width - 1];
    even[pairs + 1] = 0;
  }
  odd[across] = 0;
}

// B' d B of every tile of a chunk: (N, C, H, W) to (16, C, tiles).
void transform_input(const Chunk& chunk, int64_t channels, const float* input, float* out) {
  const int64_t across = chunk.tiles.across(), apart = channels * chunk.count();
  const int64_t half = across + 1, both = 2 * half;
  for_each_row(chunk, channels, input, out, [&](const float* plane, int64_t row, int64_t, float* to) {
    float* rows = scratch(4 * both);
    for (int64_t i = 0; i < 4; ++i) {
      read_row(chunk.tiles, plane, 2 * row - 1 + i, rows + i * both, rows + i * both + half);
    }
    float *r0 = rows, *r1 = r0 + both, *r2 = r1 + both, *r3 = r2 + both;
    for (int64_t t = 0; t < both; ++t) {
      const float d1 = r1[t], d2 = r2[t];
      r0[t] -= d2;
      r1[t] = d1 + d2;
      r2[t] = d2 - d1;
      r3[t] = d1 - r3[t];
    }
    for (int64_t i = 0; i < 4; ++i) {
      const float *even = rows + i * both, *odd = even + half;
      float *p0 = to + 4 * i * apart, *p1 = p0 + apart, *p2 = p1 + apart, *p3 = p2 + apart;
      for (int64_t t = 0; t < across; ++t) {
        p0[t] = even[t] - even[t + 1];
        p1[t] = odd[t] + even[t + 1];
        p2[t] = even[t + 1] - odd[t];
        p3[t] = odd[t] - odd[t + 1];
      }
    }
  });
}

// A' m A of every tile of a chunk, with the bias: (16, C, tiles) to (N, C, H, W).
void transform_output(const Chunk& chunk, int64_t channels, const float* products, const float* bias, float* out) {
  const Tiles& tiles = chunk.tiles;
  const int64_t across = tiles.across(), width = tiles.width, apart = channels * chunk.count();
  for_each_row(chunk, channels, out, products, [&](float* plane, int64_t row, int64_t c, const float* from) {
    float* sums = scratch(8 * across);  // A' m: (2, 4, across)
    for (int64_t j = 0; j < 4; ++j) {
      const float *m0 = from + j * apart, *m1 = m0 + 4 * apart, *m2 = m1 + 4 * apart, *m3 = m2 + 4 * apart;
      float *upper = sums + j * across, *lower = upper + 4 * across;
      for (int64_t t = 0; t < across; ++t) {
        upper[t] = m0[t] + m1[t] + m2[t];
        lower[t] = m1[t] - m2[t] - m3[t];
      }
    }
    const float shift = bias ? bias[c] : 0.f;
    for (int64_t i = 0; i < 2 && 2 * row + i < tiles.height; ++i) {
      const float *s0 = sums + 4 * i * across, *s1 = s0 + across, *s2 = s1 + across, *s3 = s2 + across;
      float* to = plane + (2 * row + i) * width;
      for (int64_t t = 0; t < width / 2; ++t) {
        to[2 * t] = s0[t] + s1[t] + s2[t] + shift;
        to[2 * t + 1] = s1[t] - s2[t] - s3[t] + shift;
      }
      if (width % 2) to[width - 1] = s0[across - 1] + s1[across - 1] + s2[across - 1] + shift;
    }
  });
}

// A g A' of every tile of a chunk, the transpose of the above: the products' gradients, (N, C, H, W) to (16, C, tiles).
void transform_gradient(const Chunk& chunk, int64_t channels, const float* gradient, float* out) {
  const Tiles& tiles = chunk.tiles;
  const int64_t across = tiles.across(), width = tiles.width, apart = channels * chunk.count();
  for_each_row(chunk, channels, gradient, out, [&](const float* plane, int64_t row, int64_t, float* to) {
    float* halves = scratch(4 * across);  // the two rows' even and odd columns: (2, 2, across)
    std::fill_n(halves, 4 * across, 0.f);
    for (int64_t i = 0; i < 2 && 2 * row + i < tiles.height; ++i) {
      const float* from = plane + (2 * row + i) * width;
      float *even = halves + 2 * i * across, *odd = even + across;
      for (int64_t t = 0; t < width / 2; ++t) {
        even[t] = from[2 * t];
        odd[t] = from[2 * t + 1];
      }
      if (width % 2) even[across - 1] = from[width - 1];
    }
    for (int64_t i = 0; i < 4; ++i) {
      // A has the rows (1, 0), (1, 1), (1, -1), (0, -1).
      const float upper = i < 3 ? 1 : 0, lower = i == 0 ? 0 : i == 1 ? 1 : -1;
      const float *e0 = halves, *o0 = e0 + across, *e1 = o0 + across, *o1 = e1 + across;
      float *p0 = to + 4 * i * apart, *p1 = p0 + apart, *p2 = p1 + apart, *p3 = p2 + apart;
      for (int64_t t = 0; t < across; ++t) {
        const float even = upper * e0[t] + lower * e1[t], odd = upper * o0[t] + lower * o1[t];
        p0[t] = even;
        p1[t] = even + odd;
        p2[t] = even - odd;
        p3[t] = -odd;
      }
    }
  });
}

// ---- Filters ----------------------------------------------------------------------------------------------

// G, by rows.
constexpr float kFilter[4][3] = {{1, 0, 0}, {.5f, .5f, .5f}, {.5f, -.5f, .5f}, {0, 0, 1}};

// G g G': (O, C, 3, 3) to (16, O, C). `adjoint`: of the filters turned by half a turn, with O and C exchanged.
Tensor transform_filters(const Tensor& weight, bool adjoint) {
  const Tensor filters = (adjoint ? weight.flip({2, 3}).transpose(0, 1) : weight).contiguous();
  const int64_t count = filters.size(0) * filters.size(1);
  const Tensor out = at::empty({kPoints, filters.size(0), filters.size(1)}, filters.options());
  const float* from = filters.data_ptr<float>();
  float* to = out.data_ptr<float>();
  at::parallel_for(0, count, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const float* g = from + 9 * k;
      for (int i = 0; i < 4; ++i) {
        const float* by = kFilter[i];
        float row[3];
        for (int j = 0; j < 3; ++j) row[j] = by[0] * g[j] + by[1] * g[3 + j] + by[2] * g[6 + j];
        const float sum = row[0] + row[2];
        float* point = to + 4 * i * count + k;
        point[0] = row[0];
        point[count] = .5f * (sum + row[1]);
        point[2 * count] = .5f * (sum - row[1]);
        point[3 * count] = row[2];
      }
    }
  });
  return out;
}

// G' u G, the transpose of the above: the filters' gradients, (16, O, C) to (O, C, 3, 3).
Tensor filter_gradients(const Tensor& products) {
  const int64_t count = products.size(1) * products.size(2);
  const Tensor out = at::empty({products.size(1), products.size(2), 3, 3}, products.options());
  const float* from = products.data_ptr<float>();
  float* to = out.data_ptr<float>();
  at::parallel_for(0, count, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      float rows[3][4];  // G' u
      for (int j = 0; j < 4; ++j) {
        const auto u = [&](int i) { return from[(4 * i + j) * count + k]; };
        const float sum = .5f * (u(1) + u(2));
        rows[0][j] = u(0) + sum;
        rows[1][j] = .5f * (u(1) - u(2));
        rows[2][j] = sum + u(3);
      }
      for (int i = 0; i < 3; ++i) {
        const float* u = rows[i];
        const float sum = .5f * (u[1] + u[2]);
        to[9 * k + 3 * i] = u[0] + sum;
        to[9 * k + 3 * i + 1] = .5f * (u[1] - u[2]);
        to[9 * k + 3 * i + 2] = sum + u[3];
      }
    }
  });
  return out;
}

// ---- The operator -----------------------------------------------------------------------------------------

// Convolves contiguous images with transformed filters, (16, O, C).
Tensor convolve(const Tensor& input, const Tensor& filters, const float* bias) {
  const int64_t in = filters.size(2), out = filters.size(1);
  const Tensor output = at::empty({input.size(0), out, input.size(2), input.size(3)}, input.options());
  for_each_chunk(input, out, [&](const Chunk& chunk, const Tensor& values, Tensor& products) {
    transform_input(chunk, in, input.data_ptr<float>(), values.data_ptr<float>());
    at::bmm_out(products, filters, values);
    transform_output(chunk, out, products.data_ptr<float>(), bias, output.data_ptr<float>());
  });
  return output;
}

Tensor cpu_forward(const Tensor& input, const Tensor& weight, const OptionalTensor& bias) {
  if (!has_kernel(input, weight, bias)) return library_forward(input, weight, bias);
  const Tensor shift = bias.has_value() && bias->defined() ? bias->contiguous() : Tensor();
  return convolve(input, transform_filters(weight, false), shift.defined() ? shift.data_ptr<float>() : nullptr);
}

Tensor weight_gradient(const Tensor& gradient, const Tensor& input) {
  const int64_t in = input.size(1), out = gradient.size(1);
  const Tensor sums = at::zeros({kPoints, out, in}, input.options());
  for_each_chunk(input, out, [&](const Chunk& chunk, const Tensor& values, const Tensor& gradients) {
    transform_input(chunk, in, input.data_ptr<float>(), values.data_ptr<float>());
    transform_gradient(chunk, out, gradient.data_ptr<float>(), gradients.data_ptr<float>());
    sums.baddbmm_(gradients, values.transpose(1, 2));
  });
  return filter_gradients(sums);
}

struct WinogradConvolution : torch::autograd::Function<WinogradConvolution> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& input, const Tensor& weight,
                        const OptionalTensor& bias) {
    context->save_for_backward({input, weight});
    context->saved_data["has_bias"] = bias.has_value() && bias->defined();
    at::AutoDispatchBelowADInplaceOrView below;
    return cpu_forward(input, weight, bias);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &input = saved[0], &weight = saved[1];
    const bool has_bias = context->saved_data["has_bias"].toBool();
    const std::array<bool, 3> mask = {context->needs_input_grad(0), context->needs_input_grad(1),
                                      has_bias && context->needs_input_grad(2)};
    const bool records = at::GradMode::is_enabled() &&
                         (gradients[0].requires_grad() || input.requires_grad() || weight.requires_grad());
    const Tensor gradient = gradients[0].contiguous();
    if (records || gradient.scalar_type() != at::kFloat) {
      // A gradient that itself needs a gradient is libtorch's, which records it.
      const auto [of_input, of_weight, of_bias] =
          at::convolution_backward(gradient, input, weight, at::IntArrayRef(weight.size(0)), kOnes, kOnes, kOnes,
                                   /*transposed=*/false, kZeros, 1, mask);
      return {of_input, of_weight, of_bias};
    }
    at::AutoDispatchBelowADInplaceOrView below;
    return {mask[0] ? convolve(gradient, transform_filters(weight, true), nullptr) : Tensor(),
            mask[1] ? weight_gradient(gradient, input) : Tensor(),
            mask[2] ? gradient.sum({0, 2, 3}) : Tensor()};
  }
};

Tensor autograd_forward(const Tensor& input, const Tensor& weight, const OptionalTensor& bias) {
  if (!has_kernel(input, weight, bias)) return library_forward(input, weight, bias);
  return WinogradConvolution::apply(input, weight, bias);
}

// "pgpc" is defined in depthwise.cpp.
TORCH_LIBRARY_FRAGMENT(pgpc, m) {
  m.def("winograd_conv2d(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor");
}

TORCH_LIBRARY_IMPL(pgpc, CPU, m) { m.impl("winograd_conv2d", cpu_forward); }
TORCH_LIBRARY_IMPL(pgpc, CompositeExplicitAutograd, m) { m.impl("winograd_conv2d", library_forward); }
TORCH_LIBRARY_IMPL(pgpc, Autograd, m) { m.impl("winograd_conv2d", autograd_forward); }
// Autocast casts the arguments of at::conv2d by its own rules.
TORCH_LIBRARY_IMPL(pgpc, AutocastCPU, m) { m.impl("winograd_conv2d", library_forward); }
TORCH_LIBRARY_IMPL(pgpc, AutocastCUDA, m) { m.impl("winograd_conv2d", library_forward); }

}  // namespace
}  // namespace winograd
