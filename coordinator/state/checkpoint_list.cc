#include "coordinator/state/checkpoint_list.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace pixelrec::coordinator {

namespace {

using Key = std::pair<std::string, uint64_t>;  // path, generation

Key KeyOf(const v1::Artifact& artifact) { return {artifact.path(), artifact.generation()}; }

class List {
 public:
  explicit List(const JobEntry& entry) : entry_(entry) {
    // A path that a generation wrote twice: the later commit counts.
    for (const v1::JobEvent& event : entry.events) {
      if (event.has_artifact()) {
        commits_[KeyOf(event.artifact())] = &event;
      }
    }
    for (const v1::Artifact& artifact : entry.record.unpublished()) {
      unpublished_.insert(KeyOf(artifact));
    }
  }

  void Add(const v1::Artifact& artifact, v1::CheckpointState state) {
    v1::Checkpoint& checkpoint = found_.emplace_back();
    *checkpoint.mutable_artifact() = artifact;
    checkpoint.set_state(state);
    checkpoint.set_published(!unpublished_.contains(KeyOf(artifact)));
    checkpoint.set_resume_point(artifact.path() == entry_.job().checkpoint().path());
    if (auto commit = commits_.find(KeyOf(artifact)); commit != commits_.end()) {
      *checkpoint.mutable_commit_time() = commit->second->time();
      checkpoint.set_event_sequence(commit->second->sequence());
    }
  }

  std::vector<v1::Checkpoint> Take() {
    std::stable_sort(found_.begin(), found_.end(),
                     [](const v1::Checkpoint& a, const v1::Checkpoint& b) { return a.event_sequence() > b.event_sequence(); });
    return std::move(found_);
  }

 private:
  const JobEntry& entry_;
  std::map<Key, const v1::JobEvent*> commits_;
  std::set<Key> unpublished_;
  std::vector<v1::Checkpoint> found_;
};

}  // namespace

std::vector<v1::Checkpoint> CheckpointsOf(const JobEntry& entry) {
  List list(entry);
  for (const v1::Artifact& artifact : entry.record.checkpoints()) {
    list.Add(artifact, v1::CHECKPOINT_STATE_KEPT);
  }
  for (const Reaping& reaping : entry.record.reaping()) {
    list.Add(reaping.checkpoint(), reaping.successor().empty() ? v1::CHECKPOINT_STATE_DAMAGED : v1::CHECKPOINT_STATE_SUPERSEDED);
  }
  for (const v1::Artifact& artifact : entry.record.damaged()) {
    list.Add(artifact, v1::CHECKPOINT_STATE_DAMAGED);
  }
  if (entry.job().has_best_model()) {
    list.Add(entry.job().best_model(), v1::CHECKPOINT_STATE_KEPT);
  }
  return list.Take();
}

}  // namespace pixelrec::coordinator
