// The ranks of one generation as a group: a c10d store to meet at, and the collectives training needs. Tensors on the host go
// over Gloo, those on a GPU over NCCL. Small things that the host decides by (texts, statistics) are on the host and stay there:
// over NCCL they would wait for all the work queued on the GPU before they could be read. The only folder that names a backend.
//
// Threads: one thread at a time; all ranks must call the same collectives in the same order. Errors: a lost peer or an expired
// timeout throws c10::Error; nobody waits for that in practice, since the worker kills the trainers of a broken generation.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace pixelrec::dist {

class Whereabouts;

inline constexpr std::chrono::milliseconds kCollectiveTimeout{600'000};

// Where the ranks meet. Rank 0 listens on a port of its own; the others connect to it.
class Rendezvous {
 public:
  // Listens on any free port of `host`.
  static absl::StatusOr<Rendezvous> Listen(const std::string& host, std::chrono::milliseconds timeout);
  static absl::StatusOr<Rendezvous> Connect(const std::string& host, uint16_t port, std::chrono::milliseconds timeout);
  uint16_t port() const { return port_; }
  // Every rank's text, in rank order, before there is a group. Collective; `key` serves one exchange.
  absl::StatusOr<std::vector<std::string>> Exchange(const std::string& key, int rank, int world_size, const std::string& text,
                                                    std::chrono::milliseconds timeout) const;

 private:
  friend class ProcessGroup;
  struct Store;
  std::shared_ptr<Store> store_;  // owners: copies of this; the groups made from it keep the c10d store itself
  uint16_t port_ = 0;
};

// A collective under way. Its tensors stay alive and untouched until Wait; throws what the collective threw.
class Pending {
 public:
  Pending() = default;  // nothing under way
  void Wait();

 private:
  friend class ProcessGroup;
  struct Work;
  explicit Pending(std::shared_ptr<Work> work) : work_(std::move(work)) {}
  std::shared_ptr<Work> work_;  // owner: this and its copies
};

class ProcessGroup {
 public:
  struct Options {
    int rank = 0;
    int world_size = 1;
    std::string host_address = "127.0.0.1";  // this rank's collectives listen here
    std::string prefix;                      // keys in the store: job and generation
    std::chrono::milliseconds timeout = kCollectiveTimeout;
    at::Device device = at::kCPU;        // a GPU: its tensors go over NCCL
    Whereabouts* whereabouts = nullptr;  // told of every collective and every wait; outlives the group
  };

  // A group of one: every collective is the identity.
  static ProcessGroup Alone();
  static absl::StatusOr<ProcessGroup> Join(const Rendezvous& rendezvous, const Options& options);

  int rank() const { return rank_; }
  int world_size() const { return world_size_; }

  // In place, elementwise sum over ranks; every rank gets the same bits.
  void AllReduceSum(at::Tensor tensor) const;
  // Rows of every rank, in rank order. rows_by_rank[r] is rank r's number of rows; tensor: [rows_by_rank[rank()], ...].
  at::Tensor AllGatherRows(const at::Tensor& tensor, const std::vector<int64_t>& rows_by_rank) const;
  // The same in the background. Collectives of one group run one after another, in the order in which they were started.
  Pending StartAllReduceSum(const at::Tensor& tensor) const;
  // whole: [world_size x n], becomes the ranks' shares [n] one behind the other.
  Pending StartAllGather(const at::Tensor& whole, const at::Tensor& share) const;
  // share: [n], becomes this rank's part of the sum over ranks of whole [world_size x n].
  Pending StartReduceScatterSum(const at::Tensor& share, const at::Tensor& whole) const;
  // Every rank's text, in rank order, on every rank.
  std::vector<std::string> AllGatherText(const std::string& text) const;
  // Rank 0's text, on every rank.
  std::string Broadcast(const std::string& text) const;
  void Barrier() const;

 private:
  int rank_ = 0;
  int world_size_ = 1;
  struct Backend;
  std::shared_ptr<Backend> backend_;  // owners: copies of this; null for a group of one
};

// AllGatherRows with a gradient (rule N3): the backward pass sums every rank's cotangent and hands each rank its own rows back.
at::Tensor GatherRowsWithGradient(const ProcessGroup& group, const at::Tensor& tensor, const std::vector<int64_t>& rows_by_rank);

}  // namespace pixelrec::dist
