#include "ctl/client/sample_audit.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ctl/client/job_state.h"

namespace pixelrec::ctl {
namespace {

void Add(std::vector<SampleRecord>& records, const v1::JobEvent& event, int64_t step, int64_t samples, const std::string& digest,
         std::string source) {
  if (!digest.empty()) records.push_back({step, {samples, digest}, event.generation(), std::move(source)});
}

std::string EndOf(const v1::Failure& failure) {
  return absl::StrCat(absl::StripPrefix(v1::FailureCause_Name(failure.cause()), "FAILURE_CAUSE_"), ": ", failure.message());
}

// Where a generation has got to, and why it ended.
void Follow(const v1::JobEvent& event, AuditedGeneration& generation) {
  int64_t step = generation.from_step;
  if (event.has_artifact()) step = event.artifact().step();
  if (event.has_epoch_result()) step = event.epoch_result().step();
  if (event.has_failure()) {
    step = event.failure().step();
    generation.end = EndOf(event.failure());
  }
  if (event.has_result()) generation.end = "done";
  generation.last_step = std::max(generation.last_step, step);
}

std::vector<AuditedGeneration> GenerationsOf(const v1::ListJobEventsResponse& history) {
  std::vector<AuditedGeneration> generations;
  for (const v1::JobEvent& event : history.events()) {
    const v1::StateChange& change = event.state_change();
    if (change.to() == v1::JOB_STATE_STARTING && change.ranks() > 0) {
      generations.push_back({event.generation(), change.ranks(), change.from_step(), change.from_step(), 0, ""});
    } else if (generations.empty() || generations.back().generation != event.generation()) {
      continue;
    } else if (change.to() == v1::JOB_STATE_RUNNING) {
      generations.back().from_step = generations.back().last_step = change.from_step();
    } else {
      Follow(event, generations.back());
    }
  }
  for (size_t i = 0; i < generations.size(); ++i) {
    AuditedGeneration& g = generations[i];
    const bool last = i + 1 == generations.size();
    g.kept_step = last ? g.last_step : std::min(g.last_step, generations[i + 1].from_step);
    if (g.end.empty()) g.end = last ? "trains" : "made room for more ranks";
  }
  return generations;
}

VisitedSamples At(const ExpectedSamples& expected, int64_t step) {
  const auto found = expected.steps.find(step);
  return found == expected.steps.end() ? VisitedSamples() : found->second;
}

std::string Differs(const SampleRecord& record, const VisitedSamples& expected) {
  const std::string where = absl::StrCat(record.source, " (generation ", record.generation, ", step ", record.step, ")");
  if (record.visited.samples != expected.samples)
    return absl::StrCat(where, ": ", record.visited.samples, " samples visited, ", expected.samples, " expected");
  return absl::StrCat(where, ": digest ", record.visited.digest, ", ", expected.digest,
                      " expected: as many samples, but others, or with other negatives");
}

// The last epoch of `epochs` may be the one in hand.
std::vector<AuditedEpoch> EpochsOf(const std::map<int64_t, VisitedSamples>& recorded, const ExpectedSamples& expected) {
  std::vector<AuditedEpoch> epochs;
  int64_t first_step = 1, expected_before = 0, visited_before = 0;
  const auto add = [&](int64_t epoch, int64_t step, int64_t expected_after, bool whole) {
    AuditedEpoch row{epoch, first_step, step, whole, expected_after - expected_before, 0, false, true};
    if (const auto found = recorded.find(step); found != recorded.end()) {
      row.recorded = true;
      row.visited = found->second.samples - visited_before;
      row.equal = found->second == At(expected, step);
    }
    first_step = step + 1;
    expected_before = expected_after;
    visited_before = row.recorded ? visited_before + row.visited : expected_after;
    epochs.push_back(row);
  };
  for (const ExpectedSamples::Epoch& epoch : expected.epochs) add(epoch.epoch, epoch.step, expected_before + epoch.samples, true);
  const int64_t last = recorded.rbegin()->first;
  if (last >= first_step) add(static_cast<int64_t>(epochs.size()) + 1, last, At(expected, last).samples, false);
  return epochs;
}

}  // namespace

absl::StatusOr<std::vector<SampleRecord>> SampleRecordsOf(const v1::Job& job, const v1::ListJobEventsResponse& history) {
  std::vector<SampleRecord> records;
  for (const v1::JobEvent& event : history.events()) {
    if (event.has_epoch_result()) {
      const v1::EpochResult& epoch = event.epoch_result();
      Add(records, event, epoch.step(), epoch.samples(), epoch.sample_digest(), absl::StrCat("epoch ", epoch.epoch()));
    } else if (event.has_artifact()) {
      const v1::Artifact& artifact = event.artifact();
      Add(records, event, artifact.step(), artifact.samples(), artifact.sample_digest(),
          absl::StrCat("checkpoint ", std::filesystem::path(artifact.path()).filename().string()));
    } else if (event.has_result() && event.result().epochs_size() > 0) {
      const v1::JobResult& result = event.result();
      Add(records, event, result.epochs().rbegin()->step(), result.samples(), result.sample_digest(), "the result");
    }
  }
  if (!records.empty()) return records;
  if (job.spec().kind() == "Evaluate")
    return absl::FailedPreconditionError(absl::StrCat("job ", job.job_id(), " evaluates: it visits no training samples"));
  return absl::FailedPreconditionError(absl::StrCat("job ", job.job_id(), " (", StateName(job.state()),
                                                    ") has recorded no samples yet: ask again after its first checkpoint"));
}

absl::StatusOr<ExpectedSamples> ParseExpectedSamples(absl::string_view json) {
  try {
    const auto document = nlohmann::json::parse(json);
    ExpectedSamples expected{document.at("data_hash"), document.at("samples"), {}, {}};
    for (const auto& epoch : document.at("epochs"))
      expected.epochs.push_back({epoch.at("epoch"), epoch.at("step"), epoch.at("samples"), epoch.at("distinct")});
    for (const auto& step : document.at("steps")) expected.steps[step.at("step")] = {step.at("samples"), step.at("digest")};
    return expected;
  } catch (const nlohmann::json::exception& error) {
    return absl::InternalError(absl::StrCat("pixelrec-trainer samples didn't print what was expected: ", error.what()));
  }
}

SampleAudit AuditSamples(const v1::Job& job, const v1::ListJobEventsResponse& history, const std::vector<SampleRecord>& records,
                         const ExpectedSamples& expected) {
  SampleAudit audit{.job_id = job.job_id(),
                    .data_hash = expected.data_hash,
                    .samples_per_epoch = expected.samples,
                    .generations = GenerationsOf(history)};
  if (!job.data_hash().empty() && job.data_hash() != expected.data_hash) {
    audit.problems.push_back(absl::StrCat("this is not the data that the job trained on: its hash is ", expected.data_hash,
                                          ", the job's ", job.data_hash()));
  }
  std::map<int64_t, VisitedSamples> recorded;
  for (const SampleRecord& record : records) {
    const VisitedSamples want = At(expected, record.step);
    if (record.visited != want) audit.problems.push_back(Differs(record, want));
    // Of two records of one step the one that differs is shown.
    auto [place, added] = recorded.emplace(record.step, record.visited);
    if (!added && record.visited != want) place->second = record.visited;
  }
  audit.steps = recorded.rbegin()->first;
  audit.epochs = EpochsOf(recorded, expected);
  for (const ExpectedSamples::Epoch& epoch : expected.epochs) {
    if (epoch.distinct != expected.samples)
      audit.problems.push_back(
          absl::StrCat("epoch ", epoch.epoch, " visits ", epoch.distinct, " of ", expected.samples, " samples"));
  }
  return audit;
}

}  // namespace pixelrec::ctl
