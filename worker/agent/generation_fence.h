// The newest generation known of each job. What belongs to an older one is refused.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <string>

namespace pixelrec::agent {

class GenerationFence {
 public:
  enum class Verdict { kOlder, kCurrent, kNewer };

  // Compares and, if it is newer, raises the fence.
  Verdict Admit(const std::string& job_id, uint64_t generation);
  bool IsOlder(const std::string& job_id, uint64_t generation) const;

  // True for the first call for a job's current generation: a repeated StartRank starts nothing.
  bool MarkStarted(const std::string& job_id);

 private:
  // A worker may live for years; jobs not heard of for this many others are forgotten.
  static constexpr size_t kMaxJobs = 1024;
  struct Entry {
    uint64_t generation = 0;
    bool started = false;
    std::list<std::string>::iterator use;
  };
  std::map<std::string, Entry> jobs_;
  std::list<std::string> by_use_;  // newest first
};

}  // namespace pixelrec::agent
