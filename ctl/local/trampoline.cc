#include "ctl/local/trampoline.h"

#include <unistd.h>

#include <cerrno>
#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "common/process/parent.h"
#include "common/storage/atomic_file.h"
#include "ctl/exit_code.h"

namespace pixelrec::ctl {

std::optional<int> RunTrampoline(int argc, char** argv) {
  if (argc < 5 || absl::string_view(argv[1]) != "local" || absl::string_view(argv[2]) != "child") return std::nullopt;
  pid_t supervisor = 0;
  if (!absl::SimpleAtoi(argv[3], &supervisor)) return kExitUsage;
  process::DieWithParent(supervisor);
  execv(argv[4], argv + 4);
  std::cerr << "error: " << storage::ErrnoStatus(errno, "can't run", argv[4]).message() << "\n";
  return kExitJobFailed;
}

}  // namespace pixelrec::ctl
