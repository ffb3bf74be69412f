#include "ctl/client/job_state.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace pixelrec::ctl {
namespace {

constexpr char kPrefix[] = "JOB_STATE_";

}  // namespace

std::string StateName(v1::JobState state) {
  if (!v1::JobState_IsValid(state)) return absl::StrCat(static_cast<int>(state));
  return std::string(absl::StripPrefix(v1::JobState_Name(state), kPrefix));
}

std::optional<v1::JobState> ParseState(absl::string_view name) {
  v1::JobState state = v1::JOB_STATE_UNSPECIFIED;
  if (!v1::JobState_Parse(absl::StrCat(kPrefix, absl::AsciiStrToUpper(name)), &state) || state == v1::JOB_STATE_UNSPECIFIED)
    return {};
  return state;
}

bool HasEnded(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED || state == v1::JOB_STATE_CANCELLED;
}

}  // namespace pixelrec::ctl
