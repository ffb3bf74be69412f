// All trained tensors in one flat buffer of weights and one of gradients, in units (one per decoder layer), as named element
// ranges. Optimiser, clipping, collectives and checkpoints work on ranges; the model sees ordinary leaf tensors that are views of
// them.
//
// Threads: one thread at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pixelrec::dist {

// One tensor as it is named in files.
struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
};

// One leaf of the model: tensors that are stacked along their first dimension (q, k and v of a fused projection) or a single one.
struct Leaf {
  std::string name;
  std::vector<NamedTensor> parts;
};

struct Unit {
  std::string name;
  std::vector<Leaf> leaves;
};

// Elements [offset, offset + numel) of the flat buffers.
struct Range {
  int64_t offset = 0;
  int64_t numel = 0;
  std::vector<int64_t> shape;
};

class FlatParameters {
 public:
  static constexpr int64_t kAlignment = 64;  // elements: 256 bytes of fp32

  // Weights and gradients start at zero. Leaves start at 64-element borders; the gaps stay zero. With a `compute_type` other than
  // that of `options` the model's leaves are rounded copies, and weights() their masters (rule P2).
  FlatParameters(const std::vector<Unit>& units, const at::TensorOptions& options, at::ScalarType compute_type = at::kFloat);

  // Leaf of the model: requires a gradient, which accumulates in compute_gradients().
  at::Tensor leaf(const std::string& name) const;
  bool has_leaf(const std::string& name) const { return leaves_.contains(name); }
  // The leaves follow the masters: after a load and after each update. Nothing to do where they are the same.
  void RoundWeights();
  // The other way at the start of training: masters that are the rounded weights (rule P2).
  void RoundMasters();
  // gradients() from what the backward pass left in compute_gradients(). Nothing to do where they are the same.
  void CollectGradients();
  // Views of one named tensor.
  at::Tensor weight(const std::string& name) const;
  at::Tensor gradient(const std::string& name) const;
  // The same range of another flat tensor (a moment of the optimiser).
  at::Tensor view(const at::Tensor& flat, const std::string& name) const;

  const std::map<std::string, Range>& ranges() const { return ranges_; }
  const at::Tensor& weights() const { return weights_; }                      // [n]
  const at::Tensor& gradients() const { return gradients_; }                  // [n]
  const at::Tensor& compute_gradients() const { return compute_gradients_; }  // [n], in the compute type: what ranks add up
  // Elements of named tensors, without the gaps.
  int64_t parameter_count() const { return parameter_count_; }
  void ZeroGradients();
  // Leaves whose names begin with `prefix` no longer ask for a gradient; theirs stays zero.
  void Freeze(const std::string& prefix);

 private:
  std::map<std::string, Range> ranges_;
  std::map<std::string, at::Tensor> leaves_;
  at::Tensor weights_;
  at::Tensor gradients_;
  // The same tensors where the compute type is that of the masters.
  at::Tensor compute_weights_;
  at::Tensor compute_gradients_;
  int64_t parameter_count_ = 0;
};

}  // namespace pixelrec::dist
