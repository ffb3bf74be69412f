#include "tests/coordinator/simulator/planted.h"

#include <map>
#include <string>

namespace pixelrec::simulator {

namespace {

coordinator::Record Parse(const std::string& bytes) {
  coordinator::Record record;
  record.ParseFromString(bytes);
  return record;
}

// Of an older generation's report: makes it look like one of the newest, from the rank that is there now.
void TakeForNewest(coordinator::RankReported& reported, const Promises& promises) {
  v1::RankReport& report = reported.report;
  const auto record = promises.records().find(report.job_id());
  if (!report.trainer().has_artifact_staged() || record == promises.records().end()) return;
  const coordinator::Gang& gang = record->second.gang();
  if (report.generation() >= record->second.job().generation() || gang.over() || gang.ranks_size() == 0) return;
  report.set_generation(record->second.job().generation());
  for (const coordinator::GangRank& rank : gang.ranks()) {
    if (rank.worker_id() != reported.worker_id) continue;
    report.set_rank(rank.rank());
    report.set_sequence(rank.sequence() + 1000);
  }
}

// Every fifth of the numbered notes.
bool IsPicked(const v1::RankReport& report) {
  const std::string& text = report.trainer().notice().text();
  return report.trainer().has_notice() && !text.empty() && text.back() == '2';
}

}  // namespace

void PlantFault(Planted fault, FaultyParts parts) {
  const auto of_each_worker = [&](const std::function<bool(v1::RankReport&)>& tamper) {
    for (const auto& worker : parts.workers) worker->Tamper(tamper);
  };
  switch (fault) {
    case Planted::kNone:
      return;
    case Planted::kJournalForgetsSubmission:
      return parts.journal.Lie([](const std::string& bytes) {
        const coordinator::Record record = Parse(bytes);
        const v1::JobState state = record.has_job() ? record.job().job().state() : record.event().state_change().to();
        return record.has_job() ? record.job().number() % 3 == 0 && state == v1::JOB_STATE_PENDING
                                : record.event().sequence() == 1 && state == v1::JOB_STATE_PENDING;
      });
    case Planted::kJournalForgetsCommit:
      return parts.journal.Lie([](const std::string& bytes) {
        const coordinator::Record record = Parse(bytes);
        return record.event().has_artifact() && record.event().artifact().step() % 3 == 0;
      });
    case Planted::kOldGenerationCommits:
      return parts.coordinator.Tamper([&promises = parts.promises](coordinator::Event& event) {
        if (auto* reported = std::get_if<coordinator::RankReported>(&event)) TakeForNewest(*reported, promises);
      });
    case Planted::kStagingIsShared:
      return parts.trainers.ShareStaging();
    case Planted::kOlderCheckpoint:
      return parts.coordinator.TamperSent([&promises = parts.promises](v1::SessionResponse& message) {
        if (!message.has_start_rank()) return true;
        const auto record = promises.records().find(message.start_rank().job_id());
        if (record == promises.records().end() || record->second.checkpoints_size() < 2) return true;
        v1::TrainerPlan& plan = *message.mutable_start_rank()->mutable_plan();
        if (plan.has_resume_from())
          *plan.mutable_resume_from() = record->second.checkpoints(record->second.checkpoints_size() - 2);
        return true;
      });
    case Planted::kStopsAreLost:
      return parts.coordinator.TamperSent([](v1::SessionResponse& message) { return !message.has_stop_rank(); });
    case Planted::kExitsAreLost:
      return of_each_worker([](v1::RankReport& report) { return !report.has_exited(); });
    case Planted::kReportIsLost:
      return of_each_worker([](v1::RankReport& report) { return !IsPicked(report); });
    case Planted::kReportIsDoubled:
      return of_each_worker([](v1::RankReport& report) {
        if (IsPicked(report)) report.mutable_trainer()->mutable_notice()->set_text("note 1");
        return true;
      });
    case Planted::kPausesAreForgotten:
      return parts.coordinator.Tamper([](coordinator::Event& event) {
        if (std::holds_alternative<coordinator::PauseJob>(event)) event = coordinator::Tick{};
      });
    case Planted::kDeletionsAreForgotten:
      return parts.journal.Lie([](const std::string& bytes) { return Parse(bytes).has_deletion(); });
    case Planted::kStartsAreRepeated:
      for (const auto& worker : parts.workers) worker->ForgetStarts();
      return;
  }
}

}  // namespace pixelrec::simulator
