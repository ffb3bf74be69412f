// Typed failures inside absl::Status, and the one fence that turns exceptions into them.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

// `status` with a kind and a hint attached; OK stays OK. A kind already attached wins.
absl::Status WithKind(absl::Status status, FailureKind kind, const std::string& hint = "");

struct TypedFailure {
  FailureKind kind = FailureKind::kInternal;
  std::string message;
  std::string hint;
};
TypedFailure Classify(const absl::Status& status);

// Runs `body`; c10::Error, std::bad_alloc and other exceptions become a Status with a kind. The only place that catches.
absl::Status Fenced(const std::function<absl::Status()>& body);

}  // namespace pixelrec::train
