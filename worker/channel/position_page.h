// Where a trainer is in its work, in a page of memory that its worker reads without asking it: also of one that hangs, or is
// stopped in the middle of an update.
//
// Threads: one writer, any number of readers, in two processes. Neither ever waits for the other.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "common/storage/unique_fd.h"

namespace pixelrec::channel {

struct Position {
  int32_t section = 0;      // the number of a v1::TrainerSection
  int64_t step = 0;         // optimiser steps done
  uint64_t collective = 0;  // collectives of this generation that this rank has come to
  bool waits = false;       // for other ranks, in the newest of them
  // In the section, less what it waited; of a rank that waits, since the wait began. CLOCK_MONOTONIC, which both processes read.
  std::chrono::steady_clock::time_point since;
  // Median of what the section took before; of a rank that waits, of a whole step. Nothing: too few to say.
  std::optional<std::chrono::nanoseconds> typical;

  bool operator==(const Position&) const = default;
};

class PositionPage {
 public:
  // A page of its own, to be inherited by the trainer.
  static absl::StatusOr<PositionPage> Create();
  // The one that `fd` stands for. INVALID_ARGUMENT: it is too small, or no memory.
  static absl::StatusOr<PositionPage> Open(int fd);
  PositionPage(PositionPage&& other) noexcept;
  PositionPage& operator=(PositionPage&&) = delete;
  ~PositionPage();

  int fd() const { return fd_.get(); }
  void Write(const Position& position);
  // Nothing: not written yet, or it changes too fast to be read whole, which no rank that hangs does.
  std::optional<Position> Read() const;

 private:
  struct Slot {
    std::atomic<int64_t> section, step, collective, waits, since, typical;
  };
  // Two places, written by turns: the other one stays whole if the writer stops in the middle.
  struct Page {
    std::atomic<uint64_t> writes;  // position number N lies in slots[N % 2]; 0: none yet
    Slot slots[2];
  };
  static_assert(std::atomic<int64_t>::is_always_lock_free && std::atomic<uint64_t>::is_always_lock_free);

  PositionPage(storage::UniqueFd fd, Page* page) : fd_(std::move(fd)), page_(page) {}

  storage::UniqueFd fd_;
  Page* page_;
};

}  // namespace pixelrec::channel
