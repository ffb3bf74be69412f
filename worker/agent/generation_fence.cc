#include "worker/agent/generation_fence.h"

#include <utility>

namespace pixelrec::agent {

GenerationFence::Verdict GenerationFence::Admit(const std::string& job_id, uint64_t generation) {
  auto [it, fresh] = jobs_.try_emplace(job_id);
  Entry& entry = it->second;
  if (fresh) {
    entry.use = by_use_.insert(by_use_.begin(), job_id);
    if (jobs_.size() > kMaxJobs) {
      jobs_.erase(by_use_.back());
      by_use_.pop_back();
    }
  } else {
    by_use_.splice(by_use_.begin(), by_use_, entry.use);
  }
  if (generation < entry.generation) return Verdict::kOlder;
  if (generation == entry.generation) return Verdict::kCurrent;
  entry.generation = generation;
  entry.started = false;
  return Verdict::kNewer;
}

bool GenerationFence::IsOlder(const std::string& job_id, uint64_t generation) const {
  const auto it = jobs_.find(job_id);
  return it != jobs_.end() && generation < it->second.generation;
}

bool GenerationFence::MarkStarted(const std::string& job_id) {
  const auto it = jobs_.find(job_id);
  return it != jobs_.end() && !std::exchange(it->second.started, true);
}

}  // namespace pixelrec::agent
