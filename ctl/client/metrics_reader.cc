#include "ctl/client/metrics_reader.h"

#include "absl/time/clock.h"
#include "ctl/client/interruptible_pause.h"

namespace pixelrec::ctl {
namespace {

// The coordinator is gone, or the stream has only reached its deadline.
bool MayResume(const absl::Status& status) { return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status); }

// OK: it answers.
absl::Status AwaitCoordinator(JobClient& client, const MetricsQuery& query, const std::stop_token& stop) {
  const absl::Time give_up = absl::Now() + query.reconnect_for;
  while (true) {
    InterruptiblePause(query.pause, stop);
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    const absl::Status status = client.Get(query.job).status();
    if (!MayResume(status) || absl::Now() > give_up) return status;
  }
}

}  // namespace

absl::Status ReadMetrics(JobClient& client, const MetricsQuery& query, const std::function<void(const v1::MetricPoint&)>& take,
                         std::stop_token stop) {
  v1::StreamMetricsRequest request;
  request.set_job(query.job);
  request.set_after_sequence(query.after_sequence);
  request.set_follow(query.follow);
  const auto on_message = [&](const v1::StreamMetricsResponse& response) {
    for (const v1::MetricPoint& point : response.points()) {
      if (point.sequence() <= request.after_sequence()) continue;
      request.set_after_sequence(point.sequence());
      take(point);
    }
    return true;
  };
  while (true) {
    const absl::Status status = client.StreamMetrics(request, on_message, stop);
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    if (!MayResume(status)) return status;
    if (absl::Status back = AwaitCoordinator(client, query, stop); !back.ok()) return back;
  }
}

}  // namespace pixelrec::ctl
