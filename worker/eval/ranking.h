// Full ranking: every item scored for every user, the user's whole history masked (rules V2-V4, W9).
//
// Threads: one thread at a time; collective calls: every rank of `group` must make them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "worker/data/dataset.h"
#include "worker/dist/process_group.h"
#include "worker/eval/ranking_metrics.h"
#include "worker/model/hllm.h"

namespace pixelrec::eval {

// Which event is predicted (rule D6): the last but one from all before it, or the last from all before it.
enum class Split { kValidation, kTest };

// Number of a user's events before the target; 0 if the user takes no part (rule W7).
size_t HistoryLength(size_t events, Split split);

// Of every user of the dataset, in order.
struct TargetRanks {
  std::vector<int64_t> ranks;  // 1 + items with a strictly higher score, or kMaskedTarget or kNotRanked
  std::vector<int64_t> ties;   // other unmasked items with exactly the target's score
};

TargetRanks NobodyRanked(const data::Dataset& dataset);

// items_IH: EncodeAllItems. Scores are fp32 cosines, held for one batch of users at a time; every rank gets the whole result,
// which is the same at any world size. `advanced` is called before every batch. `score_type`: kBFloat16 rounds vectors and scores
// as the reference does (rule V3).
TargetRanks RankTargets(
    const data::Dataset& dataset, const model::Hllm& hllm, const at::Tensor& items_IH, const dist::ProcessGroup& group,
    Split split, at::ScalarType score_type = at::kFloat, const std::function<void()>& advanced = [] {});

struct ScoredItem {
  uint32_t item;
  float score;  // cosine
};

// The k best items for one history of item ids, which itself is masked.
std::vector<ScoredItem> TopItems(const model::Hllm& hllm, const at::Tensor& items_IH, const std::vector<uint32_t>& history,
                                 int k);

}  // namespace pixelrec::eval
