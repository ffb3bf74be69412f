#include "worker/dist/flat_parameters.h"

#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <functional>
#include <numeric>

namespace pixelrec::dist {
namespace {

int64_t Count(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}
int64_t RoundUp(int64_t n) {
  constexpr int64_t kStep = FlatParameters::kAlignment;
  return (n + kStep - 1) / kStep * kStep;
}

}  // namespace

FlatParameters::FlatParameters(const std::vector<Unit>& units, const at::TensorOptions& options, at::ScalarType compute_type) {
  struct LeafRange {
    std::string name;
    int64_t offset;
    std::vector<int64_t> shape;
  };
  std::vector<LeafRange> leaves;
  int64_t offset = 0;
  for (const Unit& unit : units) {
    for (const Leaf& leaf : unit.leaves) {
      const int64_t start = offset;
      std::vector<int64_t> shape = leaf.parts.front().shape;
      if (leaf.parts.size() > 1) shape[0] = 0;
      for (const NamedTensor& part : leaf.parts) {
        ranges_[part.name] = {.offset = offset, .numel = Count(part.shape), .shape = part.shape};
        if (leaf.parts.size() > 1) shape[0] += part.shape[0];
        offset += Count(part.shape);
      }
      parameter_count_ += offset - start;
      leaves.push_back({leaf.name, start, shape});
      offset = RoundUp(offset);
    }
  }
  weights_ = at::zeros({offset}, options);
  gradients_ = at::zeros({offset}, options);
  const bool one_type = weights_.scalar_type() == compute_type;
  compute_weights_ = one_type ? weights_ : at::zeros({offset}, options.dtype(compute_type));
  compute_gradients_ = one_type ? gradients_ : at::zeros({offset}, options.dtype(compute_type));
  for (const LeafRange& leaf : leaves) {
    const int64_t count = Count(leaf.shape);
    at::Tensor view = compute_weights_.narrow(0, leaf.offset, count).view(leaf.shape).detach().requires_grad_(true);
    // AccumulateGrad adds in place to a gradient that is already there, so gradients land in the flat buffer.
    view.mutable_grad() = compute_gradients_.narrow(0, leaf.offset, count).view(leaf.shape);
    leaves_[leaf.name] = view;
  }
}

at::Tensor FlatParameters::leaf(const std::string& name) const { return leaves_.at(name); }

at::Tensor FlatParameters::view(const at::Tensor& flat, const std::string& name) const {
  const Range& range = ranges_.at(name);
  return flat.narrow(0, range.offset, range.numel).view(range.shape);
}

at::Tensor FlatParameters::weight(const std::string& name) const { return view(weights_, name); }
at::Tensor FlatParameters::gradient(const std::string& name) const { return view(gradients_, name); }

void FlatParameters::ZeroGradients() {
  gradients_.zero_();
  compute_gradients_.zero_();
}

void FlatParameters::RoundWeights() {
  if (!compute_weights_.is_same(weights_)) compute_weights_.copy_(weights_);
}

void FlatParameters::RoundMasters() {
  RoundWeights();
  if (!compute_weights_.is_same(weights_)) weights_.copy_(compute_weights_);
}

void FlatParameters::CollectGradients() {
  if (!compute_gradients_.is_same(gradients_)) gradients_.copy_(compute_gradients_);
}

void FlatParameters::Freeze(const std::string& prefix) {
  for (auto& [name, leaf] : leaves_) {
    if (name.starts_with(prefix)) leaf.set_requires_grad(false);
  }
}

}  // namespace pixelrec::dist
