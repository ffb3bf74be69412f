#include "coordinator/state/hang.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/state/stepper.h"
#include "google/protobuf/util/time_util.h"

namespace pixelrec::coordinator {
namespace {

using google::protobuf::util::TimeUtil;
using std::chrono::microseconds;
using v1::RankPosition;
using RankAndPosition = std::pair<const int32_t, RankPosition>;

microseconds MicrosecondsOf(const google::protobuf::Duration& duration) {
  return microseconds(TimeUtil::DurationToMicroseconds(duration));
}

std::string Seconds(const google::protobuf::Duration& duration) {
  const double seconds = static_cast<double>(TimeUtil::DurationToMicroseconds(duration)) / 1e6;
  return absl::StrFormat(seconds < 1 ? "%.3f s" : "%.1f s", seconds);
}

bool WaitsForDisk(v1::TrainerSection section) {
  switch (section) {
    case v1::TRAINER_SECTION_LOAD:
    case v1::TRAINER_SECTION_COPY_CHECKPOINT:
    case v1::TRAINER_SECTION_WRITE_CHECKPOINT:
    case v1::TRAINER_SECTION_WRITE_MODEL:
    case v1::TRAINER_SECTION_REPORT:
      return true;
    default:
      return false;
  }
}

std::string Doing(v1::TrainerSection section) {
  switch (section) {
    case v1::TRAINER_SECTION_LOAD:
      return "loading a model";
    case v1::TRAINER_SECTION_DATA:
      return "waiting for its next batch";
    case v1::TRAINER_SECTION_FORWARD:
      return "in its forward pass";
    case v1::TRAINER_SECTION_BACKWARD:
      return "in its backward pass";
    case v1::TRAINER_SECTION_REDUCE:
      return "summing up the step over the ranks";
    case v1::TRAINER_SECTION_OPTIMIZE:
      return "in the optimizer";
    case v1::TRAINER_SECTION_COPY_CHECKPOINT:
      return "copying its shard of a checkpoint";
    case v1::TRAINER_SECTION_WRITE_CHECKPOINT:
      return "writing a checkpoint";
    case v1::TRAINER_SECTION_WRITE_MODEL:
      return "writing best_model";
    case v1::TRAINER_SECTION_ENCODE:
      return "embedding items";
    case v1::TRAINER_SECTION_VALIDATE:
      return "validating";
    case v1::TRAINER_SECTION_RANK:
      return "ranking items";
    case v1::TRAINER_SECTION_REPORT:
      return "writing logs and metrics";
    case v1::TRAINER_SECTION_PREPARE:
      return "preparing the dataset";
    default:
      return "in a section that this coordinator doesn't know";
  }
}

bool IsOverdue(const RankPosition& position, const Policy& policy) {
  const auto deadline = HangDeadline(position, policy);
  return deadline.has_value() && MicrosecondsOf(position.lasts()) >= *deadline;
}

std::string Describe(const RankPosition& p, uint64_t furthest, int waiting) {
  std::string text = "hangs";
  if (p.section() != v1::TRAINER_SECTION_PREPARE) absl::StrAppend(&text, " at step ", p.step() + 1);
  absl::StrAppend(&text, ", for ", Seconds(p.lasts()), " ");
  if (p.waits()) {
    absl::StrAppend(&text, "in collective ", p.collective(), p.collective() < furthest ? ", which others are past" : "");
  } else {
    text += Doing(p.section());
  }
  if (p.has_typical()) absl::StrAppend(&text, p.waits() ? " (a step: " : " (usually ", Seconds(p.typical()), ")");
  if (p.process_stopped()) text += "; its process is stopped";
  if (waiting > 0) absl::StrAppend(&text, "; ", waiting, waiting == 1 ? " rank waits" : " ranks wait", " for it");
  return text;
}

}  // namespace

std::optional<microseconds> HangDeadline(const RankPosition& position, const Policy& policy) {
  const bool awaits_us = position.section() == v1::TRAINER_SECTION_AWAIT_COMMIT && !position.waits();
  if (awaits_us && !position.process_stopped()) return std::nullopt;
  if (position.section() == v1::TRAINER_SECTION_PREPARE) {
    const microseconds longest(
        static_cast<int64_t>(policy.hang_factor * static_cast<double>(microseconds(policy.start_timeout).count())));
    return position.process_stopped() ? microseconds(policy.hang_floor) : longest;
  }
  const bool patient = !position.has_typical() || (WaitsForDisk(position.section()) && !position.waits());
  const microseconds floor = patient ? policy.start_timeout : policy.hang_floor;
  const auto typical = static_cast<double>(MicrosecondsOf(position.typical()).count());
  return std::max(floor, microseconds(static_cast<int64_t>(policy.hang_factor * typical)));
}

std::optional<Hang> FindHang(const std::map<int32_t, RankPosition>& positions, int world_size, const Policy& policy) {
  if (static_cast<int>(positions.size()) < world_size) return std::nullopt;
  uint64_t fewest = UINT64_MAX, furthest = 0;
  int waiting = 0;
  for (const auto& [rank, position] : positions) {
    fewest = std::min(fewest, position.collective());
    furthest = std::max(furthest, position.collective());
    waiting += position.waits() ? 1 : 0;
  }
  std::vector<const RankAndPosition*> suspects;  // overdue, and what the others wait for if they do
  size_t behind = 0;
  for (const RankAndPosition& at : positions) {
    const bool is_behind = at.second.collective() == fewest;
    behind += is_behind ? 1 : 0;
    if (IsOverdue(at.second, policy) && (is_behind || at.second.process_stopped())) suspects.push_back(&at);
  }
  if (suspects.empty()) return std::nullopt;
  // A stopped process is to blame wherever it is; then who works and doesn't get on; who waits only if nobody behind still works.
  const auto guilt = [](const RankAndPosition* at) {
    return std::tuple(at->second.process_stopped(), !at->second.waits(), MicrosecondsOf(at->second.lasts()));
  };
  const auto* worst = *std::max_element(suspects.begin(), suspects.end(), [&](auto* a, auto* b) { return guilt(a) < guilt(b); });
  const RankPosition& p = worst->second;
  if (p.waits() && !p.process_stopped()) {
    if (behind != suspects.size()) return std::nullopt;  // another one behind still works, or has only begun to wait
    if (behind == positions.size() && behind > 1) {
      return Hang{-1, absl::StrCat("all ranks have come to collective ", fewest, " of step ", p.step() + 1,
                                   " and none gets through it, for ", Seconds(p.lasts()))};
    }
  }
  return Hang{worst->first, Describe(p, furthest, waiting - (p.waits() ? 1 : 0))};
}

// Beats say where ranks are; whether one hangs is known once all have said so.
void Stepper::NotePositions(const WorkerEntry& worker, const std::vector<RankPosition>& positions) {
  for (const RankPosition& position : positions) {
    JobEntry* entry = FindById(position.job_id());
    if (entry == nullptr || !entry->gang_lives() || entry->job().generation() != position.generation()) continue;
    if (FindRank(*entry, position.rank(), worker) == nullptr) continue;
    entry->positions[position.rank()] = position;
    JudgeGang(*entry, position.rank());
  }
}

void Stepper::JudgeGang(JobEntry& found, int32_t reporter) {
  const Gang& gang = found.record.gang();
  const v1::JobState state = found.job().state();
  const bool at_its_work = state == v1::JOB_STATE_RUNNING || state == v1::JOB_STATE_PREPARING;
  if (!at_its_work || gang.has_failure() || found.record.has_cancellation()) return;
  const auto& ranks = gang.ranks();
  int at_work = 0;
  for (const GangRank& rank : ranks) {
    if (rank.ended()) found.positions.erase(rank.rank());
    at_work += rank.ended() ? 0 : 1;
  }
  const std::optional<Hang> hang = FindHang(found.positions, at_work, state_.policy);
  // What the others said is up to a beat old: one that has moved on since would look left behind. Its own next beat tells.
  if (!hang.has_value() || (hang->rank >= 0 && hang->rank != reporter)) return;
  JobEntry& entry = Touch(found.record.number());
  const auto rank = std::find_if(ranks.begin(), ranks.end(), [&](const GangRank& r) { return r.rank() == hang->rank; });
  v1::Failure failure;
  failure.set_cause(v1::FAILURE_CAUSE_HANG);
  failure.set_message(hang->message);
  failure.set_hint(hang->rank < 0
                       ? "look at the network between the ranks' hosts"
                       : "look at that rank's log and host: a stopped process, a disk or a GPU that doesn't answer; raise "
                         "hang_floor in coordinator.yaml if it was just slow");
  FailGang(entry, rank == ranks.end() ? nullptr : &*rank, std::move(failure));
}

}  // namespace pixelrec::coordinator
