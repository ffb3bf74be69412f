#include "worker/train/failure.h"

#include <c10/util/Exception.h>

#include <new>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace pixelrec::train {
namespace {

constexpr char kKindUrl[] = "pixelrec/failure-kind";
constexpr char kHintUrl[] = "pixelrec/failure-hint";

FailureKind KindOfException(const std::string& what) {
  // c10d, Gloo and NCCL throw plain errors; their texts are all that tells them from the rest.
  for (const char* sign : {"gloo", "Gloo", "c10d", "NCCL", "Connection closed by peer", "Socket Timeout", "TCPStore"}) {
    if (absl::StrContains(what, sign)) return FailureKind::kCollective;
  }
  for (const char* sign : {"out of memory", "not enough memory", "can't allocate memory"}) {
    if (absl::StrContains(what, sign)) return FailureKind::kOutOfMemory;
  }
  return FailureKind::kInternal;
}

const char* HintFor(FailureKind kind) {
  switch (kind) {
    case FailureKind::kOutOfMemory:
      return "lower per_device_train_batch_size, or turn on gradient_checkpointing";
    case FailureKind::kCollective:
      return "another rank of this generation ended or can't be reached; its own failure is the cause";
    case FailureKind::kDiskFull:
      return "free space under output_dir; the last committed checkpoint is intact";
    default:
      return "";
  }
}

}  // namespace

absl::Status WithKind(absl::Status status, FailureKind kind, const std::string& hint) {
  if (status.ok() || status.GetPayload(kKindUrl).has_value()) return status;
  status.SetPayload(kKindUrl, absl::Cord(std::to_string(static_cast<int>(kind))));
  status.SetPayload(kHintUrl, absl::Cord(hint.empty() ? HintFor(kind) : hint));
  return status;
}

TypedFailure Classify(const absl::Status& status) {
  TypedFailure failure{.kind = FailureKind::kInternal, .message = std::string(status.message()), .hint = ""};
  if (const auto kind = status.GetPayload(kKindUrl)) failure.kind = static_cast<FailureKind>(std::stoi(std::string(*kind)));
  if (const auto hint = status.GetPayload(kHintUrl)) failure.hint = std::string(*hint);
  return failure;
}

absl::Status Fenced(const std::function<absl::Status()>& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return WithKind(absl::ResourceExhaustedError("out of host memory"), FailureKind::kOutOfMemory);
  } catch (const c10::OutOfMemoryError& error) {  // a GPU's
    return WithKind(absl::ResourceExhaustedError(error.what_without_backtrace()), FailureKind::kOutOfMemory);
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    return WithKind(absl::InternalError(what), KindOfException(error.what()));
  } catch (const std::exception& error) {
    return WithKind(absl::InternalError(error.what()), KindOfException(error.what()));
  }
}

}  // namespace pixelrec::train
