// The data and the models that a golden case names, loaded as a training would.
//
// Threads: one at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/batch.h"
#include "worker/data/dataset.h"
#include "worker/dist/flat_parameters.h"
#include "worker/dist/unit_exchange.h"
#include "worker/model/hllm.h"
#include "worker/tools/golden/golden_case.h"
#include "worker/train/train_job.h"

namespace pixelrec::tools {

using Numbers = std::unordered_map<std::string, uint32_t>;

struct GoldenSubject {
  std::unique_ptr<data::Dataset> dataset;
  std::unique_ptr<dist::FlatParameters> parameters;
  std::unique_ptr<dist::UnitExchange> exchange;
  std::unique_ptr<model::Hllm> hllm;
  Numbers items, users;  // by the names of the data
};

// Prepares the data in a temporary folder, which is removed again, and loads the weights. Errors of Prepare, ReadDecoderConfig,
// OpenModelWeights; INVALID_ARGUMENT: item_emb_tokens doesn't fit the model.
absl::StatusOr<GoldenSubject> OpenGoldenSubject(const GoldenCase& golden, int threads);

// The rules of training that the case's numerics stand for.
train::CompatTraining CompatOf(const GoldenCase& golden);

// The case's batch as one rank's packed share. INVALID_ARGUMENT: an item that the data doesn't have.
absl::StatusOr<data::RankBatch> BatchOf(const GoldenCase& golden, const GoldenSubject& subject);

// `what`: "item" or "user", for the error.
absl::StatusOr<uint32_t> NumberOf(const Numbers& numbers, const std::string& name, absl::string_view what);
absl::StatusOr<std::vector<uint32_t>> NumbersOf(const Numbers& items, const std::vector<std::string>& names);

// A tensor of the case, which must outlive it. NOT_FOUND: it has none of that name.
absl::StatusOr<at::Tensor> Expected(const GoldenCase& golden, const std::string& name);

}  // namespace pixelrec::tools
