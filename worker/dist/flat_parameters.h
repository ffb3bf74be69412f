// The trained tensors' memory, in units (one per decoder layer). Of every unit a rank owns a share (unit_layout.h): fp32 masters
// and gradients, one flat buffer each over all units, which the optimiser, clipping and checkpoints work on. The model sees
// ordinary leaf tensors that are views of whole units; who fills these, and when, is UnitExchange's business where units are
// sharded. Masters and gradients may lie in host memory while the units are on a GPU.
//
// Threads: one thread at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "worker/dist/unit_layout.h"

namespace pixelrec::dist {

// How what the model computes with differs from the masters.
enum class Rounding {
  kNone,     // not at all
  kWeights,  // leaves are bf16 copies, but for units that keep their masters; gradients add up in the masters' type (rule W4)
  kAll,      // leaves and gradients of every unit are bf16 (rules P1, P2)
};

class FlatParameters {
 public:
  static constexpr int64_t kAlignment = UnitLayout::kAlignment;

  struct Sharding {
    int rank = 0;
    int world_size = 1;
    // Masters and gradients in host memory, apart from what the model computes with even where that is there too.
    bool masters_on_host = false;
  };

  // A whole unit as the model computes with it.
  struct UnitBuffers {
    at::Tensor weights;  // [numel] in the leaves' type; stage 3: its storage has memory only while the unit is gathered
    at::Tensor
        gradients;     // [numel] in the gradients' type; undefined at stages 2 and 3, which lend a buffer for each backward pass
    at::Tensor share;  // [owned] in the leaves' type: what this rank gives when the unit is gathered
  };

  // Weights and gradients start at zero, on the device of `options`.
  FlatParameters(const std::vector<Unit>& units, const at::TensorOptions& options, Rounding rounding = Rounding::kNone)
      : FlatParameters(units, options, rounding, Sharding{}) {}
  FlatParameters(const std::vector<Unit>& units, const at::TensorOptions& options, Rounding rounding, const Sharding& sharding);

  // Leaf of the model: requires a gradient, which accumulates in the unit's gradient buffer.
  at::Tensor leaf(const std::string& name) const;
  bool has_leaf(const std::string& name) const { return leaves_.contains(name); }
  // Makes `gradients` [numel] the unit's gradient buffer; undefined: takes it away.
  void LendGradients(size_t unit, const at::Tensor& gradients);
  // Whether any leaf of the unit is trained.
  bool trained(size_t unit) const;

  // Each unit's share of leaves follows the masters: after a load and after each update. Nothing to do where they are
  // the same.
  void RoundWeights();
  // The other way at the start of training: masters that are the rounded weights (rule P2).
  void RoundMasters();
  // gradients() of unsharded units from what the backward pass left. Nothing to do where they are the same.
  void CollectGradients();

  // What this rank owns of one named tensor: in the tensor's shape where that is all of it, else flat, perhaps empty.
  at::Tensor weight(const std::string& name) const;
  at::Tensor gradient(const std::string& name) const;
  // The same range of another flat tensor (a moment of the optimiser).
  at::Tensor view(const at::Tensor& flat, const std::string& name) const;
  // Copies this rank's part of a whole tensor, given in its shape.
  void SetWeight(const std::string& name, const at::Tensor& whole);

  // Whether the backward pass of units that aren't sharded adds to gradients() itself, not to buffers that are copied.
  bool sums_in_place() const { return gradient_type() == gradients_.scalar_type() && !masters_on_host_; }
  // fp32, where the model computes.
  const at::TensorOptions& device_options() const { return device_options_; }

  const UnitLayout& layout() const { return layout_; }
  const std::map<std::string, Range>& ranges() const { return layout_.ranges(); }
  UnitBuffers& unit(size_t index) { return units_[index]; }
  const at::Tensor& weights() const { return weights_; }                               // [owned] masters
  const at::Tensor& gradients() const { return gradients_; }                           // [owned]
  at::ScalarType weight_type() const { return TypeOf(rounding_ != Rounding::kNone); }  // of the leaves, where rounded
  at::ScalarType gradient_type() const { return TypeOf(rounding_ == Rounding::kAll); }
  int64_t parameter_count() const { return layout_.parameter_count(); }
  void ZeroGradients();
  // Leaves whose names begin with `prefix` no longer ask for a gradient; theirs stays zero.
  void Freeze(const std::string& prefix);

 private:
  void MakeUnit(const UnitPlace& place);
  at::ScalarType TypeOf(bool rounded) const { return rounded ? at::kBFloat16 : weights_.scalar_type(); }

  UnitLayout layout_;
  Rounding rounding_;
  at::TensorOptions device_options_;
  bool masters_on_host_;
  std::map<std::string, at::Tensor> leaves_;
  std::vector<UnitBuffers> units_;
  at::Tensor weights_;
  at::Tensor gradients_;
};

}  // namespace pixelrec::dist
