// HLLM: an item LLM that turns item texts into embeddings, a user LLM that reads a history of them (rules M1-M4), and the NCE
// loss. Mathematics only: no files, no ranks.
//
// Threads: one thread at a time. Shape letters: T tokens, H hidden, R rows (valid pairs), K negatives.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "worker/model/decoder.h"
#include "worker/model/parts.h"

namespace pixelrec::model {

inline constexpr double kInitialLogitScale = 2.6592600369327783;  // ln(1 / 0.07), rule N1
inline constexpr double kMaxLogitScale = 4.605170185988092;       // ln 100
inline constexpr double kNceThreshold = 0.99;                     // rule N4

struct HllmWeights {
  DecoderWeights item_llm;
  DecoderWeights user_llm;
  at::Tensor item_emb_tokens;  // [1, n, H], n = item_emb_token_n
  at::Tensor logit_scale;      // []
};

// Token ids of several items, packed; a place for the embedding token follows each item's last id (rules X5, X7). A model that
// pools (item_emb_token_n 0) leaves these places out.
struct PackedItems {
  Segments segments;               // lengths include the embedding token's place
  std::vector<int64_t> token_ids;  // [T], 0 where an embedding token stands

  void Append(std::span<const uint32_t> item_tokens);
};

class Hllm {
 public:
  struct Options {
    DecoderDescription item_llm;
    DecoderDescription user_llm;
    int64_t max_text_length = 256;  // longest item, without the embedding token
    int64_t max_seq_length = 11;    // longest history + 1
    int64_t item_emb_token_n = 1;   // 1: a learned token's hidden state; 0: the mean over the text's (rule X5)
    bool gradient_checkpointing = true;
    bool composed_ops = false;  // ForwardOptions::composed: with bf16 weights, round after every operation (rule P1)
    // Told of each model's passes; null: all weights are always there. Must outlive the model and its graphs.
    WeightSchedule* item_schedule = nullptr;
    WeightSchedule* user_schedule = nullptr;
  };

  Hllm(const Options& options, HllmWeights weights);

  // -> [items, H]: hidden state after the last norm at each embedding token (rule M3), or the mean over each item's tokens (rule
  // X5; throws c10::Error for an item without any, which has no mean). Not normalised. No items: [0, H], by the same passes, so
  // that a rank without work makes the collectives of those that have some.
  at::Tensor EncodeItems(const PackedItems& items) const;

  // Packed histories of item embeddings -> output of every position (rule M4), or of each history's last one. Not normalised.
  // The embeddings may be of any floating type; outputs of both models have that of the layers' weights.
  at::Tensor EncodeUsers(const at::Tensor& history_TH, const Segments& segments, Rows rows) const;

  const HllmWeights& weights() const { return weights_; }
  const Options& options() const { return options_; }

 private:
  // [T, H]: the embedding tokens' rows overwritten (rule M2).
  at::Tensor ItemInputs(const PackedItems& items) const;
  at::Tensor ItemForward(const at::Tensor& x_TH, const Segments& segments, const std::vector<int64_t>& parts, Rows rows) const;

  Options options_;
  HllmWeights weights_;
  std::vector<RotaryTable> item_rotary_;
  std::vector<RotaryTable> user_rotary_;
};

struct NceLoss {
  at::Tensor sum;     // [] fp32, over this rank's rows, divided by nothing
  at::Tensor logits;  // [R, 1 + K] after scale; filtered ones are the lowest float
};

// Rules N1-N4, W4: fp32 cosine logits, false negatives filtered, cross entropy with label 0. user_RH, target_RH, negatives_KH:
// not normalised. The gradient flows into all three and into logit_scale (rule N7).
NceLoss ComputeNceLoss(const at::Tensor& user_RH, const at::Tensor& target_RH, const at::Tensor& negatives_KH,
                       const at::Tensor& logit_scale, double threshold = kNceThreshold);

// What the reference logs of the logits (rule N6), as sums over rows, so that sums over ranks and micro-steps stay means of rows.
inline constexpr std::array<int, 5> kNceTopK = {1, 5, 10, 50, 100};
inline constexpr int64_t kNceStatistics = 2 + static_cast<int64_t>(kNceTopK.size());
// -> [2 + 5] fp64: rows; logits that the filter left in, the positive among them; rows whose positive is among the k highest, for
// every k of kNceTopK. A logit that equals the positive's doesn't come before it.
at::Tensor NceStatistics(const at::Tensor& logits);

}  // namespace pixelrec::model
