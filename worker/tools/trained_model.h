// A trained model, ready to encode and rank: best_model/ of a job, or one of its checkpoints.
//
// A checkpoint holds weights alone; what its job's best_model/ says of model, texts and lengths holds for it too.
// Threads: one thread at a time.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "worker/checkpoint/best_model.h"
#include "worker/checkpoint/hllm_weights.h"
#include "worker/data/dataset.h"
#include "worker/dist/flat_parameters.h"
#include "worker/model/hllm.h"

namespace pixelrec::tools {

struct TrainedModel {
  checkpoint::HllmInfo info;
  std::filesystem::path tokenizer_dir;
  std::unique_ptr<dist::FlatParameters> parameters;
  std::unique_ptr<model::Hllm> hllm;
  std::unique_ptr<data::Dataset> dataset;  // null until OpenDatasetOf
};

// The best_model/ folder that describes `path`: itself, that of an output_dir, or the one beside a checkpoint-epoch-N/ or
// recovery/step-N/. NOT_FOUND: none.
absl::StatusOr<std::filesystem::path> RecordOf(const std::filesystem::path& path);

// `path`: as for RecordOf. `max_text_length`: of the texts to be encoded; 0: as it was trained.
// INVALID_ARGUMENT: not such a folder. DATA_LOSS: damaged. FAILED_PRECONDITION: the checkpoint is of another run than the
// best_model/ beside it.
absl::StatusOr<TrainedModel> OpenTrainedModel(const std::filesystem::path& path, int64_t max_text_length = 0);

// Into `model.dataset`. NOT_FOUND: no such dataset. FAILED_PRECONDITION: it was prepared in another way than the one the model
// was trained on.
absl::Status OpenDatasetOf(const std::filesystem::path& dataset_dir, TrainedModel& model);

// Any HLLM's weights in the models of two model directories, for the items of any prepared dataset; `info` and `tokenizer_dir`
// stay empty. FAILED_PRECONDITION: a model directory isn't given. INVALID_ARGUMENT: the weights or the dataset's tokens don't fit
// the models.
absl::StatusOr<TrainedModel> OpenModelOf(const checkpoint::HllmWeights& weights, const std::filesystem::path& item_model_dir,
                                         const std::filesystem::path& user_model_dir, const std::filesystem::path& dataset_dir);

}  // namespace pixelrec::tools
