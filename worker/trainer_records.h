// Plain structs of the trainer <-> messages of the contract. The only file that knows both; it sees no LibTorch.
#pragma once

#include "pixelrec/v1/trainer_channel.pb.h"
#include "worker/data/prepare.h"
#include "worker/train/failure.h"
#include "worker/train/train_job.h"

namespace pixelrec {

// plan.spec must have its defaults applied (the coordinator does so).
train::TrainJob ToTrainJob(const v1::TrainerCommand& command);
data::PrepareOptions ToPrepareOptions(const v1::TrainerPlan& plan);

v1::Progress ToProto(const train::ProgressRecord& progress);
v1::StepTimings ToProto(const train::StepRecord& step);
v1::EpochResult ToProto(const train::EpochRecord& epoch);
v1::Artifact ToProto(const train::ArtifactRecord& artifact);
v1::JobResult ToProto(const train::ResultRecord& result);
v1::DatasetPrepared ToProto(const data::PrepareReport& report);
v1::Failure ToProto(const train::TypedFailure& failure, int rank);

}  // namespace pixelrec
