// Rule M6 in compat: how far the reference's AdamW would have decayed the tensors that nothing reads, step by step. The tensors
// themselves stay in the model directories until somebody writes a model (checkpoint/unread_tensors.h).
//
// Threads: one thread at a time.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "worker/checkpoint/decoder_config.h"
#include "worker/checkpoint/unread_tensors.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

class UnreadDecay {
 public:
  UnreadDecay() = default;
  // Nothing decays unless job.compat.decay_unread. A frozen side has no part in the optimiser; a factor of lr_mult_prefix counts.
  UnreadDecay(const TrainJob& job, const checkpoint::DecoderConfig& item_llm);

  // One update that was applied.
  void Step(double learning_rate);

  // By canonical name; empty where nothing decays.
  const checkpoint::UnreadDecay& factors() const { return factors_; }
  // From a checkpoint; names that decay here and aren't in `saved` start anew.
  void Restore(const checkpoint::UnreadDecay& saved);

 private:
  std::map<std::string, double> lr_factors_;
  checkpoint::UnreadDecay factors_;
  double weight_decay_ = 0;
};

}  // namespace pixelrec::train
