// What a checkpoint remembers of a run besides its tensors, so that another job may go on from it.
//
// Threads: pure functions.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "worker/checkpoint/finished_epoch.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

// Settings that change what a step or a score is, by their key in job.yaml: going on with others would be neither run. Those of
// data preparation are in the data hash; learning rate and batch shares may be changed on purpose.
std::map<std::string, std::string> SettingsOf(const TrainJob& job);

// Between a manifest's epochs and the trainer's. Groups of users (RankingRecord::groups) are not remembered.
std::vector<checkpoint::FinishedEpoch> ToFinishedEpochs(std::span<const EpochRecord> epochs);

// All epochs up to `last`: what the coordinator knows of this job's, and what the checkpoint says of those that another job ran.
std::vector<EpochRecord> MergeEpochs(const std::vector<checkpoint::FinishedEpoch>& saved, const std::vector<EpochRecord>& known,
                                     int64_t last);

}  // namespace pixelrec::train
