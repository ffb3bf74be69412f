// What a recommender that learns nothing reaches on the same split: the figures a model must beat.
//
// Both read the train parts alone (rule D6) and mask the history as the model's ranking does (rule W9).
// Threads: pure functions. Memory: O(items + interactions).
#pragma once

#include "worker/data/dataset.h"
#include "worker/eval/ranking.h"

namespace pixelrec::eval {

// Ranking by number of occurrences; of equally frequent items the lower id comes first.
TargetRanks RankTargetsByPopularity(const data::Dataset& dataset, Split split);

// First-order Markov chain: items by how often they followed the history's last item, then by popularity.
TargetRanks RankTargetsByLastItem(const data::Dataset& dataset, Split split);

}  // namespace pixelrec::eval
