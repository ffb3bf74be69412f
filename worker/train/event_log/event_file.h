// TensorBoard's event file of one generation: <log_dir>/events.out.tfevents.<unix seconds>.<host>.<generation>.
//
// Every generation writes a file of its own and TensorBoard joins the files of a folder by step. A generation that resumes at
// step s says so at once (session log START at s), at which TensorBoard drops what earlier files hold from s on: the lost steps
// are not shown twice. Threads: one at a time. Every call is in the file when it returns; nothing is buffered.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/train/event_log/append_file.h"

namespace pixelrec::train {

class EventFile {
 public:
  struct Options {
    std::filesystem::path log_dir;
    std::string host;  // [A-Za-z0-9.-]; other characters become '-'
    uint64_t generation = 0;
    int64_t first_step = 0;       // optimiser steps done before this generation
    std::function<double()> now;  // seconds since 1970
  };
  // NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED, ...: as errno says.
  static absl::StatusOr<std::unique_ptr<EventFile>> Create(Options options);

  // One point of the curve `tag`: "train/loss", "validation/recall_at_10", ...
  absl::Status AddScalar(absl::string_view tag, int64_t step, double value);
  // Markdown for TensorBoard's TEXT tab, such as the job's specification.
  absl::Status AddText(absl::string_view tag, int64_t step, absl::string_view text);
  absl::Status Sync();
  const std::filesystem::path& path() const { return file_->path(); }

 private:
  EventFile(Options options, std::unique_ptr<AppendFile> file);
  Options options_;
  std::unique_ptr<AppendFile> file_;
};

}  // namespace pixelrec::train
