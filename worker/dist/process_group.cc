#include "worker/dist/process_group.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "worker/dist/cuda_library.h"
#include "worker/dist/gloo_backend.h"
#include "worker/dist/whereabouts.h"

namespace pixelrec::dist {

struct Rendezvous::Store {
  c10::intrusive_ptr<c10d::Store> c10d;
};

struct ProcessGroup::Backend {
  c10::intrusive_ptr<c10d::Backend> host;
  c10::intrusive_ptr<c10d::Backend> gpu;  // null where ranks compute on CPUs
  Whereabouts* whereabouts = nullptr;

  // For the next collective.
  c10d::Backend& For(const at::Tensor& tensor) const {
    if (whereabouts != nullptr) whereabouts->Arrive();
    if (tensor.is_cpu()) return *host;
    TORCH_CHECK(gpu, "a collective of a tensor on ", tensor.device(), " in a group of CPUs");
    return *gpu;
  }
  void Finish(const c10::intrusive_ptr<c10d::Work>& work) const;
};

struct Pending::Work {
  c10::intrusive_ptr<c10d::Work> c10d;
  Whereabouts* whereabouts;
};

namespace {

void WaitFor(c10d::Work& work, Whereabouts* whereabouts) {
  if (whereabouts == nullptr || work.isCompleted()) {
    work.wait();
    return;
  }
  whereabouts->BeginWait();
  const absl::Cleanup end = [&] { whereabouts->EndWait(); };
  work.wait();
}

}  // namespace

void ProcessGroup::Backend::Finish(const c10::intrusive_ptr<c10d::Work>& work) const { WaitFor(*work, whereabouts); }

void Pending::Wait() {
  if (auto work = std::exchange(work_, nullptr)) WaitFor(*work->c10d, work->whereabouts);
}

namespace {

absl::StatusOr<c10::intrusive_ptr<c10d::TCPStore>> OpenStore(const std::string& host, uint16_t port, bool listen,
                                                             std::chrono::milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = port;
  options.isServer = listen;
  options.waitWorkers = false;
  options.timeout = timeout;
  try {
    return c10::make_intrusive<c10d::TCPStore>(host, options);
  } catch (const c10::Error& error) {
    return absl::UnavailableError(absl::StrCat(listen ? "can't open the ranks' store on " : "can't reach rank 0's store at ",
                                               host, ":", port, ": ", error.what_without_backtrace()));
  }
}

}  // namespace

absl::StatusOr<Rendezvous> Rendezvous::Listen(const std::string& host, std::chrono::milliseconds timeout) {
  auto store = OpenStore(host, 0, true, timeout);
  if (!store.ok()) return store.status();
  Rendezvous result;
  result.port_ = (*store)->getPort();
  result.store_ = std::make_shared<Store>(Store{*std::move(store)});
  return result;
}

absl::StatusOr<Rendezvous> Rendezvous::Connect(const std::string& host, uint16_t port, std::chrono::milliseconds timeout) {
  auto store = OpenStore(host, port, false, timeout);
  if (!store.ok()) return store.status();
  Rendezvous result;
  result.port_ = port;
  result.store_ = std::make_shared<Store>(Store{*std::move(store)});
  return result;
}

absl::StatusOr<std::vector<std::string>> Rendezvous::Exchange(const std::string& key, int rank, int world_size,
                                                              const std::string& text, std::chrono::milliseconds timeout) const {
  const auto key_of = [&](int r) { return absl::StrCat(key, "/", r); };
  std::vector<std::string> keys, texts;
  for (int r = 0; r < world_size; ++r) keys.push_back(key_of(r));
  try {
    store_->c10d->set(key_of(rank), std::vector<uint8_t>(text.begin(), text.end()));
    store_->c10d->wait(keys, timeout);
    for (const std::string& k : keys) {
      const std::vector<uint8_t> bytes = store_->c10d->get(k);
      texts.emplace_back(bytes.begin(), bytes.end());
    }
    // Rank 0's end of the store may go as soon as this returns, should the texts be a reason to fail.
    store_->c10d->set(key_of(rank) + "/read", std::vector<uint8_t>{1});
    for (std::string& k : keys) k += "/read";
    if (rank == 0) store_->c10d->wait(keys, timeout);
  } catch (const c10::Error& error) {
    return absl::UnavailableError(
        absl::StrCat("rank ", rank, " didn't hear from every other rank: ", error.what_without_backtrace()));
  }
  return texts;
}

ProcessGroup ProcessGroup::Alone() { return {}; }

absl::StatusOr<ProcessGroup> ProcessGroup::Join(const Rendezvous& rendezvous, const Options& options) {
  ProcessGroup group;
  group.rank_ = options.rank;
  group.world_size_ = options.world_size;
  try {
    const auto store = [&](const char* backend) {
      return c10::make_intrusive<c10d::PrefixStore>(absl::StrCat(options.prefix, "/", backend), rendezvous.store_->c10d);
    };
    Backend backend{.host = MakeGloo(store("host"), options.rank, options.world_size, options.host_address, options.timeout),
                    .whereabouts = options.whereabouts};
    if (options.device.is_cuda()) {
      const auto cuda = LoadCudaLibrary();
      if (!cuda.ok()) return cuda.status();
      backend.gpu = (*cuda)->MakeNccl(store("gpu"), options.rank, options.world_size, options.device.index(), options.timeout);
    }
    group.backend_ = std::make_shared<Backend>(std::move(backend));
  } catch (const c10::Error& error) {
    return absl::UnavailableError(
        absl::StrCat("rank ", options.rank, " can't join the other ranks: ", error.what_without_backtrace()));
  } catch (const std::exception& error) {  // Gloo's own
    return absl::UnavailableError(absl::StrCat("rank ", options.rank, " can't join the other ranks: ", error.what()));
  }
  return group;
}

void ProcessGroup::AllReduceSum(at::Tensor tensor) const {
  if (world_size_ == 1) return;
  std::vector<at::Tensor> tensors = {std::move(tensor)};
  backend_->Finish(backend_->For(tensors[0]).allreduce(tensors));
}

Pending ProcessGroup::StartAllReduceSum(const at::Tensor& tensor) const {
  if (world_size_ == 1) return {};
  std::vector<at::Tensor> tensors = {tensor};
  return Pending(std::make_shared<Pending::Work>(Pending::Work{backend_->For(tensor).allreduce(tensors), backend_->whereabouts}));
}

Pending ProcessGroup::StartAllGather(const at::Tensor& whole, const at::Tensor& share) const {
  at::Tensor output = whole, input = share;
  if (world_size_ == 1) {
    output.copy_(input);
    return {};
  }
  return Pending(std::make_shared<Pending::Work>(
      Pending::Work{backend_->For(output)._allgather_base(output, input), backend_->whereabouts}));
}

Pending ProcessGroup::StartReduceScatterSum(const at::Tensor& share, const at::Tensor& whole) const {
  at::Tensor output = share, input = whole;
  if (world_size_ == 1) {
    output.copy_(input);
    return {};
  }
  return Pending(std::make_shared<Pending::Work>(
      Pending::Work{backend_->For(output)._reduce_scatter_base(output, input), backend_->whereabouts}));
}

at::Tensor ProcessGroup::AllGatherRows(const at::Tensor& tensor, const std::vector<int64_t>& rows_by_rank) const {
  if (world_size_ == 1) return tensor;
  // Backends gather equal parts: each is filled up to the largest one, and the filling is cut off again.
  const int64_t largest = *std::max_element(rows_by_rank.begin(), rows_by_rank.end());
  std::vector<int64_t> shape = tensor.sizes().vec();
  shape[0] = largest;
  at::Tensor mine = at::zeros(shape, tensor.options());
  mine.narrow(0, 0, tensor.size(0)).copy_(tensor);
  shape[0] = largest * world_size_;
  at::Tensor all = at::empty(shape, tensor.options());
  backend_->Finish(backend_->For(all)._allgather_base(all, mine));
  std::vector<at::Tensor> parts;
  for (int r = 0; r < world_size_; ++r) parts.push_back(all.narrow(0, r * largest, rows_by_rank[static_cast<size_t>(r)]));
  return at::cat(parts, 0);
}

std::vector<std::string> ProcessGroup::AllGatherText(const std::string& text) const {
  if (world_size_ == 1) return {text};
  const at::Tensor length = at::full({1}, static_cast<int64_t>(text.size()), at::kLong);
  const at::Tensor lengths = AllGatherRows(length, std::vector<int64_t>(static_cast<size_t>(world_size_), 1));
  const std::vector<int64_t> bytes_by_rank(lengths.const_data_ptr<int64_t>(), lengths.const_data_ptr<int64_t>() + world_size_);
  at::Tensor bytes = at::empty({static_cast<int64_t>(text.size())}, at::kByte);
  std::copy(text.begin(), text.end(), bytes.mutable_data_ptr<uint8_t>());
  const at::Tensor all = AllGatherRows(bytes, bytes_by_rank).contiguous();
  const auto* next = reinterpret_cast<const char*>(all.const_data_ptr<uint8_t>());
  std::vector<std::string> texts;
  for (const int64_t count : bytes_by_rank) texts.emplace_back(std::exchange(next, next + count), static_cast<size_t>(count));
  return texts;
}

std::string ProcessGroup::Broadcast(const std::string& text) const { return AllGatherText(rank_ == 0 ? text : "").front(); }

void ProcessGroup::Barrier() const {
  if (world_size_ == 1) return;
  if (backend_->whereabouts != nullptr) backend_->whereabouts->Arrive();
  backend_->Finish(backend_->host->barrier());
}

namespace {

struct GatherRows : torch::autograd::Function<GatherRows> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& tensor, const ProcessGroup* group,
                            const std::vector<int64_t>& rows_by_rank) {
    ctx->saved_data["group"] = reinterpret_cast<int64_t>(group);
    ctx->saved_data["rows"] = rows_by_rank;
    return group->AllGatherRows(tensor, rows_by_rank);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx, torch::autograd::variable_list grads) {
    const auto* group = reinterpret_cast<const ProcessGroup*>(ctx->saved_data["group"].toInt());
    const std::vector<int64_t> rows = ctx->saved_data["rows"].toIntVector();
    const at::Tensor sum = grads[0].contiguous().clone();
    group->AllReduceSum(sum);
    const int64_t before = std::accumulate(rows.begin(), rows.begin() + group->rank(), int64_t{0});
    return {sum.narrow(0, before, rows[static_cast<size_t>(group->rank())]), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor GatherRowsWithGradient(const ProcessGroup& group, const at::Tensor& tensor, const std::vector<int64_t>& rows_by_rank) {
  if (group.world_size() == 1) return tensor;
  return GatherRows::apply(tensor, &group, rows_by_rank);
}

}  // namespace pixelrec::dist
