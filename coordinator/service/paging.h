// Page sizes, page tokens and the answers of the list calls, computed from the state.
//
// Threads: pure functions.
#pragma once

#include "absl/status/status.h"
#include "coordinator/state/state.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::coordinator {

// INVALID_ARGUMENT: malformed page token or negative page size. NOT_FOUND: no such job.
absl::Status ListJobs(const State& state, Now now, const v1::ListJobsRequest& request, v1::ListJobsResponse* response);
absl::Status ListWorkers(const State& state, const v1::ListWorkersRequest& request, v1::ListWorkersResponse* response);
absl::Status ListJobEvents(const State& state, const v1::ListJobEventsRequest& request, v1::ListJobEventsResponse* response);
absl::Status ListCheckpoints(const State& state, const v1::ListCheckpointsRequest& request,
                             v1::ListCheckpointsResponse* response);

}  // namespace pixelrec::coordinator
