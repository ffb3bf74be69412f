// The coordinator's journal on a disk that fills up, and under a process that dies at the worst instant.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/journal/record_log.h"

namespace pixelrec::simulator {

// Thrown where the coordinator is to die; whatever was going on in its memory is gone.
struct ProcessDied {};

class JournalDisk final : public coordinator::RecordLog {
 public:
  enum class Failpoint {
    kNone,
    kBeforeCommit,  // nothing of the batch is durable
    kAfterCommit,   // all of it is, and nobody was told
  };

  // One of them strikes at the next commit.
  void Arm(Failpoint failpoint) { failpoint_ = failpoint; }
  void SetFull(bool full) { full_ = full; }
  bool full() const { return full_; }
  // Called for each batch once it is durable.
  void OnAppended(std::function<void()> watcher) { on_appended_ = std::move(watcher); }
  // A planted fault: says "durable" and keeps nothing of what `drops` picks.
  void Lie(std::function<bool(const std::string& record)> drops) { drops_ = std::move(drops); }

  absl::Status Replay(const std::function<absl::Status(absl::string_view)>& apply) override {
    for (const std::string& record : records_) {
      if (absl::Status status = apply(record); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Append(const std::vector<std::string>& records) override {
    const Failpoint failpoint = std::exchange(failpoint_, Failpoint::kNone);
    if (failpoint == Failpoint::kBeforeCommit) throw ProcessDied();
    if (full_) {
      ++refusals_;
      return absl::ResourceExhaustedError("the journal's disk is full");
    }
    for (const std::string& record : records) {
      if (drops_ != nullptr && drops_(record)) continue;
      records_.push_back(record);
      ++tail_;
    }
    if (on_appended_ != nullptr) on_appended_();
    if (failpoint == Failpoint::kAfterCommit) throw ProcessDied();
    return absl::OkStatus();
  }

  absl::Status Compact(const std::vector<std::string>& snapshot) override {
    if (full_) return absl::ResourceExhaustedError("the journal's disk is full");
    records_ = snapshot;
    tail_ = 0;
    ++compactions_;
    return absl::OkStatus();
  }

  int64_t tail_length() const override { return tail_; }
  int64_t SizeBytes() const override { return static_cast<int64_t>(records_.size()); }
  const std::vector<std::string>& records() const { return records_; }
  int refusals() const { return refusals_; }
  int compactions() const { return compactions_; }

 private:
  std::vector<std::string> records_;
  int64_t tail_ = 0;
  bool full_ = false;
  int refusals_ = 0, compactions_ = 0;
  Failpoint failpoint_ = Failpoint::kNone;
  std::function<bool(const std::string&)> drops_;
  std::function<void()> on_appended_;
};

}  // namespace pixelrec::simulator
