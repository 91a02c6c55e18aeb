// Data parallel on torch.distributed's C++ engine: the process's group, its collectives, its gradient reducer.
//
//   distributedBackends() -> string[]     'gloo', 'nccl': what this libtorch and this build have
//   distributedJoin(backend, rank, size, timeout (ms), host, port, hosts the store, prefix of the store's keys, file)
//                          a file that is not '' is the store, for the ranks of one machine: it takes the place of host to prefix
//   distributedLeave()
//   pgpc::all_reduce_      sum, mean, max or min over the ranks, in place
//   pgpc::all_gather       the tensors of all ranks, stacked in rank order
//   pgpc::broadcast_       the values of one rank
//   pgpc::barrier          returns when all ranks have called it
//   pgpc::make_reducer     c10d's Reducer (Li et al. 2020): buckets of gradients, averaged while backward runs
//   pgpc::prepare_reducer  the next backward pass averages; without it gradients only accumulate
//   pgpc::free_reducer
//   pgpc::sync_batch_norm  batch norm with the statistics, and their gradients, of all ranks' batches
//
// All of them block their thread until they are done, or throw after the group's timeout. Every rank has to call the
// same ones in the same order. PGPC_DISTRIBUTED, USE_C10D_GLOO and USE_C10D_NCCL come from CMakeLists.txt, which looks
// for what libtorch was built with.

#include "errors.h"
#include "generated/protocol.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>
#include <torch/version.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#ifdef PGPC_DISTRIBUTED
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#ifdef USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/csrc/distributed/c10d/logger.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>
#endif

namespace {

using at::Tensor;
using at::TensorList;

// Where the ranks meet: at a store of host and port, or in a file.
struct Place {
  std::string host;
  int port = 0;
  bool hosts = false;
  std::string prefix;
  std::string file;

  bool is_this_machine() const {
    return !file.empty() || host == "localhost" || host.rfind("127.", 0) == 0;
  }
};

#ifdef PGPC_DISTRIBUTED

using Group = c10::intrusive_ptr<c10d::ProcessGroup>;
using Store = c10::intrusive_ptr<c10d::Store>;

struct Reduction {
  std::shared_ptr<c10d::Reducer> reducer;
  // The reducer notes here what it finds, and trusts that it is there.
  std::shared_ptr<c10d::Logger> logger;
};

struct Membership {
  Group group;
  int64_t rank = 0, size = 1;
  std::unordered_map<int64_t, Reduction> reducers;
  int64_t next_reducer = 1;
};

// Never destroyed at exit: the engine's threads would be joined while a broken collective still waits.
Membership* const member = new Membership();

const Group& group() {
  TORCH_CHECK(member->group, "this process has joined no process group");
  return member->group;
}

// From version 2 on a process group only hands on to its backend. Its default backend says where a barrier's tensor is.
#if TORCH_VERSION_MAJOR >= 2
template <typename G>
c10::intrusive_ptr<G> front(const Store& store, int rank, int size, typename G::BackendType type) {
  // A template, since from 2.6 on there are no options that the other branch could name.
  if constexpr (std::is_constructible_v<G, Store, int, int>) {
    auto made = c10::make_intrusive<G>(store, rank, size);
    made->setDefaultBackend(type);
    return made;
  } else {
    return c10::make_intrusive<G>(store, rank, size,
                                  c10::make_intrusive<typename G::Options>(G::backendTypeToString(type)));
  }
}

Group group_of(const Store& store, int rank, int size, c10::DeviceType device, c10d::ProcessGroup::BackendType type,
               c10::intrusive_ptr<c10d::Backend> backend) {
  Group made = front<c10d::ProcessGroup>(store, rank, size, type);
  made->setBackend(device, type, backend);
  return made;
}
#define PGPC_GROUP(device, type, backend) \
  group_of(store, rank, size, device, c10d::ProcessGroup::BackendType::type, backend)
#else
#define PGPC_GROUP(device, type, backend) Group(backend)
#endif

#ifdef USE_C10D_GLOO
Group make_gloo(const Store& store, const Place& place, int rank, int size, std::chrono::milliseconds timeout) {
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  // The variable that names network interfaces in every launcher's documentation.
  const char* interfaces = std::getenv("GLOO_SOCKET_IFNAME");
  if (place.file.empty() && interfaces != nullptr && *interfaces != '\0') {
    std::istringstream names(interfaces);
    for (std::string name; std::getline(names, name, ',');) {
      options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(name));
    }
  } else if (place.is_this_machine()) {
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
  } else {
    options->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
  }
  auto backend = c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, options);
  return PGPC_GROUP(c10::DeviceType::CPU, GLOO, backend);
}
#endif

#ifdef USE_C10D_NCCL
Group make_nccl(const Store& store, int rank, int size, std::chrono::milliseconds timeout) {
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  auto backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
  return PGPC_GROUP(c10::DeviceType::CUDA, NCCL, backend);
}
#endif

// The store's server on libuv, the default of libtorch 2, is not in every build of it; that on poll is.
template <typename Options>
auto poll_for_requests(Options& options, int) -> decltype(options.useLibUV, void()) {
  options.useLibUV = false;
}
template <typename Options>
void poll_for_requests(Options&, long) {}

// The store's server listens on every interface, unless it is given a socket that listens already: from version 2 on.
template <typename Options>
auto listen_on_loopback(Options& options, int) -> decltype(options.masterListenFd, void()) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  TORCH_CHECK(fd >= 0, "no socket for the store: ", std::strerror(errno));
  const int again = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &again, sizeof(again));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || listen(fd, SOMAXCONN) != 0) {
    const int error = errno;
    close(fd);
    TORCH_CHECK(false, "the store cannot listen there: ", std::strerror(error));
  }
  options.masterListenFd = fd;
}
template <typename Options>
void listen_on_loopback(Options&, long) {}

Store open_store(const Place& place, int size, std::chrono::milliseconds timeout) {
  if (!place.file.empty()) {
    Store store = c10::make_intrusive<c10d::FileStore>(place.file, size);
    store->setTimeout(timeout);
    return store;
  }
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(place.port);
  options.isServer = place.hosts;
  options.waitWorkers = false;
  options.timeout = timeout;
  poll_for_requests(options, 0);
  if (place.hosts && place.is_this_machine()) listen_on_loopback(options, 0);
  Store store = c10::make_intrusive<c10d::TCPStore>(place.host, options);
  if (place.prefix.empty()) return store;
  return c10::make_intrusive<c10d::PrefixStore>(place.prefix, store);
}

void join(const std::string& backend, int rank, int size, int64_t milliseconds, const Place& place) {
  TORCH_CHECK(!member->group, "this process has joined a process group already");
  const std::chrono::milliseconds timeout(milliseconds);
  const Store store = open_store(place, size, timeout);
  Group made;
#ifdef USE_C10D_GLOO
  if (backend == "gloo") made = make_gloo(store, place, rank, size, timeout);
#endif
#ifdef USE_C10D_NCCL
  if (backend == "nccl") made = make_nccl(store, rank, size, timeout);
#endif
  TORCH_CHECK(made, "this build has no ", backend);
  member->group = made;
  member->rank = rank;
  member->size = size;
}

// ---- collectives ----

// Autograd finds a value that was changed after it was saved by this count; the engine writes without it.
void mark_written(const Tensor& tensor) {
  if (!tensor.is_inference()) tensor.unsafeGetTensorImpl()->bump_version();
}

/** A contiguous tensor that the engine may write to, and that is `self` itself where `self` is contiguous. */
Tensor writable(const Tensor& self) {
  return self.is_contiguous() ? self.detach() : self.detach().contiguous();
}

void write_back(const Tensor& self, const Tensor& written) {
  if (self.is_contiguous()) {
    mark_written(self);
  } else {
    self.detach().copy_(written);
  }
}

void sum_in_place(const Tensor& self, c10d::ReduceOp op = c10d::ReduceOp::SUM) {
  std::vector<Tensor> tensors{self};
  c10d::AllreduceOptions options;
  options.reduceOp = op;
  group()->allreduce(tensors, options)->wait();
}

void check_dense(const char* name, const Tensor& tensor) {
  TORCH_CHECK(tensor.defined() && tensor.layout() == at::kStrided, name, " takes a dense tensor");
}

Tensor& all_reduce_(Tensor& self, c10::string_view op) {
  const std::string name(op.data(), op.size());
  group();
  check_dense("all_reduce_", self);
  TORCH_CHECK(name == "sum" || name == "mean" || name == "max" || name == "min", "op is 'sum', 'mean', 'max' or 'min', not '",
              name, "'");
  TORCH_CHECK(name != "mean" || self.is_floating_point(), "a mean needs a tensor of floats");
  at::NoGradGuard no_grad;
  Tensor flat = writable(self);
  sum_in_place(flat, name == "max"   ? c10d::ReduceOp::MAX
                     : name == "min" ? c10d::ReduceOp::MIN
                                     : c10d::ReduceOp::SUM);
  if (name == "mean") flat.div_(static_cast<double>(member->size));
  write_back(self, flat);
  return self;
}

Tensor all_gather(const Tensor& self) {
  group();
  check_dense("all_gather", self);
  at::NoGradGuard no_grad;
  std::vector<int64_t> shape = self.sizes().vec();
  shape.insert(shape.begin(), member->size);
  Tensor result = at::empty(shape, self.options());
  std::vector<std::vector<Tensor>> outputs{result.unbind(0)};
  std::vector<Tensor> inputs{self.detach().contiguous()};
  group()->allgather(outputs, inputs)->wait();
  return result;
}

void broadcast_(TensorList self, int64_t root) {
  group();
  TORCH_CHECK(root >= 0 && root < member->size, "there is no rank ", root, " among ", member->size);
  for (const Tensor& tensor : self) check_dense("broadcast_", tensor);
  at::NoGradGuard no_grad;
  c10d::BroadcastOptions options;
  options.rootRank = root;
  std::vector<std::pair<Tensor, c10::intrusive_ptr<c10d::Work>>> under_way;
  for (const Tensor& tensor : self) {
    std::vector<Tensor> tensors{writable(tensor)};
    const Tensor written = tensors[0];
    under_way.emplace_back(written, group()->broadcast(tensors, options));
  }
  for (size_t i = 0; i < under_way.size(); i++) {
    under_way[i].second->wait();
    write_back(self[i], under_way[i].first);
  }
}

void barrier() { group()->barrier()->wait(); }

// ---- gradients ----

// Versions of libtorch differ in up to three arguments at the end, two flags and a list, which we leave off.
template <typename R, typename... A>
constexpr bool reduces_with = std::is_constructible_v<R, A...> || std::is_constructible_v<R, A..., bool> ||
    std::is_constructible_v<R, A..., bool, bool> || std::is_constructible_v<R, A..., bool, bool, std::vector<int64_t>>;

template <typename R, typename... A>
std::shared_ptr<R> reducer_with(A&&... arguments) {
  if constexpr (std::is_constructible_v<R, A...>) {
    return std::make_shared<R>(std::forward<A>(arguments)...);
  } else if constexpr (std::is_constructible_v<R, A..., bool>) {
    return std::make_shared<R>(std::forward<A>(arguments)..., false);
  } else if constexpr (std::is_constructible_v<R, A..., bool, bool>) {
    return std::make_shared<R>(std::forward<A>(arguments)..., false, false);
  } else {
    return std::make_shared<R>(std::forward<A>(arguments)..., false, false, std::vector<int64_t>());
  }
}

// The buckets' size limits were an argument of their own once.
template <typename R, typename Params, typename Buckets, typename Limits, typename... A>
std::shared_ptr<R> reducer_of(Params params, Buckets buckets, Limits limits, A... arguments) {
  if constexpr (reduces_with<R, Params, Buckets, Limits, A...>) {
    return reducer_with<R>(std::move(params), std::move(buckets), std::move(limits), std::move(arguments)...);
  } else {
    return reducer_with<R>(std::move(params), std::move(buckets), std::move(arguments)...);
  }
}

int64_t make_reducer(TensorList self, int64_t bucket_bytes) {
  group();
  TORCH_CHECK(!self.empty(), "a reducer needs parameters");
  TORCH_CHECK(bucket_bytes > 0, "a bucket has at least one byte");
  std::vector<Tensor> params = self.vec();
  for (const Tensor& parameter : params) {
    TORCH_CHECK(parameter.defined() && parameter.is_leaf() && parameter.requires_grad(),
                "a reducer takes leaves that require gradients");
  }
  const auto first = std::min<int64_t>(bucket_bytes, c10d::kDefaultFirstBucketBytes);
  auto [buckets, limits] = c10d::compute_bucket_assignment_by_size(
      params, {static_cast<size_t>(first), static_cast<size_t>(bucket_bytes)}, std::vector<bool>(params.size(), false));
  // Backward reaches the last parameters first.
  std::reverse(buckets.begin(), buckets.end());
  std::reverse(limits.begin(), limits.end());
  const size_t count = params.size();
  const int64_t index = member->next_reducer++;
  // Some steps leave parameters out (the projection head before its loss sets in), so the graph is searched for them.
  Reduction made;
  made.reducer = reducer_of<c10d::Reducer>(std::move(params), std::move(buckets), std::move(limits), group(),
                                           std::vector<bool>(count, false), bucket_bytes,
                                           /*find_unused_parameters=*/true, /*gradient_as_bucket_view=*/false,
                                           std::unordered_map<size_t, std::string>(), int64_t{first});
  made.logger = std::make_shared<c10d::Logger>(made.reducer);
  made.reducer->set_logger(made.logger);
  member->reducers.emplace(index, std::move(made));
  return index;
}

c10d::Reducer& reducer_at(int64_t index) {
  const auto found = member->reducers.find(index);
  TORCH_CHECK(found != member->reducers.end(), "no such reducer: it was disposed");
  return *found->second.reducer;
}

// The reducer warns where a step has left no parameter out; most steps do not, and no caller can do anything about it.
struct Silence : public c10::WarningHandler {
#if TORCH_VERSION_MAJOR >= 2
  void process(const c10::Warning&) override {}
};
using WarningGuard = c10::WarningUtils::WarningHandlerGuard;
#else
  void process(const c10::SourceLocation&, const std::string&, const bool) override {}
};
using WarningGuard = c10::Warning::WarningHandlerGuard;
#endif

void prepare_reducer(int64_t reducer, const Tensor& loss) {
  c10d::Reducer& found = reducer_at(reducer);
  TORCH_CHECK(loss.defined() && loss.requires_grad(), "the loss depends on no parameter");
  Silence silence;
  const WarningGuard quiet(&silence);
  found.prepare_for_forward();
  found.prepare_for_backward({loss});
}

void free_reducer(int64_t reducer) { member->reducers.erase(reducer); }

// ---- batch norm ----

// Ioffe & Szegedy 2015 over the batches of all ranks, which are of equal size.
class SyncBatchNorm : public torch::autograd::Function<SyncBatchNorm> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& input, const Tensor& weight,
                        const Tensor& bias, Tensor running_mean, Tensor running_var, double momentum, double eps) {
    const auto [local_var, local_mean] = at::var_mean(input, {0, 2, 3}, /*unbiased=*/false);
    const Tensor all = all_gather(at::stack({local_mean, local_var}));
    const Tensor means = all.select(1, 0);
    const Tensor mean = means.mean(0);
    const Tensor var = (all.select(1, 1) + (means - mean).square()).mean(0);
    const double count = static_cast<double>(input.numel() / input.size(1)) * static_cast<double>(member->size);
    running_mean.lerp_(mean, momentum);
    running_var.lerp_(var * (count / std::max(count - 1, 1.0)), momentum);
    context->save_for_backward({input, weight, mean, (var + eps).rsqrt()});
    return std::get<0>(at::native_batch_norm(input, weight, bias, mean, var, /*training=*/false, 0, eps));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &input = saved[0], &weight = saved[1];
    const std::vector<int64_t> channel{1, -1, 1, 1};
    const Tensor mean = saved[2].view(channel), inverse = saved[3];
    const Tensor& gradient = gradients[0];
    const Tensor centred = input - mean;
    const Tensor sum = gradient.sum({0, 2, 3});
    const Tensor product = (gradient * centred).sum({0, 2, 3});
    Tensor both = at::stack({sum, product});
    sum_in_place(both);
    both.div_(static_cast<double>(input.numel() / input.size(1)) * static_cast<double>(member->size));
    const Tensor along = (both[1] * inverse.square()).view(channel);
    const Tensor of_input = (gradient - both[0].view(channel) - centred * along) * (inverse * weight).view(channel);
    // Weight and bias are parameters: the reducer averages their gradients with all others.
    return {of_input, product * inverse, sum, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor sync_batch_norm(const Tensor& input, const Tensor& weight, const Tensor& bias, Tensor running_mean,
                       Tensor running_var, double momentum, double eps) {
  group();
  TORCH_CHECK(input.dim() == 4 && input.numel() > 0, "input is (N, C, H, W) and not empty");
  for (const Tensor& one : {weight, bias, running_mean, running_var}) {
    TORCH_CHECK(one.defined() && one.dim() == 1 && one.size(0) == input.size(1) && one.device() == input.device() &&
                    one.scalar_type() == input.scalar_type(),
                "weight, bias and running statistics have one value a channel, of the input's dtype and device");
  }
  return SyncBatchNorm::apply(input, weight, bias, running_mean, running_var, momentum, eps);
}

std::vector<std::string> backends() {
  std::vector<std::string> names;
#ifdef USE_C10D_GLOO
  names.emplace_back("gloo");
#endif
#ifdef USE_C10D_NCCL
  names.emplace_back("nccl");
#endif
  return names;
}

TORCH_LIBRARY_FRAGMENT(pgpc, m) {
  m.def("all_reduce_(Tensor(a!) self, str op='sum') -> Tensor(a!)");
  m.def("all_gather(Tensor self) -> Tensor");
  m.def("broadcast_(Tensor(a!)[] self, int root=0) -> ()");
  m.def("barrier() -> ()", barrier);
  m.def("make_reducer(Tensor[] self, int bucket_bytes) -> int");
  m.def("prepare_reducer(int reducer, Tensor loss) -> ()");
  m.def("free_reducer(int reducer) -> ()", free_reducer);
  m.def(
      "sync_batch_norm(Tensor input, Tensor weight, Tensor bias, Tensor(a!) running_mean, Tensor(b!) running_var, "
      "float momentum, float eps) -> Tensor");
}

TORCH_LIBRARY_IMPL(pgpc, CompositeExplicitAutograd, m) {
  m.impl("all_reduce_", all_reduce_);
  m.impl("all_gather", all_gather);
  m.impl("broadcast_", broadcast_);
  m.impl("make_reducer", make_reducer);
  m.impl("prepare_reducer", prepare_reducer);
}

TORCH_LIBRARY_IMPL(pgpc, CompositeImplicitAutograd, m) { m.impl("sync_batch_norm", sync_batch_norm); }

#else  // no torch.distributed in this libtorch

void join(const std::string&, int, int, int64_t, const Place&) {
  TORCH_CHECK(false, "this libtorch was built without torch.distributed");
}

std::vector<std::string> backends() { return {}; }

#endif

}  // namespace

namespace bridge {

Napi::Value distributedBackends(const Napi::CallbackInfo& info) {
  const auto names = backends();
  auto result = Napi::Array::New(info.Env(), names.size());
  for (size_t i = 0; i < names.size(); i++) result.Set(static_cast<uint32_t>(i), names[i]);
  return result;
}

Napi::Value distributedJoin(const Napi::CallbackInfo& info) {
  const auto text = [&](size_t i) { return info[i].As<Napi::String>().Utf8Value(); };
  const auto number = [&](size_t i) { return info[i].As<Napi::Number>().Int32Value(); };
  try {
    const Place place{text(4), number(5), info[6].As<Napi::Boolean>().Value(), text(7), text(8)};
    join(text(0), number(1), number(2), info[3].As<Napi::Number>().Int64Value(), place);
  } catch (const c10::Error& e) {
    throw Napi::Error::New(info.Env(), e.what_without_backtrace());
  } catch (const std::exception& e) {
    throw Napi::Error::New(info.Env(), e.what());
  }
  return info.Env().Undefined();
}

Napi::Value distributedLeave(const Napi::CallbackInfo& info) {
#ifdef PGPC_DISTRIBUTED
  member->reducers.clear();
  member->group.reset();
  member->rank = 0;
  member->size = 1;
#endif
  return info.Env().Undefined();
}

}  // namespace bridge
