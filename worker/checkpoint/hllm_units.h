// The trained tensors of an HLLM as units (worker/dist/unit_layout.h), from the numbers of its two language models alone.
//
// Names: item_llm.layers.0.self_attn.q_proj.weight, ..., user_llm.norm.weight, item_emb_tokens, logit_scale: those of the model
// directories behind the prefix of their side. The user LLM's token embeddings and both heads take no part (rule M6).
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/checkpoint/decoder_config.h"
#include "worker/dist/unit_layout.h"

namespace pixelrec::checkpoint {

// Units in the order of the forward pass: embeddings, item layers, user layers, head (hllm.md 4.1).
// item_emb_tokens is [1, item_emb_token_n, H]; with 0 an empty tensor. The head (last norms, embedding token, scale) is a few KB
// that every step of every pass reads: it is never sharded, and never rounded but by rule P1.
std::vector<dist::Unit> HllmUnits(const DecoderConfig& item_llm, const DecoderConfig& user_llm, int64_t item_emb_token_n = 1,
                                  int item_zero_stage = 0, int user_zero_stage = 0);

}  // namespace pixelrec::checkpoint
