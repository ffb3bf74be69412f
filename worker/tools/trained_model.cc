#include "worker/tools/trained_model.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/train/artifacts.h"
#include "worker/train/hllm_parameters.h"

namespace pixelrec::tools {

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
  trained.parameters = std::make_unique<dist::FlatParameters>(train::HllmUnits(best->item_config, best->user_config),
                                                              at::TensorOptions(at::kFloat));
  train::CopyBestModelWeights(*best, *trained.parameters);
  trained.hllm = std::make_unique<model::Hllm>(
      model::Hllm::Options{.item_llm = train::Describe(best->item_config),
                           .user_llm = train::Describe(best->user_config),
                           .max_text_length = best->info.max_text_length,
                           .max_seq_length = best->info.max_seq_length,
                           .gradient_checkpointing = false},
      train::LeafWeights(*trained.parameters, best->item_config.num_hidden_layers, best->user_config.num_hidden_layers));
  return trained;
}

}  // namespace pixelrec::tools
