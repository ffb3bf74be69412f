// The trained tensors of an HLLM in flat buffers, filled from two model directories, seen by the model as leaves.
// Names: worker/checkpoint/hllm_units.h.
//
// Threads: one thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/checkpoint/decoder_config.h"
#include "worker/checkpoint/hllm_units.h"
#include "worker/dist/flat_parameters.h"
#include "worker/model/hllm.h"
#include "worker/train/compute_type.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

model::DecoderDescription Describe(const checkpoint::DecoderConfig& config);

using checkpoint::HllmUnits;

// What the leaves are rounded to: nothing in fp32, weights in bf16, and with rule P1 gradients too.
dist::Rounding RoundingOf(ComputeType compute, const CompatTraining& compat);

// The model's leaves.
model::HllmWeights LeafWeights(const dist::FlatParameters& parameters, int64_t item_layers, int64_t user_layers);

// Copies one side's tensors ("item_llm" or "user_llm") from its model directory. -> names of tensors in the files that no part of
// the decoder uses. Errors of checkpoint::OpenModelWeights.
absl::StatusOr<std::vector<std::string>> LoadSide(const std::filesystem::path& model_dir, const checkpoint::DecoderConfig& config,
                                                  const std::string& side, dist::FlatParameters& parameters);

// One stored tensor as a model starts without weights (rule F3): N(0, initializer_range), norms that do nothing, biases of zero.
// Depends on the seed and its full name alone ("user_llm.embed_tokens.weight"), so it is the same on every rank. `role` as in
// checkpoint::ModelTensor.
at::Tensor InitialTensor(const checkpoint::DecoderConfig& config, const std::string& role, const std::string& name,
                         const std::vector<int64_t>& shape, uint64_t seed);

// All trained tensors of one side ("item_llm" or "user_llm") so.
void InitializeSide(const checkpoint::DecoderConfig& config, const std::string& side, uint64_t seed,
                    dist::FlatParameters& parameters);

// item_emb_tokens ~ N(0, 0.02) from `seed` (rule M1), logit_scale = ln(1/0.07) (rule N1).
void InitializeHead(uint64_t seed, dist::FlatParameters& parameters);

}  // namespace pixelrec::train
