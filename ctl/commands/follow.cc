#include "ctl/commands/follow.h"

#include <memory>
#include <ostream>
#include <stop_token>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ctl/client/job_follower.h"
#include "ctl/client/metrics_reader.h"
#include "ctl/exit_code.h"
#include "ctl/live/live_view.h"
#include "ctl/render/follow_view.h"
#include "ctl/render/result_text.h"
#include "google/protobuf/util/json_util.h"

namespace pixelrec::ctl {
namespace {

std::string JsonLine(const v1::JobEvent& event, const v1::Job& job) {
  v1::WatchJobResponse update;
  *update.mutable_event() = event;
  if (event.body_case() == v1::JobEvent::kStateChange) *update.mutable_job() = job;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string line;
  if (!google::protobuf::util::MessageToJsonString(update, &line, options).ok()) return "{}";
  return line;
}

}  // namespace

std::string ServerFlag(const Session& session) {
  return session.connection.server.empty() ? "" : absl::StrCat(" --server ", session.connection.server);
}

namespace {

// `view` may be null.
int Follow(const Session& session, JobClient& client, const std::string& job, FollowView* view, FollowStyle style,
           uint64_t after_sequence, std::stop_token stop) {
  JobFollower::Observer observer;
  observer.on_event = [&](const v1::JobEvent& event, const v1::Job& now) {
    if (view != nullptr) view->Show(event, now);
    if (style == FollowStyle::kJsonLines) session.out << JsonLine(event, now) << "\n" << std::flush;
  };
  observer.on_connection = [&](bool lost) {
    if (view != nullptr) view->ShowConnection(lost);
  };
  JobFollower::Options options;
  options.job = job;
  options.after_sequence = after_sequence;
  JobFollower follower(client, options, observer);
  const absl::StatusOr<v1::Job> ended = follower.Run(std::move(stop));
  if (view != nullptr) view->Finish();

  if (ended.ok()) {
    if (style != FollowStyle::kJsonLines) session.out << ClosingText(*ended) << std::flush;
    return ExitCodeOf(ended->state());
  }
  const std::string hints = absl::StrCat("  re-attach: pixelrecctl", ServerFlag(session), " watch ", job,
                                         "\n  cancel:    pixelrecctl", ServerFlag(session), " cancel ", job, "\n");
  if (absl::IsCancelled(ended.status())) {
    session.err << "\ndetached from " << job << "; it goes on\n" << hints << std::flush;
    return kExitStillRunning;
  }
  const int code = session.Fail(ended.status());
  if (code == kExitUnavailable) session.err << hints << std::flush;
  return code;
}

}  // namespace

int FollowJob(const Session& session, JobClient& client, const std::string& job, FollowStyle style, uint64_t after_sequence,
              const Interrupt& interrupt) {
  FollowView::Options options;
  options.out = &session.out;
  options.zone = session.zone;
  options.columns = session.columns;
  const std::unique_ptr<FollowView> view = style == FollowStyle::kShow ? FollowView::Create(options) : nullptr;
  return Follow(session, client, job, view.get(), style, after_sequence, interrupt.token());
}

int FollowOnScreen(const Session& session, JobClient& client, const std::string& job, uint64_t after_sequence,
                   const Interrupt& interrupt, std::unique_ptr<Terminal> terminal) {
  std::stop_source detach;
  const std::stop_callback interrupted(interrupt.token(), [&detach] { detach.request_stop(); });
  LiveView view({.terminal = std::move(terminal), .zone = session.zone, .on_quit = [&detach] { detach.request_stop(); }});
  // Without the past the curve begins here: an older coordinator keeps none.
  ReadMetrics(
      client, {.job = job, .reconnect_for = absl::ZeroDuration()}, [&view](const v1::MetricPoint& point) { view.Recall(point); },
      detach.get_token())
      .IgnoreError();
  return Follow(session, client, job, &view, FollowStyle::kShow, after_sequence, detach.get_token());
}

}  // namespace pixelrec::ctl
