// What a job computes in, fp32 or bf16, by what was asked for and what every rank's hardware does faster. Masters, moments, their
// gradients, the loss and scores are fp32 either way (rule W4).
//
// Threads: any; ChooseComputeType is a pure function. No LibTorch here.
#pragma once

#include <string>

#include "worker/train/train_job.h"

namespace pixelrec::train {

enum class ComputeType { kFp32, kBf16 };
const char* NameOf(ComputeType type);  // "fp32", "bf16": as manifests have it

// Of this machine: asks LibTorch, whose matrix products use these instructions.
Hardware DetectHardware();

struct ComputeChoice {
  ComputeType type = ComputeType::kFp32;
  std::string notice;  // for the job's events; empty: what was asked for needs no word
};
// ranks_with_bf16: ranks, of job.world_size, whose hardware has bf16 instructions. All ranks must compute alike, so one without
// decides for all. An evaluation has no gradient to save time on: it reads the masters, in fp32.
ComputeChoice ChooseComputeType(const TrainJob& job, int ranks_with_bf16);

}  // namespace pixelrec::train
