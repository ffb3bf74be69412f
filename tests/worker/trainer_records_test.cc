// What of a job's spec reaches the training.
#include "worker/trainer_records.h"

#include <gtest/gtest.h>

#include "common/config/job_spec.h"

namespace pixelrec {
namespace {

v1::TrainerCommand CommandFor(const v1::DistributedSpec& distributed) {
  v1::TrainerCommand command;
  *command.mutable_plan()->mutable_spec()->mutable_distributed() = distributed;
  config::ApplyDefaults(*command.mutable_plan()->mutable_spec());
  return command;
}

TEST(TrainerRecords, EachLlmHasItsZeroStageOrThatOfTheJob) {
  v1::DistributedSpec distributed;
  train::TrainJob job = ToTrainJob(CommandFor(distributed));
  EXPECT_EQ(job.item_zero_stage, 0);
  EXPECT_EQ(job.user_zero_stage, 0);
  distributed.set_zero_stage(2);
  job = ToTrainJob(CommandFor(distributed));
  EXPECT_EQ(job.item_zero_stage, 2);
  EXPECT_EQ(job.user_zero_stage, 2);
  distributed.set_item_zero_stage(3);
  distributed.set_user_zero_stage(0);
  job = ToTrainJob(CommandFor(distributed));
  EXPECT_EQ(job.item_zero_stage, 3);
  EXPECT_EQ(job.user_zero_stage, 0);
}

TEST(TrainerRecords, WhatTrainingWaitedForIsToldWithProgressCheckpointsAndTheResult) {
  const train::StallRecord stalls{.data_seconds = 1.5, .checkpoint_seconds = 2.5};
  const v1::Progress progress = ToProto(train::ProgressRecord{.step = 7, .record = 3, .stalls = stalls});
  EXPECT_EQ(progress.record(), 3);
  EXPECT_EQ(progress.stalls().data_seconds(), 1.5);
  EXPECT_EQ(ToProto(train::ArtifactRecord{.stalls = stalls}).stalls().checkpoint_seconds(), 2.5);
  EXPECT_EQ(ToProto(train::ResultRecord{.stalls = stalls}).stalls().checkpoint_seconds(), 2.5);
}

}  // namespace
}  // namespace pixelrec
