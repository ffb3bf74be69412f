#include "worker/dist/flat_parameters.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/StorageImpl.h>

#include <algorithm>

namespace pixelrec::dist {
namespace {

// [numel] whose storage has a size and no memory.
at::Tensor WithoutMemory(int64_t numel, const at::TensorOptions& options) {
  at::Tensor tensor = at::empty({0}, options);
  const auto bytes = static_cast<size_t>(numel) * tensor.element_size();
  c10::Storage storage(c10::make_intrusive<c10::StorageImpl>(
      c10::StorageImpl::use_byte_size_t(), bytes, c10::DataPtr(nullptr, tensor.device()), nullptr, /*resizable=*/false));
  return tensor.set_(storage, 0, {numel}, {1});
}

// Pinned, where every step copies between them and a GPU.
at::TensorOptions MastersOptions(const at::TensorOptions& options, const FlatParameters::Sharding& sharding) {
  if (!sharding.masters_on_host) return options;
  return options.device(at::kCPU).pinned_memory(options.device().is_cuda());
}

}  // namespace

FlatParameters::FlatParameters(const std::vector<Unit>& units, const at::TensorOptions& options, Rounding rounding,
                               const Sharding& sharding)
    : layout_(units, sharding.rank, sharding.world_size),
      rounding_(rounding),
      device_options_(options),
      masters_on_host_(sharding.masters_on_host),
      weights_(at::zeros({layout_.owned()}, MastersOptions(options, sharding))),
      gradients_(at::zeros_like(weights_)) {
  for (const UnitPlace& place : layout_.units()) MakeUnit(place);
}

void FlatParameters::MakeUnit(const UnitPlace& place) {
  TORCH_CHECK(!place.keeps_masters || place.stage == 0, place.name, ": a unit that keeps its masters isn't sharded");
  const bool keeps_masters = place.keeps_masters && rounding_ != Rounding::kAll;
  const at::TensorOptions leaves = device_options_.dtype(keeps_masters ? weights_.scalar_type() : weight_type());
  const at::TensorOptions sums = device_options_.dtype(gradient_type());
  const bool same_weights = leaves.dtype() == weights_.dtype() && !masters_on_host_;
  UnitBuffers unit;
  const at::Tensor masters = weights_.narrow(0, place.offset, place.owned);
  if (place.stage == 0) {
    unit.weights = same_weights ? masters : at::zeros({place.numel}, leaves);
    unit.gradients = sums_in_place() ? gradients_.narrow(0, place.offset, place.owned) : at::zeros({place.numel}, sums);
    unit.share = unit.weights;
  } else if (place.stage < 3) {
    unit.weights = at::zeros({place.numel}, leaves);
    unit.share = unit.weights.narrow(0, place.begin, place.owned);
    if (place.stage == 1) unit.gradients = at::zeros({place.numel}, sums);
  } else {
    unit.weights = WithoutMemory(place.numel, leaves);
    unit.share = same_weights ? masters : at::zeros({place.owned}, leaves);
  }
  for (const PlacedTensor& leaf : place.leaves) {
    // variable_data: filling the unit's buffer again is no change that autograd should notice.
    at::Tensor view = unit.weights.narrow(0, leaf.offset, leaf.numel()).view(leaf.shape).variable_data().requires_grad_(true);
    // AccumulateGrad adds in place to a gradient that is already there, so gradients land in the unit's buffer, in its type.
    if (leaves.dtype() != sums.dtype()) view.set_grad_dtype(std::nullopt);
    if (unit.gradients.defined()) view.mutable_grad() = unit.gradients.narrow(0, leaf.offset, leaf.numel()).view(leaf.shape);
    leaves_[leaf.name] = view;
  }
  units_.push_back(std::move(unit));
}

at::Tensor FlatParameters::leaf(const std::string& name) const { return leaves_.at(name); }

void FlatParameters::LendGradients(size_t unit, const at::Tensor& gradients) {
  for (const PlacedTensor& leaf : layout_.units()[unit].leaves) {
    at::Tensor& tensor = leaves_.at(leaf.name);
    if (!tensor.requires_grad()) continue;
    tensor.mutable_grad() = gradients.defined() ? gradients.narrow(0, leaf.offset, leaf.numel()).view(leaf.shape) : at::Tensor();
  }
}

bool FlatParameters::trained(size_t unit) const {
  const auto& leaves = layout_.units()[unit].leaves;
  return std::any_of(leaves.begin(), leaves.end(), [&](const PlacedTensor& l) { return leaves_.at(l.name).requires_grad(); });
}

at::Tensor FlatParameters::view(const at::Tensor& flat, const std::string& name) const {
  const Range& range = ranges().at(name);
  const at::Tensor part = flat.narrow(0, range.offset, range.numel);
  return range.whole() ? part.view(range.shape) : part;
}

at::Tensor FlatParameters::weight(const std::string& name) const { return view(weights_, name); }
at::Tensor FlatParameters::gradient(const std::string& name) const { return view(gradients_, name); }

void FlatParameters::SetWeight(const std::string& name, const at::Tensor& whole) {
  const Range& range = ranges().at(name);
  TORCH_CHECK(whole.sizes() == at::IntArrayRef(range.shape), name, " has shape ", whole.sizes());
  weights_.narrow(0, range.offset, range.numel).copy_(whole.reshape({-1}).narrow(0, range.begin, range.numel));
}

void FlatParameters::ZeroGradients() {
  gradients_.zero_();
  for (UnitBuffers& unit : units_) {
    if (unit.gradients.defined()) unit.gradients.zero_();
  }
}

void FlatParameters::RoundWeights() {
  for (size_t i = 0; i < units_.size(); ++i) {
    const UnitPlace& place = layout_.units()[i];
    const at::Tensor masters = weights_.narrow(0, place.offset, place.owned);
    if (units_[i].share.data_ptr() != masters.data_ptr()) units_[i].share.copy_(masters);
  }
}

void FlatParameters::RoundMasters() { weights_.copy_(weights_.to(weight_type())); }

void FlatParameters::CollectGradients() {
  for (size_t i = 0; i < units_.size(); ++i) {
    const UnitPlace& place = layout_.units()[i];
    if (place.stage != 0 || sums_in_place()) continue;
    gradients_.narrow(0, place.offset, place.owned).copy_(units_[i].gradients);
  }
}

void FlatParameters::Freeze(const std::string& prefix) {
  for (auto& [name, leaf] : leaves_) {
    if (name.starts_with(prefix)) leaf.set_requires_grad(false);
  }
}

}  // namespace pixelrec::dist
