// Asking a one-shot command of pixelrec-trainer something and reading its answer (docs/adr/0004).
//
// Threads: one.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace pixelrec::ctl {

// Runs the trainer with `arguments`, in which kInputPath stands for a file that holds `input`; -> what it printed.
// Its exit codes 3 and 4 become NOT_FOUND and INVALID_ARGUMENT with its message; others INTERNAL.
inline constexpr char kInputPath[] = "/proc/self/fd/3";
absl::StatusOr<std::string> AskTrainer(const std::vector<std::string>& arguments, const std::string& input);

}  // namespace pixelrec::ctl
