#include "ctl/render/result_text.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
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

std::string MetricTable(const v1::JobResult& result, const v1::RankingMetrics& model) {
  // The baselines are those of the test split.
  std::vector<const v1::RankingMetrics*> rankings = {&model};
  if (&model == &result.test()) rankings.insert(rankings.end(), {&result.popularity(), &result.last_item()});
  std::vector<Table::Column> columns = {{"k", Align::kRight}};
  for (const char* metric : {"Recall@k", "NDCG@k"}) {
    columns.push_back({metric, Align::kRight});
    for (size_t i = 1; i < rankings.size(); ++i) columns.push_back({i == 1 ? "popularity" : "last item", Align::kRight});
  }
  Table table(std::move(columns));
  for (const v1::MetricAtK& at : model.at()) {
    std::vector<std::string> cells = {absl::StrCat(at.k())};
    for (const auto value : {&v1::MetricAtK::recall, &v1::MetricAtK::ndcg}) {
      for (const v1::RankingMetrics* ranking : rankings) {
        const v1::MetricAtK* const found = FindK(*ranking, at.k());
        cells.push_back(found ? Fixed((found->*value)(), 4) : "-");
      }
    }
    table.Add(std::move(cells));
  }
  return table.Text("  ");
}

std::string GroupTable(const v1::RankingMetrics& model) {
  // One cut-off is enough to compare groups by: 10, or the first there is.
  const v1::MetricAtK* const ten = FindK(model, 10);
  const int k = ten ? 10 : model.at_size() > 0 ? model.at(0).k() : 0;
  Table table({{"by"},
               {"", Align::kRight},
               {"users", Align::kRight},
               {absl::StrCat("Recall@", k), Align::kRight},
               {absl::StrCat("NDCG@", k), Align::kRight}});
  std::string before;
  for (const v1::MetricGroup& group : model.groups()) {
    const std::string border = !group.has_at_most()                  ? absl::StrCat(group.at_least(), "+")
                               : group.at_most() == group.at_least() ? absl::StrCat(group.at_least())
                                                                     : absl::StrCat(group.at_least(), "-", group.at_most());
    const auto at = std::find_if(group.at().begin(), group.at().end(), [&](const v1::MetricAtK& m) { return m.k() == k; });
    if (at == group.at().end()) continue;
    const std::string by = absl::StrReplaceAll(OneLine(group.by()), {{"_", " "}});
    table.Add({by == before ? "" : by, border, GroupDigits(group.users()), Fixed(at->recall(), 4), Fixed(at->ndcg(), 4)});
    before = by;
  }
  return model.groups().empty() ? "" : table.Text("  ");
}

std::string ResultText(const v1::Job& job) {
  const v1::JobResult& result = job.result();
  std::string text = result.epochs().empty() ? "" : absl::StrCat(EpochTable(result.epochs()), "\n");
  if (result.has_validation_loss()) absl::StrAppend(&text, "  Validation loss ", Fixed(result.validation_loss(), 4), "\n");
  for (const auto& [name, ranking] : {std::pair("Validation", &result.validation()), std::pair("Test", &result.test())}) {
    if (ranking->at().empty()) continue;
    absl::StrAppend(&text, "  ", name, ", ", GroupDigits(ranking->users()), " users, the whole catalogue ranked:\n",
                    MetricTable(result, *ranking), ExceptionsText(*ranking), "\n");
    if (const std::string groups = GroupTable(*ranking); !groups.empty()) absl::StrAppend(&text, groups, "\n");
  }
  const std::string trained = result.samples() > 0 ? absl::StrCat("  trained on   ", GroupDigits(result.samples()), " samples, ",
                                                                  GroupDigits(result.tokens()), " tokens in ",
                                                                  SecondsText(result.train_seconds()), "; evaluated in ")
                                                   : "  evaluated in ";
  absl::StrAppend(&text, trained, SecondsText(result.evaluation_seconds()), "\n");
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
