#include "ctl/render/story_text.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ctl/client/job_state.h"
#include "ctl/render/event_text.h"
#include "ctl/render/json_output.h"
#include "ctl/render/quantity.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {
namespace {

using Json = nlohmann::ordered_json;

std::string Length(absl::Duration length) { return SecondsText(absl::ToDoubleSeconds(length)); }

// "; 1.5 s waiting for data"; empty where it is next to nothing.
std::string Stalled(absl::Duration length, const char* what) {
  return length < absl::Milliseconds(50) ? "" : absl::StrCat("; ", Length(length), " ", what);
}

std::string Words(const StorySpan& span) {
  switch (span.bucket) {
    case TimeBucket::kCompute:
      return absl::StrCat("trains", Stalled(span.data, "waiting for data"), Stalled(span.checkpoint, "for checkpoints"));
    case TimeBucket::kLostWork:
      return "trains, but no checkpoint kept it";
    case TimeBucket::kStart:
      return span.first_step > 0 ? "ends, for the next generation" : span.text;
    case TimeBucket::kRestart:
      return span.text.empty() ? "stops" : span.text;
    default:
      return span.text;
  }
}

std::string SpanRows(const JobStory& story, absl::TimeZone zone) {
  Table table({{"FROM"},
               {"FOR", Table::Align::kRight},
               {"BUCKET"},
               {"GEN", Table::Align::kRight},
               {"RANKS", Table::Align::kRight},
               {"STEPS"},
               {"WHAT"}});
  for (const StorySpan& span : story.spans) {
    const bool steps = span.last_step >= span.first_step && span.first_step > 0;
    table.Add({absl::FormatTime("%Y-%m-%d %H:%M:%S", span.from, zone), Length(span.length()),
               std::string(BucketName(span.bucket)), span.generation == 0 ? "-" : absl::StrCat(span.generation),
               span.ranks == 0 ? "-" : absl::StrCat(span.ranks), steps ? absl::StrCat(span.first_step, "-", span.last_step) : "-",
               Words(span)});
  }
  return table.Text();
}

std::string Failures(const JobStory& story, absl::TimeZone zone) {
  std::string text;
  for (const StoryFailure& f : story.failures) {
    absl::StrAppend(&text, "\n", ClockText(f.time, zone), "  generation ", f.failure.generation(), " failed");
    if (f.failure.step() > 0) absl::StrAppend(&text, " at step ", GroupDigits(f.failure.step()));
    if (f.lost_steps > 0) {
      absl::StrAppend(&text, "; ", GroupDigits(f.lost_steps), f.lost_steps == 1 ? " step" : " steps",
                      " after its last checkpoint, ", Length(f.lost_time), " of work, lost");
    }
    absl::StrAppend(&text, "\n", FailureText(f.failure));
  }
  return text;
}

std::string Ledger(const JobStory& story) {
  Table table({{"BUCKET"}, {"TIME", Table::Align::kRight}, {"SHARE", Table::Align::kRight}});
  const double total = absl::ToDoubleSeconds(story.total);
  for (const TimeBucket bucket : kTimeBuckets) {
    const absl::Duration in = story.In(bucket);
    if (in > absl::ZeroDuration())
      table.Add(
          {std::string(BucketName(bucket)), Length(in), absl::StrFormat("%.1f%%", 100 * absl::ToDoubleSeconds(in) / total)});
  }
  table.Add({"all", Length(story.total), "100.0%"});
  return table.Text();
}

double Seconds(absl::Duration duration) { return absl::ToDoubleSeconds(duration); }

std::string Rfc3339(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone()); }

}  // namespace

std::string StoryText(const v1::Job& job, const JobStory& story, absl::TimeZone zone) {
  std::string text =
      absl::StrCat("job ", job.job_id(), " is ", StateName(job.state()),
                   job.reason().empty() ? "" : absl::StrCat(": ", OneLine(job.reason())), "\n\n", SpanRows(story, zone));
  absl::StrAppend(&text, Failures(story, zone), "\n", Ledger(story));
  if (story.In(TimeBucket::kCompute) > absl::ZeroDuration()) {
    absl::StrAppend(&text, "\ngoodput ", absl::StrFormat("%.1f%%", 100 * story.Goodput()),
                    " of the time that it neither waited nor was paused\n");
  }
  return text;
}

std::string StoryData(const v1::Job& job, const JobStory& story, OutputFormat format) {
  Json spans = Json::array(), failures = Json::array(), ledger = Json::object();
  for (const StorySpan& span : story.spans) {
    spans.push_back({{"from", Rfc3339(span.from)},
                     {"seconds", Seconds(span.length())},
                     {"bucket", BucketName(span.bucket)},
                     {"generation", span.generation},
                     {"ranks", span.ranks},
                     {"first_step", span.first_step},
                     {"last_step", span.last_step},
                     {"data_seconds", Seconds(span.data)},
                     {"checkpoint_seconds", Seconds(span.checkpoint)},
                     {"what", Words(span)}});
  }
  for (const StoryFailure& f : story.failures) {
    failures.push_back({{"time", Rfc3339(f.time)},
                        {"generation", f.failure.generation()},
                        {"cause", CauseName(f.failure.cause())},
                        {"rank", f.failure.rank()},
                        {"worker_id", f.failure.worker_id()},
                        {"message", f.failure.message()},
                        {"hint", f.failure.hint()},
                        {"step", f.failure.step()},
                        {"lost_steps", f.lost_steps},
                        {"lost_seconds", Seconds(f.lost_time)}});
  }
  for (const TimeBucket bucket : kTimeBuckets) ledger[std::string(BucketName(bucket))] = Seconds(story.In(bucket));
  return JsonAs(Json{{"job_id", job.job_id()},
                     {"state", StateName(job.state())},
                     {"reason", job.reason()},
                     {"seconds", Seconds(story.total)},
                     {"goodput", story.Goodput()},
                     {"ledger_seconds", std::move(ledger)},
                     {"spans", std::move(spans)},
                     {"failures", std::move(failures)}},
                format);
}

}  // namespace pixelrec::ctl
