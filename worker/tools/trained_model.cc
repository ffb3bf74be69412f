#include "worker/tools/trained_model.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/train/artifacts.h"
#include "worker/train/hllm_parameters.h"
#include "worker/train/init_from.h"

namespace pixelrec::tools {

namespace {

// The model over `trained.parameters`, which are filled afterwards.
void Assemble(const checkpoint::DecoderConfig& item, const checkpoint::DecoderConfig& user, TrainedModel& trained) {
  trained.parameters = std::make_unique<dist::FlatParameters>(train::HllmUnits(item, user), at::TensorOptions(at::kFloat));
  trained.hllm =
      std::make_unique<model::Hllm>(model::Hllm::Options{.item_llm = train::Describe(item),
                                                         .user_llm = train::Describe(user),
                                                         .max_text_length = trained.dataset->max_text_length(),
                                                         .max_seq_length = trained.dataset->max_seq_length(),
                                                         .gradient_checkpointing = false},
                                    train::LeafWeights(*trained.parameters, item.num_hidden_layers, user.num_hidden_layers));
}

}  // namespace

absl::StatusOr<TrainedModel> OpenTrainedModel(const std::filesystem::path& model_dir, const std::filesystem::path& dataset_dir) {
  if (!std::filesystem::exists(model_dir / checkpoint::kHllmFile)) {
    return absl::NotFoundError(
        absl::StrCat(model_dir.string(), ": no ", checkpoint::kHllmFile, "; give the best_model folder of a job's output_dir"));
  }
  auto best = checkpoint::OpenBestModel(model_dir);
  if (!best.ok()) return best.status();
  auto dataset = data::Dataset::Open(dataset_dir);
  if (!dataset.ok()) return dataset.status();
  TrainedModel trained{.info = best->info, .parameters = nullptr, .hllm = nullptr, .dataset = *std::move(dataset)};
  if (trained.dataset->data_hash() != best->info.data_hash) {
    return absl::FailedPreconditionError(absl::StrCat(dataset_dir.string(), ": prepared dataset ", trained.dataset->data_hash(),
                                                      ", the model was trained on ", best->info.data_hash));
  }
  Assemble(best->item_config, best->user_config, trained);
  train::CopyBestModelWeights(*best, *trained.parameters);
  return trained;
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
  TrainedModel trained{.info = {}, .parameters = nullptr, .hllm = nullptr, .dataset = *std::move(dataset)};
  if (trained.dataset->vocab_size() > item->vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(dataset_dir.string(), ": its tokenizer has ", trained.dataset->vocab_size(),
                                                   " ids, the model in ", item_model_dir.string(), " ", item->vocab_size));
  }
  Assemble(*item, *user, trained);
  auto copied = train::CopyWeights(weights, *trained.parameters);
  if (!copied.ok()) return copied.status();
  return trained;
}

}  // namespace pixelrec::tools
