// What a worker tells the coordinator about where its trainer is, and when that can't wait for the next beat: as soon as a
// section outlasts its deadline. The coordinator judges, since only it sees all ranks.
//
// Threads: one.
#pragma once

#include <chrono>
#include <optional>

#include "pixelrec/v1/worker_service.pb.h"
#include "worker/agent/rank_key.h"
#include "worker/channel/position_page.h"

namespace pixelrec::agent {

v1::RankPosition ToProto(const RankKey& key, const channel::Position& position, Time now);

class HangWatch {
 public:
  // Of a coordinator that says nothing of hangs, nothing is ever due.
  void OnRegistered(const v1::Registered& terms);

  // When a trainer that is at `position` is to be told of at once; nothing: the next beat is soon enough, or it was told already.
  std::optional<Time> Due(const std::optional<channel::Position>& position) const;
  // The coordinator is told.
  void OnTold(const std::optional<channel::Position>& position);

 private:
  std::chrono::nanoseconds floor_{0};
  double factor_ = 0;
  std::optional<channel::Position> told_;
};

}  // namespace pixelrec::agent
