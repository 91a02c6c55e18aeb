// Batch norm by the statistics of the batch, as an operator of libtorch's dispatcher.
//
//   pgpc::batch_norm_train   y = (x - mean) / sqrt(var + eps) * weight + bias; moves the running statistics
//
// libtorch adds up float32 planes on the CPU value by value in float64, and takes four to six times as long as with
// channels last or bfloat16. Here a channel's planes are summed, measured and scaled one after the other, while they are
// in the cache, in an order that does not depend on the number of threads. All else goes to at::batch_norm, and so
// does the backward pass.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "lanes.h"

namespace {

using at::Tensor;

// Vectors that are added up in float32 before they are added in float64.
constexpr int64_t kVectors = 64;

// The sum of f(x) over a plane; `f` takes eight values or one.
template <typename F>
double sum_over(const float* plane, int64_t size, const F& f) {
  double total = 0;
  int64_t i = 0;
  while (i + kLanes <= size) {
    const int64_t end = std::min(size - kLanes, i + (kVectors - 1) * kLanes);
    Lanes sum{};
    for (; i <= end; i += kLanes) sum += f(load(plane + i));
    total += sum_of(sum);
  }
  for (; i < size; ++i) total += f(plane[i]);
  return total;
}

struct Statistics {
  Tensor mean, var, inverse;
};

// Of float32 planes (N, C, H, W); fills `out` on the way.
Statistics normalize(const Tensor& input, const Tensor& weight, const Tensor& bias, double eps, const Tensor& out) {
  const int64_t batch = input.size(0), channels = input.size(1), plane = input.size(2) * input.size(3);
  const double count = static_cast<double>(batch * plane);
  Statistics result = {at::empty({channels}, input.options()), at::empty({channels}, input.options()),
                       at::empty({channels}, input.options())};
  const float *from = input.data_ptr<float>(), *scale = weight.data_ptr<float>(), *shift = bias.data_ptr<float>();
  float* to = out.data_ptr<float>();
  float *means = result.mean.data_ptr<float>(), *vars = result.var.data_ptr<float>();
  float* inverses = result.inverse.data_ptr<float>();
  at::parallel_for(0, channels, std::max<int64_t>(1, 32768 / (batch * plane)), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const auto over_batch = [&](const auto& f) {
        double total = 0;
        for (int64_t n = 0; n < batch; ++n) total += sum_over(from + (n * channels + c) * plane, plane, f);
        return total;
      };
      const double mean = over_batch([](const auto& x) { return x; }) / count;
      const float centre = static_cast<float>(mean);
      const auto squared = [centre](const auto& x) { return (x - centre) * (x - centre); };
      // The centre has been rounded.
      const double var = std::max(0., over_batch(squared) / count - (mean - centre) * (mean - centre));
      const double inverse = 1 / std::sqrt(var + eps);
      means[c] = centre;
      vars[c] = static_cast<float>(var);
      inverses[c] = static_cast<float>(inverse);
      const float factor = static_cast<float>(inverse * scale[c]);
      const float offset = static_cast<float>(shift[c] - mean * inverse * scale[c]);
      for (int64_t n = 0; n < batch; ++n) {
        const int64_t at = (n * channels + c) * plane;
        int64_t i = at;
        for (; i + kLanes <= at + plane; i += kLanes) store(to + i, load(from + i) * factor + offset);
        for (; i < at + plane; ++i) to[i] = from[i] * factor + offset;
      }
    }
  });
  return result;
}

struct BatchNorm : torch::autograd::Function<BatchNorm> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& input, const Tensor& weight,
                        const Tensor& bias, Tensor running_mean, Tensor running_var, double momentum, double eps) {
    const Tensor out = at::empty_like(input);
    const Statistics found = normalize(input, weight, bias, eps, out);
    const double count = static_cast<double>(input.numel() / input.size(1));
    running_mean.lerp_(found.mean, momentum);
    running_var.lerp_(found.var * (count / (count - 1)), momentum);
    context->save_for_backward({input, weight, found.mean, found.inverse});
    context->saved_data["eps"] = eps;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto found = at::native_batch_norm_backward(
        gradients[0], saved[0], saved[1], /*running_mean=*/{}, /*running_var=*/{}, saved[2], saved[3],
        /*train=*/true, context->saved_data["eps"].toDouble(), {true, true, true});
    return {std::get<0>(found), std::get<1>(found), std::get<2>(found), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

bool is_float_plane(const Tensor& tensor) {
  return tensor.device().is_cpu() && tensor.scalar_type() == at::kFloat && tensor.layout() == at::kStrided &&
      tensor.is_contiguous();
}

Tensor batch_norm_train(const Tensor& input, const Tensor& weight, const Tensor& bias, Tensor running_mean,
                        Tensor running_var, double momentum, double eps) {
  bool plain = input.dim() == 4 && is_float_plane(input) && input.numel() > input.size(1);
  for (const Tensor& one : {weight, bias, running_mean, running_var}) {
    plain = plain && is_float_plane(one) && one.dim() == 1 && one.size(0) == input.size(1);
  }
  if (plain) return BatchNorm::apply(input, weight, bias, running_mean, running_var, momentum, eps);
  return at::batch_norm(input, weight, bias, running_mean, running_var, /*training=*/true, momentum, eps,
                        /*cudnn_enabled=*/true);
}

TORCH_LIBRARY_FRAGMENT(pgpc, m) {
  m.def(
      "batch_norm_train(Tensor input, Tensor weight, Tensor bias, Tensor(a!) running_mean, Tensor(b!) running_var, "
      "float momentum, float eps) -> Tensor");
}

TORCH_LIBRARY_IMPL(pgpc, CompositeImplicitAutograd, m) { m.impl("batch_norm_train", batch_norm_train); }

}  // namespace
