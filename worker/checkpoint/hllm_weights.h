// One door to a whole HLLM's weights, whoever wrote them: this program's best_model/, exports and checkpoints, the reference's
// flat file (rule F1; safetensors or torch, whole or in shards), DeepSpeed's ZeRO folders (rule F2).
//
// Canonical names, the trainer's own: item_llm.layers.0.self_attn.q_proj.weight, user_llm.norm.weight, item_llm.lm_head.weight,
// item_emb_tokens, logit_scale. The reference's have "model." behind the side: item_llm.model.layers.0....
// Not for a Hugging Face directory of one LLM (model_weights.h). Threads: immutable once opened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/checkpoint/safetensors.h"
#include "worker/checkpoint/unread_tensors.h"

namespace pixelrec::checkpoint {

enum class HllmSource { kBestModel, kModelExport, kCheckpoint, kReference, kDeepSpeed };

struct HllmWeights {
  HllmSource source = HllmSource::kReference;
  std::filesystem::path path;
  // In words: "best_model", "epoch checkpoint", "reference weights (torch)", "DeepSpeed ZeRO stage 2 checkpoint of 8 ranks".
  std::string description;
  std::map<std::string, TensorInfo> tensors;   // by canonical name
  std::map<std::string, std::string> ignored;  // entries that belong to no HLLM, by their own name -> why
  // How far it was trained; 0 where the source doesn't say.
  int64_t epoch = 0;
  int64_t step = 0;
  // Of a checkpoint in compat: how far the tensors that it doesn't hold have decayed (rule M6), rounded to bf16 before (rule P2).
  UnreadDecay unread_decay;
  bool unread_rounded = false;
  // What the tensors' bytes lie in.
  std::vector<std::shared_ptr<const void>> storage;
};

// This program's own folders are verified byte by byte. NOT_FOUND: nothing there; INVALID_ARGUMENT: something else, and what;
// otherwise errors of the reader that the content calls for.
absl::StatusOr<HllmWeights> OpenHllmWeights(const std::filesystem::path& path);

// Two Hugging Face directories and the head's tensors without hllm.json: an export of weights whose texts nobody described.
bool IsModelExport(const std::filesystem::path& dir);

// Between the reference's names (also behind DDP's and Lightning's prefixes) and canonical ones. Canonical names stay what they
// are.
std::string CanonicalName(absl::string_view reference_name);
std::string ReferenceName(absl::string_view canonical_name);

}  // namespace pixelrec::checkpoint
