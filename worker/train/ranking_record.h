// Ranks of targets as the records that a job reports.
//
// Threads: pure functions.
#pragma once

#include <span>

#include "worker/data/dataset.h"
#include "worker/eval/ranking.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

// Metrics over all users, and by group of users.
RankingRecord RankingOf(const data::Dataset& dataset, eval::Split split, const eval::TargetRanks& ranks, std::span<const int> ks);

// The test split: the model's ranks beside the baselines.
void RankTest(const data::Dataset& dataset, const eval::TargetRanks& ranks, std::span<const int> ks, ResultRecord& result);

}  // namespace pixelrec::train
