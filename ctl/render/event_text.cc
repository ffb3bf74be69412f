#include "ctl/render/event_text.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "ctl/client/job_state.h"
#include "ctl/render/job_text.h"
#include "ctl/render/quantity.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {
namespace {

std::string StateChangeText(const v1::StateChange& change) {
  return absl::StrCat(StateName(change.to()), change.reason().empty() ? "" : absl::StrCat(": ", change.reason()));
}

std::string PreparedText(const v1::DatasetPrepared& data) {
  std::vector<std::string> skipped;
  const auto note = [&](int64_t count, const char* what) {
    if (count > 0) skipped.push_back(absl::StrCat(GroupDigits(count), " ", what));
  };
  note(data.short_users(), "users with fewer than 3 events skipped");
  note(data.dropped_chunks(), "one-item sequences dropped");
  note(data.truncated_items(), "texts cut at max_text_length");
  note(data.items_without_text(), "items without text");
  note(data.duplicate_interactions(), "duplicate interactions");
  const std::string took = data.reused() ? "reused" : absl::StrCat("in ", SecondsText(data.seconds()));
  return absl::StrCat("dataset ", took, ": ", GroupDigits(data.users()), " users, ", GroupDigits(data.items()), " items, ",
                      GroupDigits(data.interactions()), " interactions, ", GroupDigits(data.samples()), " training sequences, ",
                      GroupDigits(data.tokens()), " tokens", skipped.empty() ? "" : "; ", absl::StrJoin(skipped, ", "));
}

std::string EpochText(const v1::EpochResult& epoch) {
  std::string text = absl::StrCat("epoch ", epoch.epoch(), " done in ", SecondsText(epoch.seconds()), ": training loss ",
                                  Fixed(epoch.train_loss(), 4), ", validation loss ", Fixed(epoch.validation_loss(), 4),
                                  epoch.best() ? " (best)" : "");
  for (const v1::MetricAtK& at : epoch.validation().at()) {
    if (at.k() == 10) {
      absl::StrAppend(&text, ", validation Recall@10 ", Fixed(at.recall(), 4), ", NDCG@10 ", Fixed(at.ndcg(), 4));
    }
  }
  return text;
}

std::string ArtifactEventText(const v1::Artifact& artifact) {
  switch (artifact.kind()) {
    case v1::ARTIFACT_KIND_EPOCH_CHECKPOINT:
      return absl::StrCat("epoch checkpoint ", ArtifactText(artifact));
    case v1::ARTIFACT_KIND_RECOVERY_CHECKPOINT:
      return absl::StrCat("recovery checkpoint ", ArtifactText(artifact));
    case v1::ARTIFACT_KIND_BEST_MODEL:
      return absl::StrCat("best model ", ArtifactText(artifact));
    default:
      return absl::StrCat("artifact ", ArtifactText(artifact));
  }
}

std::string NoticeText(const v1::Notice& notice) {
  const char* const severity = notice.severity() == v1::NOTICE_SEVERITY_WARNING ? "warning" : "note";
  if (notice.rank() < 0) return absl::StrCat(severity, ": ", notice.text());
  return absl::StrCat(severity, " (rank ", notice.rank(), "): ", notice.text());
}

std::string PlaceText(const v1::Failure& failure) {
  std::vector<std::string> parts;
  if (failure.rank() >= 0 && failure.generation() > 0) parts.push_back(absl::StrCat("rank ", failure.rank()));
  if (!failure.worker_id().empty()) parts.push_back(absl::StrCat("worker ", failure.worker_id()));
  if (failure.generation() > 0) parts.push_back(absl::StrCat("generation ", failure.generation()));
  if (failure.signal() > 0) parts.push_back(absl::StrCat("signal ", failure.signal()));
  if (failure.exit_code() > 0) parts.push_back(absl::StrCat("exit code ", failure.exit_code()));
  return absl::StrJoin(parts, ", ");
}

std::string FailureLine(const v1::Failure& failure) {
  const std::string place = PlaceText(failure);
  return absl::StrCat("failure ", CauseName(failure.cause()), place.empty() ? "" : absl::StrCat(" (", place, ")"), ": ",
                      failure.message(), failure.hint().empty() ? "" : absl::StrCat("; ", failure.hint()));
}

}  // namespace

std::string CauseName(v1::FailureCause cause) {
  if (!v1::FailureCause_IsValid(cause)) return absl::StrCat(static_cast<int>(cause));
  return std::string(absl::StripPrefix(v1::FailureCause_Name(cause), "FAILURE_CAUSE_"));
}

std::string ArtifactText(const v1::Artifact& artifact) {
  return absl::StrCat(artifact.path(), " (epoch ", artifact.epoch(), ", step ", artifact.step(), ", ",
                      BytesText(artifact.bytes()), " in ", SecondsText(artifact.write_seconds()), ")");
}

std::string FailureText(const v1::Failure& failure) {
  std::string text = absl::StrCat("  cause: ", CauseName(failure.cause()), "\n  what:  ", OneLine(failure.message()), "\n");
  if (const std::string place = PlaceText(failure); !place.empty()) absl::StrAppend(&text, "  where: ", OneLine(place), "\n");
  if (!failure.hint().empty()) absl::StrAppend(&text, "  hint:  ", OneLine(failure.hint()), "\n");
  return text;
}

std::string EventText(const v1::JobEvent& event) {
  switch (event.body_case()) {
    case v1::JobEvent::kStateChange:
      return OneLine(StateChangeText(event.state_change()));
    case v1::JobEvent::kProgress:
      return OneLine(ProgressSummary(event.progress()));
    case v1::JobEvent::kEpochResult:
      return EpochText(event.epoch_result());
    case v1::JobEvent::kArtifact:
      return OneLine(ArtifactEventText(event.artifact()));
    case v1::JobEvent::kNotice:
      return OneLine(NoticeText(event.notice()));
    case v1::JobEvent::kFailure:
      return OneLine(FailureLine(event.failure()));
    case v1::JobEvent::kDatasetPrepared:
      return PreparedText(event.dataset_prepared());
    case v1::JobEvent::kResult:
      if (event.result().epochs().empty())
        return absl::StrCat("result: evaluated in ", SecondsText(event.result().evaluation_seconds()));
      return absl::StrCat("result: ", event.result().epochs_size(), " epochs, ", GroupDigits(event.result().samples()),
                          " samples in ", SecondsText(event.result().train_seconds()));
    case v1::JobEvent::BODY_NOT_SET:
      break;
  }
  return "an event this version does not know";
}

std::string EventListText(const v1::ListJobEventsResponse& events, absl::TimeZone zone) {
  if (events.events().empty()) return "no events\n";
  Table table({{"SEQ", Table::Align::kRight}, {"TIME"}, {"GEN", Table::Align::kRight}, {"EVENT"}});
  for (const v1::JobEvent& event : events.events()) {
    table.Add({absl::StrCat(event.sequence()), DateText(event.time(), zone), absl::StrCat(event.generation()), EventText(event)});
  }
  return table.Text();
}

}  // namespace pixelrec::ctl
