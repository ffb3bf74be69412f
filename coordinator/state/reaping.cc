#include "coordinator/state/reaping.h"

#include <algorithm>

namespace pixelrec::coordinator {

namespace {

using Reapings = google::protobuf::RepeatedPtrField<Reaping>;

Reapings::const_iterator Find(const Reapings& reapings, const std::string& path) {
  return std::find_if(reapings.begin(), reapings.end(), [&](const Reaping& r) { return r.checkpoint().path() == path; });
}

// Its successor may itself be given up by now, for a later one.
bool GoesWith(const Reapings& reapings, const Reaping& reaping, const std::string& path) {
  std::string successor = reaping.successor();
  for (int i = 0; i < reapings.size(); ++i) {
    if (successor.empty() || successor == path) {
      return true;
    }
    const auto later = Find(reapings, successor);
    if (later == reapings.end()) {
      return false;
    }
    successor = later->successor();
  }
  return successor.empty() || successor == path;
}

template <typename Predicate>
void EraseIf(Reapings& reapings, const Predicate& predicate) {
  reapings.erase(std::remove_if(reapings.begin(), reapings.end(), predicate), reapings.end());
}

}  // namespace

void RemovePath(Artifacts& artifacts, const std::string& path) {
  artifacts.erase(std::remove_if(artifacts.begin(), artifacts.end(), [&](const v1::Artifact& a) { return a.path() == path; }),
                  artifacts.end());
}

bool IsGivenUp(const JobRecord& record, const std::string& path) {
  return Find(record.reaping(), path) != record.reaping().end();
}

void GiveUpAllBut(JobRecord& record, int keep, const std::string& successor) {
  auto& checkpoints = *record.mutable_checkpoints();
  for (int i = checkpoints.size() - 1, newer = 0; i >= 0; --i) {
    if (checkpoints[i].kind() == v1::ARTIFACT_KIND_RECOVERY_CHECKPOINT && ++newer > keep) {
      Reaping& reaping = *record.add_reaping();
      *reaping.mutable_checkpoint() = checkpoints[i];
      reaping.set_successor(successor);
      checkpoints.erase(checkpoints.begin() + i);
    }
  }
}

std::vector<std::string> RemovedWith(const JobRecord& record, const std::string& path) {
  std::vector<std::string> paths;
  for (const Reaping& reaping : record.reaping()) {
    if (GoesWith(record.reaping(), reaping, path)) {
      paths.push_back(reaping.checkpoint().path());
    }
  }
  return paths;
}

void ForgetRemovedWith(JobRecord& record, const std::string& path) {
  // Damaged ones that were given up after that order was sent are not gone yet: those behind the last that had a successor.
  const Reapings before = record.reaping();
  const auto last = std::find_if(before.rbegin(), before.rend(), [&](const Reaping& r) { return r.successor() == path; });
  Reapings left;
  for (auto it = before.begin(); it != before.end(); ++it) {
    if (it < last.base() && GoesWith(before, *it, path)) {
      RemovePath(*record.mutable_unpublished(), it->checkpoint().path());
    } else {
      *left.Add() = *it;
    }
  }
  record.mutable_reaping()->Swap(&left);
}

void TakeBack(JobRecord& record, const std::string& path) {
  RemovePath(*record.mutable_checkpoints(), path);
  const auto itself = Find(record.reaping(), path);
  const std::string successor = itself == record.reaping().end() ? "" : itself->successor();
  EraseIf(*record.mutable_reaping(), [&](const Reaping& r) { return r.checkpoint().path() == path; });
  if (!successor.empty()) {
    // A later order, which may be under way, removes what this one would have removed.
    for (Reaping& reaping : *record.mutable_reaping()) {
      if (reaping.successor() == path) {
        reaping.set_successor(successor);
      }
    }
    return;
  }
  // Nothing was removed for its sake.
  auto& checkpoints = *record.mutable_checkpoints();
  for (const Reaping& reaping : record.reaping()) {
    if (reaping.successor() == path) {
      *checkpoints.Add() = reaping.checkpoint();
    }
  }
  EraseIf(*record.mutable_reaping(), [&](const Reaping& r) { return r.successor() == path; });
  std::stable_sort(checkpoints.begin(), checkpoints.end(),
                   [](const v1::Artifact& a, const v1::Artifact& b) { return a.step() < b.step(); });
}

}  // namespace pixelrec::coordinator
