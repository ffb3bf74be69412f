// One layer of a decoder or encoder as a function of its input and weights, and the same with activation checkpointing.
//
// Private to this folder. Threads: any.
#pragma once

#include <ATen/core/ivalue.h>

#include "worker/model/decoder.h"

namespace pixelrec::model {

// Everything a layer reads but its input and weights.
struct LayerContext : torch::CustomClassHolder {
  Norm norm = Norm::kRms;
  double norm_eps = 0;
  Activation activation = Activation::kSilu;
  bool gated_mlp = true;
  bool composed = false;  // as ForwardOptions
  AttentionSpec attention{};
  Segments segments;
  RotaryTable rotary;
  at::Tensor last_rows;  // [segments] row of each segment's last token; defined if only those rows go on
};

// x_TH normed with `weight` (and `bias`, of Norm::kLayer).
at::Tensor ApplyNorm(Norm norm, const at::Tensor& x_TH, const at::Tensor& weight, const at::Tensor& bias, double eps,
                     bool composed);

at::Tensor Layer(const LayerContext& context, const LayerWeights& weights, const at::Tensor& x_TH);

// The forward pass keeps the layer's input alone; the backward pass computes the layer again, with a graph.
at::Tensor CheckpointedLayer(const c10::intrusive_ptr<LayerContext>& context, const LayerWeights& weights,
                             const at::Tensor& x_TH);

}  // namespace pixelrec::model
