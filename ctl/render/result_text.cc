#include "ctl/render/result_text.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ctl/client/job_state.h"
#include "ctl/render/event_text.h"
#include "ctl/render/quantity.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {
namespace {

using Align = Table::Align;

const v1::MetricAtK* FindK(const v1::RankingMetrics& metrics, int k) {
  for (const v1::MetricAtK& at : metrics.at()) {
    if (at.k() == k) return &at;
  }
  return nullptr;
}

std::string ExceptionsText(const v1::RankingMetrics& test) {
  std::vector<std::string> parts;
  if (test.masked_targets() > 0)
    parts.push_back(absl::StrCat(GroupDigits(test.masked_targets()), " targets lie in their own history (misses)"));
  if (test.tied_targets() > 0)
    parts.push_back(absl::StrCat(GroupDigits(test.tied_targets()), test.tied_targets() == 1 ? " target ties" : " targets tie",
                                 " with another item"));
  return parts.empty() ? "" : absl::StrCat("  ", absl::StrJoin(parts, "; "), "\n");
}

const v1::Artifact* BestModel(const v1::Job& job) {
  if (job.has_best_model()) return &job.best_model();
  for (const v1::Artifact& artifact : job.result().artifacts()) {
    if (artifact.kind() == v1::ARTIFACT_KIND_BEST_MODEL) return &artifact;
  }
  return nullptr;
}

std::string OutputLines(const v1::Job& job) {
  std::string text;
  if (const v1::Artifact* best = BestModel(job)) absl::StrAppend(&text, "  best model   ", OneLine(best->path()), "\n");
  for (const v1::Artifact& artifact : job.result().artifacts()) {
    if (artifact.kind() == v1::ARTIFACT_KIND_EPOCH_CHECKPOINT)
      absl::StrAppend(&text, "  checkpoint   ", OneLine(artifact.path()), "\n");
  }
  absl::StrAppend(&text, "  logs         ", OneLine(job.spec().output_dir()), "/logs\n");
  return text;
}

}  // namespace

std::string EpochTable(const google::protobuf::RepeatedPtrField<v1::EpochResult>& epochs) {
  Table table({{"epoch", Align::kRight},
               {"training loss", Align::kRight},
               {"validation loss", Align::kRight},
               {"time", Align::kRight},
               {""}});
  for (const v1::EpochResult& epoch : epochs) {
    table.Add({absl::StrCat(epoch.epoch()), Fixed(epoch.train_loss(), 4), Fixed(epoch.validation_loss(), 4),
               SecondsText(epoch.seconds()), epoch.best() ? "best" : ""});
  }
  return table.Text("  ");
}

std::string MetricTable(const v1::RankingMetrics& model, const v1::RankingMetrics& popularity) {
  Table table({{"k", Align::kRight},
               {"Recall@k", Align::kRight},
               {"popularity", Align::kRight},
               {"NDCG@k", Align::kRight},
               {"popularity", Align::kRight}});
  for (const v1::MetricAtK& at : model.at()) {
    const v1::MetricAtK* const baseline = FindK(popularity, at.k());
    table.Add({absl::StrCat(at.k()), Fixed(at.recall(), 4), baseline ? Fixed(baseline->recall(), 4) : "-", Fixed(at.ndcg(), 4),
               baseline ? Fixed(baseline->ndcg(), 4) : "-"});
  }
  return table.Text("  ");
}

std::string ResultText(const v1::Job& job) {
  const v1::JobResult& result = job.result();
  std::string text = EpochTable(result.epochs());
  if (!result.test().at().empty()) {
    absl::StrAppend(&text, "\n  Test, ", GroupDigits(result.test().users()), " users, the whole catalogue ranked:\n",
                    MetricTable(result.test(), result.popularity()), ExceptionsText(result.test()));
  }
  absl::StrAppend(&text, "\n  trained on   ", GroupDigits(result.samples()), " samples, ", GroupDigits(result.tokens()),
                  " tokens in ", SecondsText(result.train_seconds()), "; evaluated in ", SecondsText(result.evaluation_seconds()),
                  "\n");
  if (!result.sample_digest().empty()) absl::StrAppend(&text, "  sample digest ", OneLine(result.sample_digest()), "\n");
  return text + OutputLines(job);
}

std::string ClosingText(const v1::Job& job) {
  switch (job.state()) {
    case v1::JOB_STATE_SUCCEEDED:
      return absl::StrCat("\nJob ", job.job_id(), " succeeded.\n", job.has_result() ? ResultText(job) : "");
    case v1::JOB_STATE_FAILED:
      return absl::StrCat("\nJob ", job.job_id(), " failed.\n", job.has_failure() ? FailureText(job.failure()) : "",
                          "  more:  pixelrecctl events ", job.job_id(), "; pixelrecctl logs ", job.job_id(), " -r ",
                          std::max(0, job.failure().rank()), "\n");
    case v1::JOB_STATE_CANCELLED:
      return absl::StrCat(
          "\nJob ", job.job_id(), " was cancelled", job.reason().empty() ? "" : absl::StrCat(": ", OneLine(job.reason())), ".\n",
          job.has_checkpoint() ? absl::StrCat("  checkpoint   ", OneLine(ArtifactText(job.checkpoint())), "\n") : "");
    default:
      return absl::StrCat("\nJob ", job.job_id(), " is ", StateName(job.state()), ".\n");
  }
}

}  // namespace pixelrec::ctl
