// AdamW over the flat parameters (rule O1), clipping by the global norm (rule W5).
//
// Threads: one thread at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "worker/dist/flat_parameters.h"
#include "worker/dist/unit_exchange.h"
#include "worker/train/parameter_groups.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

// Scales the gradients in place so that their norm over all trained tensors is at most `max_norm`; returns the norm before.
// Not finite: the gradients are left alone and the caller must skip the step.
// Collective: the shares of all ranks make up the norm, so every rank scales alike.
double ClipGradients(const dist::UnitExchange& exchange, dist::FlatParameters& parameters, double max_norm);

// What the model computes with after any change of the masters: logit_scale clamped to [0, ln 100], in place (rule W14), or in
// the rounded copy alone, so that the master may drift above (rules N1, P1 of `compat`). Collective.
void FollowMasters(dist::UnitExchange& exchange, dist::FlatParameters& parameters, const CompatTraining& compat);

class AdamW {
 public:
  struct Options {
    double weight_decay = 0.01;  // on everything, norms and scalars included (rule O1)
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
  };

  // Updates the ranges of `groups` alone.
  AdamW(dist::FlatParameters& parameters, const std::vector<ParameterGroup>& groups, const Options& options);

  // One update with the gradients as they are; a group's learning rate is `learning_rate` times its factor.
  void Step(double learning_rate);

  const at::Tensor& exp_avg() const { return exp_avg_; }        // [n], as the flat weights
  const at::Tensor& exp_avg_sq() const { return exp_avg_sq_; }  // [n]
  int64_t steps() const;
  void set_steps(int64_t steps);

 private:
  // Views of one group's ranges in each buffer.
  struct Group {
    double lr_factor;
    std::vector<at::Tensor> weights, gradients, exp_avg, exp_avg_sq, steps;
  };
  std::vector<Group> groups_;
  Options options_;
  at::Tensor exp_avg_;
  at::Tensor exp_avg_sq_;
  at::Tensor step_;
};

}  // namespace pixelrec::train
