// One layer over the tokens of one part, as worker/model/layer.cc computes it: what it keeps for the backward pass, and what it
// needs besides while it goes forward or back.
//
// Threads: immutable once made. Units: bytes. Shape letters: T tokens, N rows that have an output, H hidden, I intermediate, U
// width of the up projection, Q and K query and kv heads, D head_dim, E = (Q + 2K) D.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/checkpoint/decoder_config.h"
#include "worker/plan/timeline.h"

namespace pixelrec::plan {

// What the model computes with.
struct Numbers {
  int64_t bytes = 4;    // of an element: 4 (fp32) or 2 (bf16)
  bool fused = true;    // the fused kernels of worker/model; false: composed of operators, which keep more
  bool trained = true;  // whether the side's weights get gradients
};

// What becomes of the gradients of a layer's weights.
enum class WeightGradients {
  kAdded,      // to the unit's buffer, one tensor after another
  kFirstPart,  // kept until the other parts' are there too
  kOtherPart,  // added to those of the first part
  kReturned,   // all together at the end, by a layer that was computed again
};

class LayerPass {
 public:
  // `last_rows`: N, where only the last row of each sequence has an output; else N = T.
  LayerPass(const checkpoint::DecoderConfig& config, const Numbers& numbers, int64_t tokens, const int64_t* last_rows = nullptr);

  int64_t input() const { return input_; }    // [T, H]
  int64_t output() const { return output_; }  // [N, H]
  int64_t weight_gradients() const;           // of all weights

  // The input is held before and after; adds the output, and with a graph what the backward pass needs.
  void ForwardWithGraph(Timeline& timeline) const;
  void Forward(Timeline& timeline) const;
  // From holding the input, what ForwardWithGraph kept and the output's gradient, to the input's gradient alone.
  void Backward(WeightGradients fate, Timeline& timeline) const;
  // The same of a layer that kept its input alone.
  void RecomputeAndBackward(WeightGradients fate, Timeline& timeline) const;

 private:
  struct Operation {
    int64_t saved = 0;           // for its backward pass
    int64_t gradient = 0;        // of its output; 0: the residual's, which stays
    int64_t input_gradient = 0;  // what its backward pass makes
    int64_t weights = 0;         // gradients of its weights
    int64_t scratch = 0;         // in its backward pass alone
    bool joins = false;          // its input is the residual: the gradient is added to that one's, or takes its place
  };
  enum class NormPlace { kBeforeBranch, kBehindBranch, kBehindSum };
  void AddNorm(int64_t rows, NormPlace place);
  void AddAttention(const checkpoint::DecoderConfig& config, int64_t tokens, int64_t queries, bool last);
  void AddMlp(const checkpoint::DecoderConfig& config, int64_t queries);
  int64_t Rows(int64_t rows, int64_t width) const { return rows * width * numbers_.bytes; }
  int64_t Weights(int64_t elements) const { return numbers_.trained ? elements * numbers_.bytes : 0; }
  int64_t saved() const;
  // `residual_is_ours`: gradients may be added to the output's gradient in place.
  void Return(WeightGradients fate, bool residual_is_ours, Timeline& timeline) const;

  Numbers numbers_;
  int64_t hidden_;
  int64_t input_;
  int64_t output_;
  int64_t forward_scratch_ = 0;        // beside input and output, without a graph
  std::vector<Operation> operations_;  // in the order of the forward pass
};

}  // namespace pixelrec::plan
