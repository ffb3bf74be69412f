#include "worker/train/checkpoint_writer.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "worker/checkpoint/checkpoint_files.h"
#include "worker/dist/device.h"
#include "worker/train/artifacts.h"
#include "worker/train/disk_room.h"
#include "worker/train/tensor_bytes.h"

namespace pixelrec::train {
namespace {

using nlohmann::json;
using Files = std::map<std::string, checkpoint::FileDigest>;

// What one rank owns, as it was at the step border.
struct Copy {
  at::Tensor weights, exp_avg, exp_avg_sq;  // [owned], on the CPU
  std::map<std::string, dist::Range> ranges;
};

bool Sharded(const Session& s) {
  const auto& units = s.parameters->layout().units();
  return std::any_of(units.begin(), units.end(), [](const dist::UnitPlace& unit) { return unit.stage > 0; });
}

// The ranges that this rank's shard holds: its own, and on rank 0 what every rank has.
std::map<std::string, dist::Range> RangesToWrite(const Session& s) {
  std::map<std::string, dist::Range> ranges;
  for (const auto& [name, range] : s.parameters->ranges()) {
    const bool mine = range.replicated ? s.is_rank_zero() : range.numel > 0;
    if (mine) ranges.emplace(name, range);
  }
  return ranges;
}

void Append(const Copy& copy, const at::Tensor& values, const std::string& prefix, std::vector<checkpoint::TensorPiece>& pieces) {
  for (const auto& [name, range] : copy.ranges) {
    const auto bytes = BytesOf(values.narrow(0, range.offset, range.numel));
    const auto shape = range.whole() ? range.shape : std::vector<int64_t>{range.numel};
    pieces.push_back({{prefix + name, "F32", shape, bytes.data(), bytes.size()}, range.begin, range.shape});
  }
}

absl::StatusOr<Files> Write(const Copy& copy, const TrainJob& job, const std::filesystem::path& dir,
                            const checkpoint::Shard& shard) {
  if (auto status = storage::CreateFolders(job.output_dir, dir, *job.files); !status.ok()) return status;
  std::vector<checkpoint::TensorPiece> model, optimizer;
  Append(copy, copy.weights, "", model);
  Append(copy, copy.exp_avg, checkpoint::kFirstMoment, optimizer);
  Append(copy, copy.exp_avg_sq, checkpoint::kSecondMoment, optimizer);
  return checkpoint::WriteShard(dir, shard, model, optimizer, *job.files);
}

// A copy on the CPU; one from a GPU is there after dist::Synchronize, through pinned memory, so that the three run at the bus's
// speed.
at::Tensor CopyToHost(const at::Tensor& tensor) {
  const at::Tensor host = at::empty_like(tensor, tensor.options().device(at::kCPU).pinned_memory(tensor.is_cuda()));
  return host.copy_(tensor, /*non_blocking=*/true);
}

std::string ToText(const absl::StatusOr<Files>& shard) {
  json files = json::object();
  if (shard.ok()) {
    for (const auto& [name, digest] : *shard) files[name] = {{"bytes", digest.bytes}, {"xxh3", digest.xxh3}};
  }
  return json{{"code", shard.status().raw_code()}, {"message", std::string(shard.status().message())}, {"files", files}}.dump();
}

absl::Status AddShard(const std::string& text, size_t rank, Files& files) {
  const json shard = json::parse(text);
  if (const auto code = static_cast<absl::StatusCode>(shard["code"].get<int>()); code != absl::StatusCode::kOk)
    return {code, absl::StrCat("rank ", rank, ": ", shard["message"].get<std::string>())};
  for (const auto& [name, digest] : shard["files"].items()) files[name] = {digest["bytes"], digest["xxh3"]};
  return absl::OkStatus();
}

}  // namespace

CheckpointWriter::~CheckpointWriter() {
  if (thread_.joinable()) thread_.join();
}

absl::Status CheckpointWriter::Start(ArtifactKind kind) {
  if (auto status = CheckRoomForCheckpoint(s_); !status.ok()) return status;
  record_ = CheckpointRecord(s_, kind);
  manifest_ = ManifestOf(s_, kind);
  const checkpoint::Shard shard = Sharded(s_) ? checkpoint::Shard{s_.job.rank, s_.job.world_size} : checkpoint::Shard{};
  const auto start = std::chrono::steady_clock::now();
  auto copy = std::make_unique<Copy>();
  copy->ranges = RangesToWrite(s_);
  const absl::MutexLock lock(&mutex_);
  shard_.reset();
  if (copy->ranges.empty()) {
    shard_ = Files();
    return absl::OkStatus();
  }
  copy->weights = CopyToHost(s_.parameters->weights());
  copy->exp_avg = CopyToHost(s_.optimizer->exp_avg());
  copy->exp_avg_sq = CopyToHost(s_.optimizer->exp_avg_sq());
  dist::Synchronize(s_.device);
  thread_ = std::thread([this, start, shard, dir = record_->staging_path, owned = std::move(copy)]() mutable {
    auto files = Write(*owned, s_.job, dir, shard);
    owned.reset();  // before anybody learns that it is written
    const absl::MutexLock done(&mutex_);
    record_->write_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    shard_ = std::move(files);
  });
  return absl::OkStatus();
}

bool CheckpointWriter::written() const {
  const absl::MutexLock lock(&mutex_);
  return !record_ || shard_.has_value();
}

absl::StatusOr<std::optional<ArtifactRecord>> CheckpointWriter::Conclude() {
  if (!record_) return std::nullopt;
  if (thread_.joinable()) thread_.join();
  ArtifactRecord record = *std::exchange(record_, std::nullopt);
  std::string mine;
  {
    const absl::MutexLock lock(&mutex_);
    mine = ToText(*shard_);
  }
  absl::Status status;
  manifest_.files.clear();
  const std::vector<std::string> shards = s_.group.AllGatherText(mine);
  for (size_t rank = 0; rank < shards.size(); ++rank) status.Update(AddShard(shards[rank], rank, manifest_.files));
  if (!s_.is_rank_zero()) {
    if (!status.ok()) return status;
    return std::nullopt;
  }
  if (status.ok()) {
    auto finished = checkpoint::FinishCheckpoint(record.staging_path, manifest_, *s_.job.files);
    if (finished.ok()) {
      record.bytes = static_cast<int64_t>(finished->bytes);
      record.manifest_digest = finished->manifest_digest;
      return record;
    }
    status = finished.status();
  }
  (void)s_.job.files->RemoveTree(record.staging_path);  // else it goes with its generation
  return status;
}

}  // namespace pixelrec::train
