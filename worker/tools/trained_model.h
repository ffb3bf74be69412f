// best_model/ of a finished job, ready to encode and rank, with the prepared dataset it was trained on.
//
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
  std::unique_ptr<dist::FlatParameters> parameters;
  std::unique_ptr<model::Hllm> hllm;
  std::unique_ptr<data::Dataset> dataset;
};

// NOT_FOUND: no such model or dataset. INVALID_ARGUMENT: not a best_model/ folder. DATA_LOSS: damaged. FAILED_PRECONDITION: the
// dataset was prepared in another way than the one the model was trained on.
absl::StatusOr<TrainedModel> OpenTrainedModel(const std::filesystem::path& model_dir, const std::filesystem::path& dataset_dir);

// Any HLLM's weights in the models of two model directories, for the items of any prepared dataset; `info` stays empty.
// FAILED_PRECONDITION: a model directory isn't given. INVALID_ARGUMENT: the weights or the dataset's tokens don't fit the models.
absl::StatusOr<TrainedModel> OpenModelOf(const checkpoint::HllmWeights& weights, const std::filesystem::path& item_model_dir,
                                         const std::filesystem::path& user_model_dir, const std::filesystem::path& dataset_dir);

}  // namespace pixelrec::tools
