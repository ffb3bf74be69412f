// Where the engine keeps its records: the journal, or in the simulator a disk that fails at will.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace pixelrec::coordinator {

class RecordLog {
 public:
  virtual ~RecordLog() = default;

  // Calls `apply` for each record of the snapshot and then for each one appended after it; stops at the first error and returns
  // it. DATA_LOSS: a record's checksum or order is wrong.
  virtual absl::Status Replay(const std::function<absl::Status(absl::string_view)>& apply) = 0;

  // All of them or none, durable on return. RESOURCE_EXHAUSTED: no space; the log stays usable.
  virtual absl::Status Append(const std::vector<std::string>& records) = 0;

  // Replaces everything stored by `snapshot`, in one transaction.
  virtual absl::Status Compact(const std::vector<std::string>& snapshot) = 0;

  // Records appended since the last Compact().
  virtual int64_t tail_length() const = 0;
  virtual int64_t SizeBytes() const = 0;
};

}  // namespace pixelrec::coordinator
