// Shapes and masks on which two ways of computing attention are compared, forward and backward.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "tests/worker/model/random_decoder.h"
#include "worker/model/ops.h"

namespace pixelrec::model {

struct AttentionCase {
  AttentionSpec spec;
  std::vector<int64_t> lengths;
};

inline std::vector<AttentionCase> CasesOfAttention() {
  return {{{8, 4, 8, 0.35}, {1, 41, 16, 17, 2, 33, 100}},
          {{2, 2, 64, 0.125}, {15, 31, 32}},
          {{3, 1, 6, 0.4}, {5, 1, 1, 20}},
          {{1, 1, 2, 0.7}, {64}},
          {{.query_heads = 4, .kv_heads = 2, .head_dim = 8, .scale = 0.35, .window = 5}, {4, 5, 6, 70}},
          {{.query_heads = 2, .kv_heads = 2, .head_dim = 8, .scale = 0.35, .window = 40}, {100, 39, 41}},
          {{.query_heads = 2, .kv_heads = 1, .head_dim = 8, .scale = 0.35, .softcap = 2, .window = 7}, {1, 20, 50}},
          {{.query_heads = 3, .kv_heads = 3, .head_dim = 8, .scale = 0.35, .causal = false}, {1, 2, 16, 17, 50}}};
}

using TensorFunction = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

// Output and gradients of `got` at `inputs` against those of `want` at the same values on the CPU in fp32.
inline void ExpectSameOnCpu(const TensorFunction& got, const TensorFunction& want, const std::vector<at::Tensor>& inputs,
                            double tolerance) {
  std::vector<at::Tensor> on_cpu;
  for (const at::Tensor& t : inputs) on_cpu.push_back(t.detach().cpu().to(at::kFloat).requires_grad_(true));
  const OutputAndGradients here = Differentiate(got, inputs), there = Differentiate(want, on_cpu);
  EXPECT_LT(RelativeError(here.output.cpu(), there.output), tolerance);
  for (size_t i = 0; i < inputs.size(); ++i)
    EXPECT_LT(RelativeError(here.gradients[i].cpu(), there.gradients[i]), tolerance) << "input " << i;
}

}  // namespace pixelrec::model
