// One event of a job as one line of text.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "pixelrec/v1/events.pb.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::ctl {

// Without time and sequence: "RUNNING: all 2 ranks train (generation 2)".
std::string EventText(const v1::JobEvent& event);

// A table of stored events: sequence, time, generation, text.
std::string EventListText(const v1::ListJobEventsResponse& events, absl::TimeZone zone);

// "/out/checkpoint-epoch-1 (epoch 1, step 234, 3.1 MB in 0.1 s)".
std::string ArtifactText(const v1::Artifact& artifact);

// "BAD_DATA".
std::string CauseName(v1::FailureCause cause);

// Lines "cause: ...", "what: ...", "where: ...", "hint: ...", indented by two.
std::string FailureText(const v1::Failure& failure);

}  // namespace pixelrec::ctl
