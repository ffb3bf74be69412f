// metrics.jsonl: one JSON object a line, for programs to read. Keys: docs/formats.md.
//
// One file for all generations of a job. Opening it drops what a lost generation wrote after the step that training goes on from,
// and a torn last line, so that every step occurs once. Threads: one at a time. Every record is in the file when Append returns.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/train/event_log/append_file.h"

namespace pixelrec::train {

struct MetricsRecord {
  using Value = std::variant<int64_t, double, bool, std::string>;
  std::string section;  // "train", "validation", "test", ...
  int64_t epoch = 0;    // from 1
  int64_t step = 0;     // optimiser steps done
  // In this order; a double that is not finite becomes null.
  std::vector<std::pair<std::string, Value>> values;
};

class MetricsLog {
 public:
  struct Options {
    std::filesystem::path path;  // <output_dir>/logs/metrics.jsonl
    uint64_t generation = 0;
    int64_t first_step = 0;       // optimiser steps done before this generation: later records are dropped
    std::function<double()> now;  // seconds since 1970
  };
  // NOT_FOUND, PERMISSION_DENIED, ...: as errno says.
  static absl::StatusOr<std::unique_ptr<MetricsLog>> Open(Options options);

  // RESOURCE_EXHAUSTED: no space; the file keeps its whole lines.
  absl::Status Append(const MetricsRecord& record);
  absl::Status Sync();

 private:
  MetricsLog(Options options, std::unique_ptr<AppendFile> file);
  Options options_;
  std::unique_ptr<AppendFile> file_;
};

}  // namespace pixelrec::train
