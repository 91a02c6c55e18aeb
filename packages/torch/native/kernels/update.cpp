// The two passes over all weights that a training step makes, each reading and writing every value once.
//
//   pgpc::adamw_   one step of AdamW (Loshchilov & Hutter 2019, algorithm 2), from gradients of any dtype
//   pgpc::ema_     self <- alpha self + (1 - alpha) other (Tarvainen & Valpola 2017)
//
// Written as foreach operators, a step of AdamW goes over the weights about ten times and starts ten operators a
// parameter. float32 on the CPU is computed here; a GPU has libtorch's own kernels for both, from 2.0 on; everything
// else goes to those foreach operators.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>
#include <torch/version.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

using at::Tensor;
using at::TensorList;

// Values a task works on; a parameter has from one to a few million.
constexpr int64_t kGrain = 1 << 14;

struct AdamW {
  double lr, beta1, beta2, eps, weight_decay;
  int64_t step;
};

void check_fits(const char* what, TensorList self, TensorList other) {
  TORCH_CHECK(self.size() == other.size(), "there must be one of ", what, " a parameter, but there are ",
              other.size(), " for ", self.size());
  for (size_t i = 0; i < self.size(); i++) {
    TORCH_CHECK(self[i].defined() && other[i].defined() && self[i].sizes() == other[i].sizes() &&
                    self[i].device() == other[i].device(),
                what, " ", i, " must have its parameter's shape and device");
  }
}

void check_alike(const char* what, TensorList self, TensorList other) {
  check_fits(what, self, other);
  for (size_t i = 0; i < self.size(); i++) {
    TORCH_CHECK(self[i].scalar_type() == other[i].scalar_type(), what, " ", i, " must have its parameter's dtype");
  }
}

bool is_dense_float(const Tensor& tensor) {
  return tensor.device().is_cpu() && tensor.scalar_type() == at::kFloat && tensor.layout() == at::kStrided &&
      tensor.is_non_overlapping_and_dense();
}

bool all_plain(TensorList tensors) {
  return std::all_of(tensors.begin(), tensors.end(), is_dense_float);
}

/** `from` with its values in the memory order of `like`, so that both can be walked as one row. */
Tensor in_order_of(const Tensor& like, const Tensor& from) {
  if (from.strides() == like.strides() && is_dense_float(from)) return from;
  return at::empty_like(like).copy_(from);
}

// Autograd finds a value that was changed after it was saved by this count.
void mark_written(const Tensor& tensor) {
  if (!tensor.is_inference()) tensor.unsafeGetTensorImpl()->bump_version();
}

struct Piece {
  size_t tensor;
  int64_t begin, end;
};

/** Cuts all tensors into pieces of bounded length: parameters differ too much in size to be the unit of work. */
std::vector<Piece> pieces_of(TensorList tensors) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < tensors.size(); i++) {
    for (int64_t begin = 0; begin < tensors[i].numel(); begin += kGrain) {
      pieces.push_back({i, begin, std::min(begin + kGrain, tensors[i].numel())});
    }
  }
  return pieces;
}

template <typename F>
void for_each_piece(TensorList tensors, const F& f) {
  const std::vector<Piece> pieces = pieces_of(tensors);
  at::parallel_for(0, static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) f(pieces[i]);
  });
}

void composed_adamw(TensorList params, TensorList grads, TensorList means, TensorList squares, const AdamW& o) {
  const double correction1 = 1 - std::pow(o.beta1, o.step);
  const double correction2 = std::sqrt(1 - std::pow(o.beta2, o.step));
  if (o.weight_decay != 0) at::_foreach_mul_(params, 1 - o.lr * o.weight_decay);
  at::_foreach_mul_(means, o.beta1);
  at::_foreach_add_(means, grads, 1 - o.beta1);
  at::_foreach_mul_(squares, o.beta2);
  at::_foreach_addcmul_(squares, grads, grads, 1 - o.beta2);
  std::vector<Tensor> roots = at::_foreach_sqrt(squares);
  at::_foreach_add_(roots, o.eps * correction2);
  at::_foreach_addcdiv_(params, means, roots, -o.lr * correction2 / correction1);
}

#if TORCH_VERSION_MAJOR >= 2
bool all_on_card(TensorList tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const Tensor& tensor) { return tensor.is_cuda(); });
}

// Gradients of 16 bits are widened for this many values at a time: of all at once they would take as much as the weights.
constexpr int64_t kWidened = 1 << 24;

/** The gradients in their parameters' dtype and memory order. */
std::vector<Tensor> widened(TensorList params, TensorList grads) {
  std::vector<Tensor> wide, targets, sources;
  for (size_t i = 0; i < params.size(); i++) {
    const bool fits = grads[i].scalar_type() == params[i].scalar_type();
    wide.push_back(fits ? grads[i] : at::empty_like(params[i]));
    if (fits) continue;
    targets.push_back(wide.back());
    sources.push_back(grads[i]);
  }
  if (!targets.empty()) at::_foreach_copy_(targets, sources);
  return wide;
}

/** A few kernels for all parameters, which the host does not wait for. */
void card_adamw(TensorList params, TensorList grads, TensorList means, TensorList squares, const AdamW& o) {
  const Tensor step = at::full({}, static_cast<double>(o.step), params[0].options().dtype(at::kFloat));
  for (size_t begin = 0, end = 0; begin < params.size(); begin = end) {
    int64_t values = 0;
    do values += params[end++].numel();
    while (end < params.size() && values + params[end].numel() <= kWidened);
    const size_t size = end - begin;
    const TensorList some = params.slice(begin, size);
    const std::vector<Tensor> steps(size, step);
    at::_fused_adamw_(some, widened(some, grads.slice(begin, size)), means.slice(begin, size),
                      squares.slice(begin, size), /*max_exp_avg_sqs=*/{}, steps, o.lr, o.beta1, o.beta2,
                      o.weight_decay, o.eps, /*amsgrad=*/false, /*maximize=*/false);
  }
}
#endif

void adamw_(TensorList params, TensorList grads, TensorList means, TensorList squares, double lr, double beta1,
            double beta2, double eps, double weight_decay, int64_t step) {
  // Gradients of weights that a pass reads in 16 bits have 16 bits, too.
  check_fits("grads", params, grads);
  check_alike("exp_avgs", params, means);
  check_alike("exp_avg_sqs", params, squares);
  TORCH_CHECK(step >= 1, "step counts from 1, but is ", step);
  if (params.empty()) return;
  const AdamW o{lr, beta1, beta2, eps, weight_decay, step};
  at::NoGradGuard no_grad;
#if TORCH_VERSION_MAJOR >= 2
  if (all_on_card(params)) return card_adamw(params, grads, means, squares, o);
#endif
  bool walkable = all_plain(params) && all_plain(means) && all_plain(squares);
  for (size_t i = 0; walkable && i < params.size(); i++) {
    walkable = means[i].strides() == params[i].strides() && squares[i].strides() == params[i].strides();
  }
  if (!walkable) return composed_adamw(params, grads, means, squares, o);
  std::vector<Tensor> ordered;
  for (size_t i = 0; i < params.size(); i++) ordered.push_back(in_order_of(params[i], grads[i]));
  // Both bias corrections go into the step size and eps (Kingma & Ba 2015, section 2).
  const double correction1 = 1 - std::pow(beta1, step);
  const double correction2 = std::sqrt(1 - std::pow(beta2, step));
  const float kept = static_cast<float>(1 - lr * weight_decay);
  const float rate = static_cast<float>(-lr * correction2 / correction1);
  const float corrected_eps = static_cast<float>(eps * correction2);
  const float b1 = static_cast<float>(beta1), fresh1 = static_cast<float>(1 - beta1);
  const float b2 = static_cast<float>(beta2), fresh2 = static_cast<float>(1 - beta2);
  for_each_piece(params, [&](const Piece& piece) {
    float* __restrict p = params[piece.tensor].data_ptr<float>();
    float* __restrict m = means[piece.tensor].data_ptr<float>();
    float* __restrict v = squares[piece.tensor].data_ptr<float>();
    const float* __restrict g = ordered[piece.tensor].data_ptr<float>();
    for (int64_t i = piece.begin; i < piece.end; i++) {
      m[i] = b1 * m[i] + fresh1 * g[i];
      v[i] = b2 * v[i] + fresh2 * g[i] * g[i];
      p[i] = kept * p[i] + rate * m[i] / (std::sqrt(v[i]) + corrected_eps);
    }
  });
  for (const TensorList& written : {params, means, squares}) {
    for (const Tensor& tensor : written) mark_written(tensor);
  }
}

void ema_(TensorList self, TensorList other, double alpha) {
  check_alike("other", self, other);
  TORCH_CHECK(alpha >= 0 && alpha <= 1, "alpha must be in [0, 1], but is ", alpha);
  if (self.empty()) return;
  at::NoGradGuard no_grad;
#if TORCH_VERSION_MAJOR >= 2
  if (all_on_card(self)) return at::_foreach_lerp_(self, other, 1 - alpha);
#endif
  if (!all_plain(self)) {
    at::_foreach_mul_(self, alpha);
    at::_foreach_add_(self, other, 1 - alpha);
    return;
  }
  std::vector<Tensor> ordered;
  for (size_t i = 0; i < self.size(); i++) ordered.push_back(in_order_of(self[i], other[i]));
  const float kept = static_cast<float>(alpha), fresh = static_cast<float>(1 - alpha);
  for_each_piece(self, [&](const Piece& piece) {
    float* __restrict s = self[piece.tensor].data_ptr<float>();
    const float* __restrict o = ordered[piece.tensor].data_ptr<float>();
    for (int64_t i = piece.begin; i < piece.end; i++) s[i] = kept * s[i] + fresh * o[i];
  });
  for (const Tensor& tensor : self) mark_written(tensor);
}

TORCH_LIBRARY_FRAGMENT(pgpc, m) {
  m.def(
      "adamw_(Tensor(a!)[] self, Tensor[] grads, Tensor(b!)[] exp_avgs, Tensor(c!)[] exp_avg_sqs, float lr, "
      "float beta1, float beta2, float eps, float weight_decay, int step) -> ()");
  m.def("ema_(Tensor(a!)[] self, Tensor[] other, float alpha) -> ()");
}

TORCH_LIBRARY_IMPL(pgpc, CompositeExplicitAutograd, m) {
  m.impl("adamw_", adamw_);
  m.impl("ema_", ema_);
}

}  // namespace
