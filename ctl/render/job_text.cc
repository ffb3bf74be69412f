#include "ctl/render/job_text.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/rpc/auth/principal.h"
#include "ctl/client/job_state.h"
#include "ctl/render/event_text.h"
#include "ctl/render/quantity.h"
#include "ctl/render/result_text.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {
namespace {

std::string AgeText(const google::protobuf::Timestamp& since, absl::Time now) {
  if (since.seconds() == 0) return "-";
  return SecondsText(std::max(0.0, std::round(absl::ToDoubleSeconds(now - TimeOf(since)))));
}

std::string ListedProgress(const v1::Job& job) {
  if (HasEnded(job.state()) || !job.has_progress()) return "-";
  const std::string summary = ProgressSummary(job.progress());
  return summary.empty() ? "-" : summary;
}

// "  key:      value" lines, empty values left out.
class Lines {
 public:
  void Add(const std::string& key, const std::string& value) {
    if (value.empty()) return;
    constexpr size_t kKeyWidth = 16;
    std::string label = key + ":";
    label.resize(std::max(kKeyWidth, label.size() + 1), ' ');
    text_ += label + OneLine(value) + "\n";
  }
  void AddBlock(const std::string& title, const std::string& block) { absl::StrAppend(&text_, "\n", title, "\n", block); }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string LabelText(const v1::JobSpec& spec) {
  std::vector<std::string> labels;
  for (const auto& [key, value] : spec.labels()) labels.push_back(absl::StrCat(key, "=", value));
  std::sort(labels.begin(), labels.end());
  return absl::StrJoin(labels, ", ");
}

std::string WorkersWanted(const v1::DistributedSpec& spec) {
  if (spec.min_workers() == spec.max_workers()) return absl::StrCat(spec.min_workers());
  return absl::StrCat(spec.min_workers(), " to ", spec.max_workers());
}

std::string RestartText(const v1::Job& job) {
  if (job.infrastructure_restarts() == 0 && job.user_restarts() == 0 && job.preemptions() == 0) return "";
  return absl::StrCat(job.infrastructure_restarts(), " (infrastructure), ", job.user_restarts(), " (user)",
                      job.preemptions() > 0 ? absl::StrCat(", ", job.preemptions(), " (preemption)") : "");
}

// What has been used of the time limit, where there is one.
std::string RunTimeText(const v1::Job& job) {
  const google::protobuf::Duration& limit = job.spec().scheduling().time_limit();
  if (!job.spec().scheduling().has_time_limit() && job.run_time().seconds() == 0) return "";
  const std::string ran = SecondsText(static_cast<double>(job.run_time().seconds()));
  return job.spec().scheduling().has_time_limit() ? absl::StrCat(ran, " of ", SecondsText(static_cast<double>(limit.seconds())))
                                                  : ran;
}

std::string RankTable(const v1::Job& job) {
  Table table({{"RANK", Table::Align::kRight}, {"WORKER"}, {"PID", Table::Align::kRight}});
  for (const v1::RankPlacement& rank : job.ranks()) {
    table.Add({absl::StrCat(rank.rank()), rank.worker_id(), rank.pid() == 0 ? "-" : absl::StrCat(rank.pid())});
  }
  return table.Text("  ");
}

std::string WorkerStateName(v1::WorkerState state) {
  if (!v1::WorkerState_IsValid(state)) return absl::StrCat(static_cast<int>(state));
  return std::string(absl::StripPrefix(v1::WorkerState_Name(state), "WORKER_STATE_"));
}

}  // namespace

std::string ProgressSummary(const v1::Progress& progress) {
  if (progress.section() == "train" || (progress.section().empty() && progress.total_steps() > 0)) {
    return absl::StrCat("epoch ", progress.epoch(), "/", progress.epochs(), ", step ", progress.step(), "/",
                        progress.total_steps());
  }
  if (progress.section().empty()) return "";
  return absl::StrCat(progress.section(), " ", Percent(progress.section_fraction()));
}

std::string JobListText(const v1::ListJobsResponse& jobs, absl::Time now) {
  if (jobs.jobs().empty()) return "no jobs\n";
  Table table({{"JOB"}, {"NAME"}, {"STATE"}, {"PROGRESS"}, {"AGE", Table::Align::kRight}, {"REASON"}});
  for (const v1::Job& job : jobs.jobs()) {
    table.Add({job.job_id(), job.spec().name(), StateName(job.state()), ListedProgress(job), AgeText(job.create_time(), now),
               job.reason()});
  }
  return table.Text();
}

std::string JobDescription(const v1::Job& job, absl::TimeZone zone) {
  Lines lines;
  lines.Add("job", job.job_id());
  lines.Add("name", job.spec().name());
  lines.Add("labels", LabelText(job.spec()));
  lines.Add("owner", job.owner() == rpc::kLocalName ? "" : job.owner());
  lines.Add("state", StateName(job.state()));
  lines.Add("reason", job.reason());
  if (job.has_progress()) lines.Add("progress", HasEnded(job.state()) ? "" : ProgressSummary(job.progress()));
  lines.Add("generation", absl::StrCat(job.generation()));
  lines.Add("restarts", RestartText(job));
  lines.Add("run time", RunTimeText(job));
  lines.Add("workers", WorkersWanted(job.spec().distributed()));
  lines.Add("priority", absl::StrCat(job.spec().scheduling().priority()));
  lines.Add("created", DateText(job.create_time(), zone));
  lines.Add("started", job.has_start_time() ? DateText(job.start_time(), zone) : "");
  lines.Add("finished", job.has_finish_time() ? DateText(job.finish_time(), zone) : "");
  lines.Add("interactions", job.spec().data().interaction_data());
  lines.Add("texts", job.spec().data().text_data());
  lines.Add("item model", job.spec().model().item_model_dir());
  lines.Add("user model", job.spec().model().user_model_dir());
  lines.Add("data hash", job.data_hash());
  lines.Add("output", job.spec().output_dir());
  if (job.has_checkpoint()) lines.Add("checkpoint", ArtifactText(job.checkpoint()));
  if (job.has_best_model()) lines.Add("best model", ArtifactText(job.best_model()));
  if (job.has_failure()) lines.AddBlock("Failure", FailureText(job.failure()));
  if (!job.ranks().empty()) lines.AddBlock("Ranks", RankTable(job));
  if (job.has_result()) {
    lines.AddBlock("Result", ResultText(job));
  } else if (!job.epochs().empty()) {
    lines.AddBlock("Epochs", EpochTable(job.epochs()));
  }
  return lines.Take();
}

std::string WorkerListText(const v1::ListWorkersResponse& workers, absl::Time now) {
  if (workers.workers().empty()) return "no workers\n";
  Table table({{"WORKER"},
               {"STATE"},
               {"HOST"},
               {"DEVICE"},
               {"MEMORY", Table::Align::kRight},
               {"JOB"},
               {"LAST BEAT", Table::Align::kRight}});
  for (const v1::Worker& worker : workers.workers()) {
    const std::string job = worker.job_id().empty() ? "-" : absl::StrCat(worker.job_id(), " rank ", worker.rank());
    const double silent = absl::ToDoubleSeconds(now - TimeOf(worker.last_beat_time()));
    table.Add({worker.worker_id(), WorkerStateName(worker.state()), worker.host(), worker.device(),
               BytesText(worker.memory_bytes()), job,
               worker.has_last_beat_time() ? absl::StrCat(SecondsText(std::max(0.0, silent)), " ago") : "-"});
  }
  return table.Text();
}

}  // namespace pixelrec::ctl
