// A small decoder with random weights, and gradients of functions of tensors, for the tests of worker/model.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <vector>

#include "worker/model/decoder.h"

namespace pixelrec::model {

inline at::Tensor RandomWeight(at::IntArrayRef shape, double scale, at::ScalarType dtype) {
  return (at::randn(shape, at::kDouble) * scale).to(dtype).requires_grad_(true);
}

inline DecoderDescription SmallDescription(int64_t query_heads, int64_t kv_heads, int64_t head_dim) {
  return {.hidden_size = 24,
          .intermediate_size = 40,
          .num_hidden_layers = 3,
          .num_attention_heads = query_heads,
          .num_key_value_heads = kv_heads,
          .head_dim = head_dim,
          .vocab_size = 50,
          .norm_eps = 1e-5,
          .ropes = {Rope{}}};
}

inline DecoderWeights RandomWeights(const DecoderDescription& d, at::ScalarType dtype) {
  DecoderWeights w;
  const int64_t qkv = (d.num_attention_heads + 2 * d.num_key_value_heads) * d.head_dim;
  w.embed_tokens = RandomWeight({d.vocab_size, d.hidden_size}, 1, dtype);
  for (int64_t i = 0; i < d.num_hidden_layers; ++i) {
    w.layers.push_back({.attention_norm = RandomWeight({d.hidden_size}, 1, dtype),
                        .qkv_proj = RandomWeight({qkv, d.hidden_size}, 0.2, dtype),
                        .o_proj = RandomWeight({d.hidden_size, d.num_attention_heads * d.head_dim}, 0.2, dtype),
                        .mlp_norm = RandomWeight({d.hidden_size}, 1, dtype),
                        .up_proj = RandomWeight({2 * d.intermediate_size, d.hidden_size}, 0.2, dtype),
                        .down_proj = RandomWeight({d.hidden_size, d.intermediate_size}, 0.2, dtype)});
  }
  w.norm = RandomWeight({d.hidden_size}, 1, dtype);
  return w;
}

inline std::vector<at::Tensor> Parameters(const DecoderWeights& w) {
  std::vector<at::Tensor> all;
  for (const LayerWeights& layer : w.layers) {
    for (const auto& [name, member] : kLayerTensors) {
      if ((layer.*member).defined()) all.push_back(layer.*member);
    }
  }
  all.push_back(w.norm);
  return all;
}

inline Segments MakeSegments(const std::vector<int64_t>& lengths) {
  Segments segments;
  for (const int64_t n : lengths) segments.Append(n);
  return segments;
}

// Output and gradients of sum(f(inputs) * cotangent), the cotangent drawn from a fixed seed.
struct OutputAndGradients {
  at::Tensor output;
  std::vector<at::Tensor> gradients;
};
inline OutputAndGradients Differentiate(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& f,
                                        const std::vector<at::Tensor>& inputs) {
  const at::Tensor output = f(inputs);
  at::manual_seed(99);
  const at::Tensor cotangent = at::randn(output.sizes(), at::kDouble).to(output.options());
  return {output.detach(), torch::autograd::grad({output}, inputs, {cotangent})};
}

// Largest difference relative to the largest entry of `expected`.
inline double RelativeError(const at::Tensor& got, const at::Tensor& expected) {
  if (expected.numel() == 0) return got.numel() == 0 ? 0 : 1;
  const at::Tensor e = expected.to(at::kDouble);
  return ((got.to(at::kDouble) - e).abs().max() / e.abs().max().clamp_min(1e-30)).item<double>();
}

}  // namespace pixelrec::model
