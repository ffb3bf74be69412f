#include "coordinator/service/paging.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"
#include "coordinator/state/checkpoint_list.h"
#include "coordinator/state/view.h"

namespace pixelrec::coordinator {

namespace {

constexpr int kDefaultPage = 100;
constexpr int kMaxPage = 1000;
constexpr int kDefaultEvents = 1000;
// Answers stay well below what a client takes in one message (4 MiB by default).
constexpr size_t kMaxBytes = 2 << 20;

absl::StatusOr<int> PageSize(int asked, int fallback) {
  if (asked < 0) {
    return rpc::Refuse(absl::StatusCode::kInvalidArgument, rpc::kBadRequest,
                       absl::StrCat("page_size: must be >= 0 (got ", asked, ")"));
  }
  return asked == 0 ? fallback : std::min(asked, kMaxPage);
}

}  // namespace

absl::Status ListJobs(const State& state, Now now, const v1::ListJobsRequest& request, v1::ListJobsResponse* response) {
  absl::StatusOr<int> size = PageSize(request.page_size(), kDefaultPage);
  if (!size.ok()) {
    return size.status();
  }
  // The token is the number of the last job sent: jobs that come meanwhile shift nothing.
  uint64_t before = UINT64_MAX;
  if (!request.page_token().empty() && (!absl::SimpleAtoi(request.page_token(), &before) || before == 0)) {
    return rpc::Refuse(absl::StatusCode::kInvalidArgument, rpc::kBadPageToken, "page_token: not one that ListJobs gave");
  }
  const auto& wanted = request.states();
  size_t bytes = 0;
  uint64_t last = 0;
  for (auto it = std::make_reverse_iterator(state.jobs.lower_bound(before)); it != state.jobs.rend(); ++it) {
    const auto& [number, entry] = *it;
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), entry.job().state()) == wanted.end()) {
      continue;
    }
    if (response->jobs_size() == *size || bytes > kMaxBytes) {
      response->set_next_page_token(absl::StrCat(last));
      break;
    }
    *response->add_jobs() = ViewJob(state, entry, now);
    bytes += response->jobs(response->jobs_size() - 1).ByteSizeLong();
    last = number;
  }
  return absl::OkStatus();
}

absl::Status ListWorkers(const State& state, const v1::ListWorkersRequest& request, v1::ListWorkersResponse* response) {
  absl::StatusOr<int> size = PageSize(request.page_size(), kDefaultPage);
  if (!size.ok()) {
    return size.status();
  }
  // The token is the id of the last worker sent.
  for (auto it = state.workers.upper_bound(request.page_token()); it != state.workers.end(); ++it) {
    if (response->workers_size() == *size) {
      response->set_next_page_token(response->workers(response->workers_size() - 1).worker_id());
      break;
    }
    *response->add_workers() = ViewWorker(it->second);
  }
  return absl::OkStatus();
}

absl::Status ListJobEvents(const State& state, const v1::ListJobEventsRequest& request, v1::ListJobEventsResponse* response) {
  absl::StatusOr<int> size = PageSize(request.page_size(), kDefaultEvents);
  if (!size.ok()) {
    return size.status();
  }
  absl::StatusOr<uint64_t> number = FindJob(state, request.job());
  if (!number.ok()) {
    return number.status();
  }
  const std::vector<v1::JobEvent>& events = state.jobs.at(*number).events;
  size_t bytes = 0;
  for (uint64_t i = request.after_sequence(); i < events.size(); ++i) {
    if (response->events_size() == *size || bytes > kMaxBytes) {
      response->set_next_after_sequence(i);
      break;
    }
    *response->add_events() = events[i];
    bytes += events[i].ByteSizeLong();
  }
  return absl::OkStatus();
}

absl::Status ListCheckpoints(const State& state, const v1::ListCheckpointsRequest& request,
                             v1::ListCheckpointsResponse* response) {
  absl::StatusOr<int> size = PageSize(request.page_size(), kDefaultPage);
  if (!size.ok()) {
    return size.status();
  }
  absl::StatusOr<uint64_t> number = FindJob(state, request.job());
  if (!number.ok()) {
    return number.status();
  }
  // The token is the event of the last one sent: what is committed meanwhile shifts nothing.
  uint64_t before = UINT64_MAX;
  if (!request.page_token().empty() && (!absl::SimpleAtoi(request.page_token(), &before) || before == 0)) {
    return rpc::Refuse(absl::StatusCode::kInvalidArgument, rpc::kBadPageToken, "page_token: not one that ListCheckpoints gave");
  }
  for (v1::Checkpoint& checkpoint : CheckpointsOf(state.jobs.at(*number))) {
    if (checkpoint.event_sequence() >= before) {
      continue;
    }
    if (response->checkpoints_size() == *size) {
      response->set_next_page_token(absl::StrCat(response->checkpoints(*size - 1).event_sequence()));
      break;
    }
    *response->add_checkpoints() = std::move(checkpoint);
  }
  return absl::OkStatus();
}

}  // namespace pixelrec::coordinator
