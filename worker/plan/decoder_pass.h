// A language model over a micro-step's parts, as worker/model/decoder.cc goes through it: all parts through one layer before any
// goes on to the next.
//
// Threads: immutable once made. Units: bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "worker/plan/batch_shape.h"
#include "worker/plan/layer_pass.h"

namespace pixelrec::plan {

class DecoderPass {
 public:
  // Told which layer's backward pass begins and has ended, to add what moves then.
  struct Borders {
    std::function<void(size_t layer)> before = [](size_t) {};
    std::function<void(size_t layer)> after = [](size_t) {};
  };

  // `last_rows`: the last layer computes the last row of every sequence alone.
  DecoderPass(const checkpoint::DecoderConfig& config, const Numbers& numbers, const std::vector<BatchShape::Part>& parts,
              bool last_rows, bool checkpointing);

  int64_t input() const { return input_; }    // [T, H]
  int64_t output() const { return output_; }  // [N, H]
  int64_t sequences() const { return sequences_; }

  // The input is held before; adds the output and what the backward pass needs, the input included.
  void Forward(const Borders& borders, Timeline& timeline) const;
  // Without a graph: the input is gone after it.
  void ForwardAlone(Timeline& timeline) const;
  // From the output's gradient (the output itself is gone) to the input's gradient alone.
  void Backward(const Borders& borders, Timeline& timeline) const;

 private:
  const std::vector<LayerPass>& Parts(size_t layer) const { return layer + 1 == layers_ ? last_ : inner_; }

  std::vector<LayerPass> inner_;  // [parts] of every layer but the last
  std::vector<LayerPass> last_;   // [parts]
  size_t layers_;
  bool checkpointing_;
  int64_t input_ = 0;
  int64_t output_ = 0;
  int64_t sequences_ = 0;
  int64_t last_norm_ = 0;  // kept by the norm behind the last layer
};

}  // namespace pixelrec::plan
