// The ranks of one generation as a group: a c10d store to meet at, and the collectives training needs, over Gloo (NCCL later).
// The only folder that names a backend.
//
// Threads: one thread at a time; all ranks must call the same collectives in the same order. Errors: a lost peer or an expired
// timeout throws c10::Error; nobody waits for that in practice, since the worker kills the trainers of a broken generation.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace pixelrec::dist {

// Where the ranks meet. Rank 0 listens on a port of its own; the others connect to it.
class Rendezvous {
 public:
  // Listens on any free port of `host`.
  static absl::StatusOr<Rendezvous> Listen(const std::string& host, std::chrono::milliseconds timeout);
  static absl::StatusOr<Rendezvous> Connect(const std::string& host, uint16_t port, std::chrono::milliseconds timeout);
  uint16_t port() const { return port_; }

 private:
  friend class ProcessGroup;
  struct Store;
  std::shared_ptr<Store> store_;  // owners: copies of this; the groups made from it keep the c10d store itself
  uint16_t port_ = 0;
};

class ProcessGroup {
 public:
  struct Options {
    int rank = 0;
    int world_size = 1;
    std::string host_address = "127.0.0.1";  // this rank's collectives listen here
    std::string prefix;                      // keys in the store: job and generation
    std::chrono::milliseconds timeout{600'000};
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
