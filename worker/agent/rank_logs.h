// The ranks' logs: <work-dir>/logs/<job>/g<generation>-r<rank>.log holds a trainer's stdout and stderr. They are the worker's
// files, so they can be read after the trainer's death.
//
// Threads: any; the files are only appended to, by the trainers.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pixelrec/v1/worker_service.pb.h"
#include "worker/agent/rank_key.h"

namespace pixelrec::agent {

class RankLogs {
 public:
  static constexpr int32_t kMaxReadBytes = 256 << 10;

  explicit RankLogs(std::filesystem::path work_dir) : root_(std::move(work_dir) / "logs") {}

  // INVALID_ARGUMENT: a job id that can't be a folder's name.
  absl::StatusOr<std::filesystem::path> PathOf(const RankKey& key) const;
  // Where a trainer of this worker writes while it has no rank. Workers of one host may share the folder.
  std::filesystem::path SparePath(const std::string& worker_id) const { return root_ / ("spare-" + worker_id + ".log"); }
  // Makes the log's folder.
  absl::Status Prepare(const RankKey& key) const;

  // `error` is set where there is no such log.
  v1::LogChunk Read(const v1::ReadLog& request) const;

  // The last whole lines of `log`, at most `max_bytes` of valid UTF-8; empty if it can't be read.
  static std::string Tail(const std::filesystem::path& log, size_t max_bytes);

 private:
  absl::StatusOr<std::filesystem::path> Newest(const std::string& job_id, int32_t rank) const;

  std::filesystem::path root_;
};

}  // namespace pixelrec::agent
