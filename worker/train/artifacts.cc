#include "worker/train/artifacts.h"

#include <ATen/ops/empty.h>

#include <charconv>
#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "worker/checkpoint/best_model.h"
#include "worker/checkpoint/checkpoint_files.h"
#include "worker/checkpoint/decoder_tensors.h"
#include "worker/checkpoint/digest.h"
#include "worker/train/committed_checkpoint.h"
#include "worker/train/failure.h"
#include "worker/train/hllm_parameters.h"
#include "worker/train/optimizer.h"
#include "worker/train/run_settings.h"
#include "worker/train/tensor_bytes.h"

namespace pixelrec::train {
namespace {

constexpr char kStagingFolder[] = ".staging";

std::filesystem::path StagingPath(const Session& s, const std::string& name) {
  return s.job.output_dir / kStagingFolder / absl::StrCat("g", s.job.generation) / name;
}

absl::Status WithOutputKind(absl::Status status) {
  const FailureKind kind = absl::IsResourceExhausted(status) ? FailureKind::kDiskFull : FailureKind::kOutputUnwritable;
  return WithKind(std::move(status), kind);
}

checkpoint::TensorInfo InfoOf(const std::string& name, const at::Tensor& tensor) {
  const auto bytes = BytesOf(tensor);
  return {.name = name, .dtype = "F32", .shape = tensor.sizes().vec(), .data = bytes.data(), .bytes = bytes.size()};
}

// This rank's ranges of every tensor, whoever wrote which part of it.
absl::Status CopyRanges(const checkpoint::PiecedTensors& file, const std::string& prefix, const dist::FlatParameters& parameters,
                        const at::Tensor& flat) {
  for (const auto& [name, range] : parameters.ranges()) {
    auto shape = file.Shape(prefix + name);
    if (!shape.ok()) return shape.status();
    if (*shape != range.shape)
      return absl::DataLossError(absl::StrCat(file.title(), ": tensor ", prefix, name, " has another shape than the model's"));
    const at::Tensor values = at::empty({range.numel}, at::kFloat);
    const auto status =
        file.Read(prefix + name, range.begin, absl::MakeSpan(values.mutable_data_ptr<float>(), static_cast<size_t>(range.numel)));
    if (!status.ok()) return status;
    flat.narrow(0, range.offset, range.numel).copy_(values);
  }
  return absl::OkStatus();
}

// One side of best_model/: the trained tensors under their own names.
checkpoint::HfExport SideExport(const WholeWeights& weights, const std::string& side, const std::filesystem::path& source,
                                const checkpoint::DecoderConfig& config, const checkpoint::ModelWeights& original) {
  checkpoint::HfExport result{.source_dir = source, .config = &config, .original = &original, .trained = {}};
  const std::string prefix = side + ".";
  for (const auto& [name, tensor] : weights) {
    if (!name.starts_with(prefix)) continue;
    const std::string own = name.substr(prefix.size());
    result.trained[own] = InfoOf(own, tensor);
  }
  return result;
}

// What isn't trained: the user LLM's token embeddings, output heads.
struct Original {
  checkpoint::ModelWeights weights;
  std::vector<at::Tensor> initial;  // what `weights` points at besides its own files
};

// From the model directory, as it was; for a side that started without weights (rule F3), as it would have started: transformers
// loads no model without token embeddings.
absl::StatusOr<Original> OpenOriginal(const std::string& side, const std::filesystem::path& dir,
                                      const checkpoint::DecoderConfig& config, bool read, uint64_t seed) {
  Original original;
  if (read) {
    auto opened = checkpoint::OpenModelWeights(dir, config);
    if (!opened.ok()) return opened.status();
    original.weights = *std::move(opened);
    return original;
  }
  const checkpoint::DecoderLayout layout = checkpoint::LayoutOf(config);
  for (const checkpoint::ModelTensor& tensor : layout.embeddings) {
    for (const checkpoint::TensorSpec& part : tensor.parts) {
      original.initial.push_back(InitialTensor(config, tensor.role, absl::StrCat(side, ".", part.name), part.shape, seed));
      original.weights.tensors.emplace(part.name, InfoOf(part.name, original.initial.back()));
    }
  }
  return original;
}

// What weight decay has left of them by now (rule M6 in compat).
void Decay(const Session& s, const std::string& side, Original& original) {
  for (const auto& [name, factor] : s.position.unread.factors()) {
    if (!name.starts_with(side + ".")) continue;
    const std::string own = name.substr(side.size() + 1);
    const auto found = original.weights.tensors.find(own);
    const bool is_head = own == "lm_head.weight" && original.weights.lm_head;
    if (!is_head && found == original.weights.tensors.end()) continue;
    checkpoint::TensorInfo& info = is_head ? *original.weights.lm_head : found->second;
    at::Tensor value = TensorOf(info).to(at::kFloat);
    if (s.job.compat.bf16_rounding) value = value.to(at::kBFloat16).to(at::kFloat);  // rule P2
    original.initial.push_back(value.to(at::kDouble).mul(factor).to(at::kFloat).contiguous());
    info = InfoOf(own, original.initial.back());
  }
}

absl::StatusOr<checkpoint::WrittenBestModel> WriteStaged(const Session& s, const std::filesystem::path& dir,
                                                         const checkpoint::HllmInfo& info,
                                                         const checkpoint::BestModelTensors& tensors) {
  if (auto status = storage::CreateFolders(s.job.output_dir, dir, *s.job.files); !status.ok()) return status;
  auto written = checkpoint::WriteBestModel(dir, info, tensors, *s.job.files);
  if (!written.ok()) (void)s.job.files->RemoveTree(dir);
  return written;
}

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

checkpoint::Manifest ManifestOf(const Session& s, ArtifactKind kind) {
  checkpoint::Manifest m = s.facts;
  m.kind = kind == ArtifactKind::kRecoveryCheckpoint ? checkpoint::CheckpointKind::kRecovery : checkpoint::CheckpointKind::kEpoch;
  m.epoch = s.position.epoch;
  m.step = s.position.step;
  m.step_in_epoch = s.position.step_in_epoch;
  m.updates = s.optimizer->steps();
  m.sample_digest = s.position.digest.Hex();
  m.best_validation_loss = s.position.best_validation_loss;
  m.epoch_loss_sum = s.position.epoch_loss_sum;
  m.epoch_loss_rows = s.position.epoch_loss_rows;
  m.tokens = s.position.tokens;
  m.samples = s.position.samples;
  m.epochs = ToFinishedEpochs(s.position.epochs);
  m.unread_decay = s.position.unread.factors();
  return m;
}

ArtifactRecord CheckpointRecord(const Session& s, ArtifactKind kind) {
  const bool recovery = kind == ArtifactKind::kRecoveryCheckpoint;
  const std::string name =
      recovery ? absl::StrCat("step-", s.position.step) : absl::StrCat("checkpoint-epoch-", s.position.epoch);
  return {.kind = kind,
          .staging_path = StagingPath(s, name),
          .path = recovery ? s.job.output_dir / "recovery" / name : s.job.output_dir / name,
          .epoch = static_cast<int>(s.position.epoch),
          .step = s.position.step,
          .samples = s.position.samples,
          .sample_digest = s.position.digest.Hex()};
}

WholeWeights GatherWeights(const Session& s) {
  WholeWeights weights;
  s.exchange->ForEachWhole(s.parameters->weights(), [&](size_t unit, const at::Tensor& whole) {
    if (!s.is_rank_zero()) return;
    for (const dist::PlacedTensor& tensor : s.parameters->layout().units()[unit].tensors)
      weights[tensor.name] = whole.narrow(0, tensor.offset, tensor.numel()).view(tensor.shape).cpu();
  });
  return weights;
}

absl::StatusOr<ArtifactRecord> StageBestModel(const Session& s, const WholeWeights& weights, double validation_loss) {
  const Stopwatch watch;
  ArtifactRecord record{.kind = ArtifactKind::kBestModel,
                        .staging_path = StagingPath(s, absl::StrCat("best_model-", s.position.step)),
                        .path = s.job.output_dir / "best_model",
                        .epoch = static_cast<int>(s.position.epoch),
                        .step = s.position.step,
                        .validation_loss = validation_loss};
  auto item = OpenOriginal("item_llm", s.job.item_model_dir, s.item_config, s.job.item_llm_init, s.job.seed);
  if (!item.ok()) return WithKind(item.status(), FailureKind::kBadModel);
  auto user = OpenOriginal("user_llm", s.job.user_model_dir, s.user_config, s.job.user_llm_init, s.job.seed);
  if (!user.ok()) return WithKind(user.status(), FailureKind::kBadModel);
  Decay(s, "item_llm", *item);
  Decay(s, "user_llm", *user);
  const checkpoint::BestModelTensors tensors{
      .item = SideExport(weights, "item_llm", s.job.item_model_dir, s.item_config, item->weights),
      .user = SideExport(weights, "user_llm", s.job.user_model_dir, s.user_config, user->weights),
      .item_emb_tokens = InfoOf("item_emb_tokens", weights.at("item_emb_tokens")),
      .logit_scale = InfoOf("logit_scale", weights.at("logit_scale"))};
  const checkpoint::HllmInfo info{.item_emb_token_n = s.job.item_emb_token_n,
                                  .max_seq_length = s.dataset->max_seq_length(),
                                  .max_text_length = s.dataset->max_text_length(),
                                  .item_prompt = s.job.item_prompt,
                                  .text_keys = s.job.text_keys,
                                  .nce_thres = model::kNceThreshold,
                                  .data_hash = s.dataset->data_hash(),
                                  .epoch = s.position.epoch,
                                  .step = s.position.step,
                                  .validation_loss = validation_loss,
                                  .unread_decay = s.position.unread.factors(),
                                  .job_name = s.job.job_name,
                                  .program_version = s.facts.program_version};
  auto written = WriteStaged(s, record.staging_path, info, tensors);
  if (!written.ok()) return WithOutputKind(written.status());
  record.bytes = static_cast<int64_t>(written->bytes);
  record.manifest_digest = written->info_digest;
  record.write_seconds = watch.seconds();
  return record;
}

absl::StatusOr<ArtifactRecord> AdoptBestModel(const Session& s) {
  ArtifactRecord record{.kind = ArtifactKind::kBestModel,
                        .staging_path = StagingPath(s, "best_model-adopted"),
                        .path = s.job.output_dir / "best_model"};
  auto best = checkpoint::OpenBestModel(record.path);
  if (!best.ok()) return best.status();
  auto digest = checkpoint::DigestFile(record.path / checkpoint::kHllmFile);
  if (!digest.ok()) return digest.status();
  record.epoch = static_cast<int>(best->info.epoch);
  record.step = best->info.step;
  record.bytes = static_cast<int64_t>(digest->bytes);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(record.path)) {
    if (entry.is_regular_file() && entry.path().filename() != checkpoint::kHllmFile)
      record.bytes += static_cast<int64_t>(entry.file_size());
  }
  record.manifest_digest = digest->xxh3;
  record.validation_loss = best->info.validation_loss.value_or(0);
  return record;
}

absl::Status RestoreCheckpoint(Session& s) {
  auto opened = OpenCommittedCheckpoint(s);
  if (!opened.ok()) return opened.status();
  const checkpoint::Manifest& m = opened->manifest;
  if (auto status = checkpoint::CheckContinues(m, s.facts); !status.ok()) {
    return WithKind(status, FailureKind::kBadData, "give the job an output_dir of its own, or output_policy: replace");
  }
  if (auto status = CopyRanges(*opened->model, "", *s.parameters, s.parameters->weights()); !status.ok()) return status;
  if (auto status = CopyRanges(*opened->optimizer, checkpoint::kFirstMoment, *s.parameters, s.optimizer->exp_avg()); !status.ok())
    return status;
  if (auto status = CopyRanges(*opened->optimizer, checkpoint::kSecondMoment, *s.parameters, s.optimizer->exp_avg_sq());
      !status.ok())
    return status;
  FollowMasters(*s.exchange, *s.parameters, s.job.compat);
  s.optimizer->set_steps(m.updates);
  UnreadDecay unread(s.job, s.item_config);
  unread.Restore(m.unread_decay);
  s.position = {.step = m.step,
                .epoch = m.epoch,
                .step_in_epoch = m.step_in_epoch,
                .epoch_loss_sum = m.epoch_loss_sum,
                .epoch_loss_rows = m.epoch_loss_rows,
                .digest = {},
                .best_validation_loss = m.best_validation_loss,
                .tokens = m.tokens,
                .samples = m.samples,
                .epochs = MergeEpochs(m.epochs, s.job.finished_epochs, m.epoch),
                .unread = std::move(unread),
                .compute_type = m.compute_type};
  auto digest = data::SampleDigest::FromHex(m.sample_digest);
  if (!digest.ok()) return digest.status();
  s.position.digest = *digest;
  return absl::OkStatus();
}

absl::StatusOr<checkpoint::Manifest> LoadCheckpointWeights(const std::filesystem::path& path, dist::FlatParameters& parameters) {
  auto opened = checkpoint::OpenCheckpoint(path);
  if (!opened.ok()) return opened.status();
  if (auto status = CopyRanges(*opened->model, "", parameters, parameters.weights()); !status.ok()) return status;
  return std::move(opened->manifest);
}

void CopyBestModelWeights(const checkpoint::BestModel& best, dist::FlatParameters& parameters) {
  for (const auto& [side, weights] : {std::pair("item_llm.", &best.item), std::pair("user_llm.", &best.user)}) {
    for (const auto& [name, info] : weights->tensors) {
      const std::string full = side + name;
      if (parameters.ranges().contains(full)) parameters.SetWeight(full, TensorOf(info));
    }
  }
  parameters.SetWeight("item_emb_tokens", TensorOf(best.item_emb_tokens));
  parameters.weight("logit_scale").copy_(TensorOf(best.logit_scale)).clamp_(0, model::kMaxLogitScale);  // rule W14
}

absl::Status LoadBestModelWeights(const std::filesystem::path& path, dist::FlatParameters& parameters) {
  auto opened = checkpoint::OpenBestModel(path);
  if (opened.ok()) CopyBestModelWeights(*opened, parameters);
  return opened.status();
}

void RemoveLeftovers(const Session& s) {
  std::error_code ignored;
  // Reaped half way: RemoveDirectory's doomed folders.
  for (const auto& entry : std::filesystem::directory_iterator(s.job.output_dir / "recovery", ignored)) {
    if (entry.path().extension() == storage::kSupersededMark) std::filesystem::remove_all(entry.path(), ignored);
  }
  for (const auto& entry : std::filesystem::directory_iterator(s.job.output_dir / kStagingFolder, ignored)) {
    const std::string name = entry.path().filename();
    uint64_t generation = 0;
    const auto [end, error] = std::from_chars(name.data() + 1, name.data() + name.size(), generation);
    if (name.starts_with("g") && error == std::errc() && generation < s.job.generation)
      std::filesystem::remove_all(entry.path(), ignored);
  }
}

}  // namespace pixelrec::train
