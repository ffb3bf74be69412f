// Job states by the words users see.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "pixelrec/v1/job.pb.h"

namespace pixelrec::ctl {

// "RUNNING"; the number for a state this version doesn't know.
std::string StateName(v1::JobState state);

// Any case; nullopt: no such state.
std::optional<v1::JobState> ParseState(absl::string_view name);

bool HasEnded(v1::JobState state);

}  // namespace pixelrec::ctl
