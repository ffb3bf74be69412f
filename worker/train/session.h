// Everything one rank of one generation trains with: data, model, optimiser, peers, and how far it got. Built once, from a job.
//
// Threads: one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/checkpoint/decoder_config.h"
#include "worker/checkpoint/manifest.h"
#include "worker/data/batch.h"
#include "worker/data/dataset.h"
#include "worker/dist/flat_parameters.h"
#include "worker/dist/process_group.h"
#include "worker/dist/unit_exchange.h"
#include "worker/dist/whereabouts.h"
#include "worker/model/hllm.h"
#include "worker/train/optimizer.h"
#include "worker/train/side_schedule.h"
#include "worker/train/train_job.h"
#include "worker/train/unread_decay.h"

namespace pixelrec::train {

// What a checkpoint carries besides tensors.
struct Position {
  int64_t step = 0;           // optimiser steps done
  int64_t epoch = 0;          // whole epochs done
  int64_t step_in_epoch = 0;  // steps done of the epoch in hand
  double epoch_loss_sum = 0;  // over valid rows of the epoch in hand
  int64_t epoch_loss_rows = 0;
  data::SampleDigest digest;  // of every step so far, all ranks
  std::optional<double> best_validation_loss;
  int64_t tokens = 0;               // item tokens encoded so far, all ranks
  int64_t samples = 0;              // so far, all ranks
  std::vector<EpochRecord> epochs;  // finished ones
  UnreadDecay unread;
  std::string compute_type;  // of the steps before those of this run; empty: unknown, or there are none
};

struct Session {
  TrainJob job;
  std::unique_ptr<data::Dataset> dataset;
  checkpoint::DecoderConfig item_config;
  checkpoint::DecoderConfig user_config;
  std::unique_ptr<dist::Whereabouts> whereabouts;  // before the groups, which report to it
  at::Device device = at::kCPU;                    // where the model, and everything that is as large, lies
  // Embeddings, statistics and everything else small; units of weights and gradients have a group of their own.
  dist::ProcessGroup group = dist::ProcessGroup::Alone();
  dist::ProcessGroup unit_group = dist::ProcessGroup::Alone();
  std::unique_ptr<dist::FlatParameters> parameters;
  std::unique_ptr<dist::UnitExchange> exchange;
  std::unique_ptr<SideSchedule> item_schedule;
  std::unique_ptr<SideSchedule> user_schedule;
  std::unique_ptr<model::Hllm> hllm;
  std::unique_ptr<AdamW> optimizer;
  data::BatchOptions batches;
  int64_t steps_per_epoch = 0;
  int64_t total_steps = 0;
  Position position;
  // Rank 0 found the checkpoint to go on from in output_dir: the results there are of another job, or of one that reported none.
  bool adopts_output = false;
  // The fixed facts of this run, for manifests and for refusing a checkpoint of another run.
  checkpoint::Manifest facts;

  bool is_rank_zero() const { return job.rank == 0; }
};

// Opens the data and the models, meets the other ranks, restores job.resume_from. Errors carry a FailureKind.
absl::StatusOr<std::unique_ptr<Session>> OpenSession(const TrainJob& job, WorkerLink& link);

}  // namespace pixelrec::train
