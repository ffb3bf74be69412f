#include "worker/train/hllm_parameters.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/full.h>
#include <ATen/ops/normal.h>
#include <ATen/ops/zeros.h>

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "worker/checkpoint/decoder_tensors.h"
#include "worker/checkpoint/model_weights.h"
#include "worker/train/tensor_bytes.h"

namespace pixelrec::train {
namespace {

using checkpoint::DecoderConfig;

// FNV-1a of the name on top of the seed: a stream of its own for every tensor.
uint64_t SeedOfName(uint64_t seed, const std::string& name) {
  uint64_t hash = 14695981039346656037ULL ^ seed;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return hash;
}

std::string LayerPrefix(const std::string& side, int64_t layer) { return absl::StrCat(side, ".layers.", layer, "."); }

at::Tensor LeafIfAny(const dist::FlatParameters& p, const std::string& name) {
  return p.has_leaf(name) ? p.leaf(name) : at::Tensor();
}

model::DecoderWeights DecoderLeaves(const dist::FlatParameters& p, const std::string& side, int64_t layers) {
  model::DecoderWeights weights;
  for (int64_t i = 0; i < layers; ++i) {
    model::LayerWeights& layer = weights.layers.emplace_back();
    for (const auto& [name, member] : model::kLayerTensors) layer.*member = LeafIfAny(p, LayerPrefix(side, i) + name);
  }
  const std::string prefix = side + ".";
  weights.embed_tokens = LeafIfAny(p, prefix + "embed_tokens");
  weights.position_embeddings = LeafIfAny(p, prefix + "position_embeddings");
  weights.token_type_embeddings = LeafIfAny(p, prefix + "token_type_embeddings");
  weights.embedding_norm = LeafIfAny(p, prefix + "embedding_norm");
  weights.embedding_norm_bias = LeafIfAny(p, prefix + "embedding_norm_bias");
  weights.norm = LeafIfAny(p, prefix + "norm");
  return weights;
}

}  // namespace

model::DecoderDescription Describe(const DecoderConfig& config) { return config; }

dist::Rounding RoundingOf(ComputeType compute, const CompatTraining& compat) {
  if (compat.bf16_rounding) return dist::Rounding::kAll;
  return compute == ComputeType::kBf16 ? dist::Rounding::kWeights : dist::Rounding::kNone;
}

model::HllmWeights LeafWeights(const dist::FlatParameters& parameters, int64_t item_layers, int64_t user_layers) {
  return {.item_llm = DecoderLeaves(parameters, "item_llm", item_layers),
          .user_llm = DecoderLeaves(parameters, "user_llm", user_layers),
          .item_emb_tokens = parameters.leaf("item_emb_tokens"),
          .logit_scale = parameters.leaf("logit_scale")};
}

absl::StatusOr<std::vector<std::string>> LoadSide(const std::filesystem::path& model_dir, const DecoderConfig& config,
                                                  const std::string& side, dist::FlatParameters& parameters) {
  auto opened = checkpoint::OpenModelWeights(model_dir, config);
  if (!opened.ok()) return opened.status();
  for (const auto& [name, info] : opened->tensors) {
    const std::string full = absl::StrCat(side, ".", name);
    if (parameters.ranges().contains(full)) parameters.SetWeight(full, TensorOf(info));
  }
  return std::move(opened->ignored);
}

at::Tensor InitialTensor(const DecoderConfig& config, const std::string& role, const std::string& name,
                         const std::vector<int64_t>& shape, uint64_t seed) {
  if (absl::EndsWith(role, "_bias")) return at::zeros(shape, at::kFloat);
  if (absl::StrContains(role, "norm")) return at::full(shape, config.norm == model::Norm::kRmsOnePlus ? 0.0 : 1.0, at::kFloat);
  return at::normal(0.0, config.initializer_range, shape, at::detail::createCPUGenerator(SeedOfName(seed, name)));
}

void InitializeSide(const DecoderConfig& config, const std::string& side, uint64_t seed, dist::FlatParameters& parameters) {
  const checkpoint::DecoderLayout layout = checkpoint::LayoutOf(config);
  const auto fill = [&](const std::vector<checkpoint::ModelTensor>& tensors) {
    for (const checkpoint::ModelTensor& tensor : tensors) {
      for (const auto& part : tensor.parts) {
        const std::string name = absl::StrCat(side, ".", part.name);
        if (parameters.ranges().contains(name))
          parameters.SetWeight(name, InitialTensor(config, tensor.role, name, part.shape, seed));
      }
    }
  };
  fill(layout.embeddings);
  for (const auto& layer : layout.layers) fill(layer);
  fill(layout.head);
}

void InitializeHead(uint64_t seed, dist::FlatParameters& parameters) {
  const at::Generator generator = at::detail::createCPUGenerator(seed);
  at::Tensor token = parameters.weight("item_emb_tokens");
  token.copy_(at::normal(0.0, 0.02, token.sizes(), generator));
  parameters.weight("logit_scale").fill_(model::kInitialLogitScale);
}

}  // namespace pixelrec::train
