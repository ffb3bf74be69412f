#include "worker/tools/trained_model.h"

#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/checkpoint/manifest.h"
#include "worker/train/artifacts.h"
#include "worker/train/hllm_parameters.h"
#include "worker/train/init_from.h"

namespace pixelrec::tools {
namespace {

namespace fs = std::filesystem;

bool IsCheckpoint(const fs::path& path) { return fs::exists(path / checkpoint::kManifestFile); }

// The model over `trained.parameters`, which are filled afterwards.
void Assemble(const checkpoint::DecoderConfig& item, const checkpoint::DecoderConfig& user, int64_t max_text_length,
              int64_t max_seq_length, TrainedModel& trained) {
  trained.parameters = std::make_unique<dist::FlatParameters>(train::HllmUnits(item, user, trained.info.item_emb_token_n),
                                                              at::TensorOptions(at::kFloat));
  trained.hllm =
      std::make_unique<model::Hllm>(model::Hllm::Options{.item_llm = train::Describe(item),
                                                         .user_llm = train::Describe(user),
                                                         .max_text_length = max_text_length,
                                                         .max_seq_length = max_seq_length,
                                                         .item_emb_token_n = trained.info.item_emb_token_n,
                                                         .gradient_checkpointing = false},
                                    train::LeafWeights(*trained.parameters, item.num_hidden_layers, user.num_hidden_layers));
}

absl::Status LoadCheckpoint(const fs::path& path, const fs::path& record, TrainedModel& trained) {
  const auto manifest = train::LoadCheckpointWeights(path, *trained.parameters);
  if (!manifest.ok()) return manifest.status();
  if (manifest->data_hash != trained.info.data_hash) {
    return absl::FailedPreconditionError(absl::StrCat(path.string(), ": trained on data ", manifest->data_hash, ", but ",
                                                      record.string(), " beside it on ", trained.info.data_hash));
  }
  trained.info.epoch = manifest->epoch;
  trained.info.step = manifest->step;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<fs::path> RecordOf(const fs::path& path) {
  std::error_code error;
  const fs::path folder = fs::weakly_canonical(path, error);
  const auto is_record = [](const fs::path& dir) { return fs::exists(dir / checkpoint::kHllmFile); };
  if (is_record(folder)) return folder;
  if (is_record(folder / "best_model")) return folder / "best_model";
  if (checkpoint::IsModelExport(folder)) {
    return absl::FailedPreconditionError(absl::StrCat(
        path.string(), ": an export of weights that came without ", checkpoint::kHllmFile,
        ", so how item texts were made (prompt, text keys, lengths) is unknown; `export --format embeddings --dataset DIR` and "
        "init_from take it"));
  }
  if (!IsCheckpoint(folder)) {
    return absl::NotFoundError(absl::StrCat(path.string(),
                                            ": no trained model: give a job's best_model/, checkpoint-epoch-N/, "
                                            "recovery/step-N/ or output_dir"));
  }
  for (const fs::path& output_dir : {folder.parent_path(), folder.parent_path().parent_path()}) {
    if (is_record(output_dir / "best_model")) return output_dir / "best_model";
  }
  return absl::NotFoundError(absl::StrCat(path.string(),
                                          ": a checkpoint holds weights alone, and there is no best_model/ in its "
                                          "output_dir that describes the model; it appears after the first validation"));
}

absl::StatusOr<TrainedModel> OpenTrainedModel(const fs::path& path, int64_t max_text_length) {
  const auto record = RecordOf(path);
  if (!record.ok()) return record.status();
  const auto best = checkpoint::OpenBestModel(*record);
  if (!best.ok()) return best.status();
  TrainedModel trained{.info = best->info,
                       .tokenizer_dir = *record / checkpoint::kItemModelFolder,
                       .parameters = nullptr,
                       .hllm = nullptr,
                       .dataset = nullptr};
  Assemble(best->item_config, best->user_config, max_text_length > 0 ? max_text_length : best->info.max_text_length,
           best->info.max_seq_length, trained);
  if (IsCheckpoint(path)) {
    if (absl::Status status = LoadCheckpoint(path, *record, trained); !status.ok()) return status;
  } else {
    train::CopyBestModelWeights(*best, *trained.parameters);
  }
  return trained;
}

absl::Status OpenDatasetOf(const fs::path& dataset_dir, TrainedModel& model) {
  auto dataset = data::Dataset::Open(dataset_dir);
  if (!dataset.ok()) return dataset.status();
  if ((*dataset)->data_hash() != model.info.data_hash) {
    return absl::FailedPreconditionError(absl::StrCat(dataset_dir.string(), ": prepared dataset ", (*dataset)->data_hash(),
                                                      ", the model was trained on ", model.info.data_hash));
  }
  model.dataset = *std::move(dataset);
  return absl::OkStatus();
}

absl::StatusOr<TrainedModel> OpenModelOf(const checkpoint::HllmWeights& weights, const std::filesystem::path& item_model_dir,
                                         const std::filesystem::path& user_model_dir, const std::filesystem::path& dataset_dir) {
  if (item_model_dir.empty() || user_model_dir.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(weights.path.string(), " (", weights.description,
                     ") holds no config.json; say which models it was trained from: --item-model-dir DIR --user-model-dir DIR"));
  }
  auto item = checkpoint::ReadDecoderConfig(item_model_dir);
  if (!item.ok()) return item.status();
  auto user = checkpoint::ReadDecoderConfig(user_model_dir);
  if (!user.ok()) return user.status();
  auto dataset = data::Dataset::Open(dataset_dir);
  if (!dataset.ok()) return dataset.status();
  TrainedModel trained{.info = {}, .tokenizer_dir = {}, .parameters = nullptr, .hllm = nullptr, .dataset = *std::move(dataset)};
  if (trained.dataset->vocab_size() > item->vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(dataset_dir.string(), ": its tokenizer has ", trained.dataset->vocab_size(),
                                                   " ids, the model in ", item_model_dir.string(), " ", item->vocab_size));
  }
  // A checkpoint of a model that pools keeps the embedding token as an empty tensor.
  const auto token = weights.tensors.find("item_emb_tokens");
  if (token != weights.tensors.end() && token->second.shape.size() == 3) trained.info.item_emb_token_n = token->second.shape[1];
  Assemble(*item, *user, trained.dataset->max_text_length(), trained.dataset->max_seq_length(), trained);
  auto copied = train::CopyWeights(weights, *trained.parameters);
  if (!copied.ok()) return copied.status();
  return trained;
}

}  // namespace pixelrec::tools
