#include "worker/dist/unit_exchange.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <c10/core/Storage.h>

#include <algorithm>
#include <exception>

namespace pixelrec::dist {
namespace {

constexpr size_t kWeightSlots = 3;    // the unit in use, the next one, and one that the other module's pass left prefetched
constexpr size_t kGradientSlots = 2;  // the unit in use, and the one whose reduction is under way

}  // namespace

UnitExchange::UnitExchange(FlatParameters& parameters, const ProcessGroup& group)
    : parameters_(parameters), group_(group), units_(parameters.layout().units().size()) {
  int64_t largest_weights = 0, largest_gradients = 0;
  for (const UnitPlace& place : parameters.layout().units()) {
    if (place.stage == 3) largest_weights = std::max(largest_weights, place.numel);
    if (place.stage >= 2) largest_gradients = std::max(largest_gradients, place.numel);
  }
  const auto make = [&](std::vector<Slot>& slots, size_t count, int64_t numel, at::ScalarType type) {
    if (numel > 0) slots.resize(count);
    for (Slot& slot : slots) slot.memory = at::empty({numel}, parameters.device_options().dtype(type));
  };
  make(weight_slots_, kWeightSlots, largest_weights, parameters.weight_type());
  make(gradient_slots_, kGradientSlots, largest_gradients, parameters.gradient_type());
}

UnitExchange::~UnitExchange() {
  const auto settle = [](Pending& pending) {
    try {
      pending.Wait();
    } catch (const std::exception&) {
    }
  };
  for (Slot& slot : weight_slots_) settle(slot.pending);
  for (Slot& slot : gradient_slots_) settle(slot.pending);
  for (UnitState& unit : units_) settle(unit.published);
}

void UnitExchange::StartGather(size_t unit, Slot& slot) {
  slot.unit = unit;
  units_[unit].weights = &slot;
  slot.pending = group_.StartAllGather(slot.memory.narrow(0, 0, place(unit).numel), parameters_.unit(unit).share);
}

void UnitExchange::Acquire(size_t unit) {
  units_[unit].published.Wait();
  if (place(unit).stage != 3) return;
  if (units_[unit].weights == nullptr) {
    const auto free = std::find_if(weight_slots_.begin(), weight_slots_.end(), [](const Slot& s) { return !s.unit; });
    TORCH_CHECK(free != weight_slots_.end(), "no memory to gather unit ", place(unit).name, ": more than ", kWeightSlots,
                " in use");
    StartGather(unit, *free);
  }
  Slot& slot = *units_[unit].weights;
  slot.pending.Wait();
  // Leaves, and what autograd saved of them, share this storage: they see the memory until Release.
  parameters_.unit(unit).weights.storage().set_data_ptr_noswap(c10::DataPtr(slot.memory.data_ptr(), slot.memory.device()));
}

void UnitExchange::Prefetch(size_t unit) {
  if (unit >= units_.size() || place(unit).stage != 3 || units_[unit].weights != nullptr) return;
  const auto free = std::find_if(weight_slots_.begin(), weight_slots_.end(), [](const Slot& s) { return !s.unit; });
  if (free != weight_slots_.end()) StartGather(unit, *free);
}

void UnitExchange::Release(size_t unit) {
  Slot* slot = std::exchange(units_[unit].weights, nullptr);
  if (slot == nullptr) return;
  slot->pending.Wait();
  slot->unit.reset();
  parameters_.unit(unit).weights.storage().set_data_ptr_noswap(c10::DataPtr(nullptr, slot->memory.device()));
}

void UnitExchange::BeforeForward(size_t unit) {
  Acquire(unit);
  Prefetch(unit + 1);
}

void UnitExchange::AfterForward(size_t unit) { Release(unit); }

void UnitExchange::BeforeBackward(size_t unit) {
  const at::NoGradGuard no_graph;
  Acquire(unit);
  if (unit > 0) Prefetch(unit - 1);
  units_[unit].open = true;
  if (place(unit).stage < 2 || !parameters_.trained(unit)) return;
  Slot& slot = FreeGradientSlot();
  slot.unit = unit;
  units_[unit].gradients = &slot;
  const at::Tensor gradients = slot.memory.narrow(0, 0, place(unit).numel);
  gradients.zero_();
  parameters_.LendGradients(unit, gradients);
}

void UnitExchange::AfterBackward(size_t unit) {
  const at::NoGradGuard no_graph;
  if (!std::exchange(units_[unit].open, false)) return;
  Release(unit);
  Slot* slot = std::exchange(units_[unit].gradients, nullptr);
  if (slot == nullptr) return;
  parameters_.LendGradients(unit, {});
  slot->reduced = at::empty({place(unit).owned}, slot->memory.options());
  slot->pending = group_.StartReduceScatterSum(slot->reduced, slot->memory.narrow(0, 0, place(unit).numel));
}

UnitExchange::Slot& UnitExchange::FreeGradientSlot() {
  Slot& slot = gradient_slots_[next_gradient_slot_];
  next_gradient_slot_ = (next_gradient_slot_ + 1) % gradient_slots_.size();
  Collect(slot);
  return slot;
}

// Adds what the reduction left to this rank's fp32 gradients, so that micro-steps add up in fp32.
void UnitExchange::Collect(Slot& slot) {
  slot.pending.Wait();
  if (!slot.unit) return;
  const UnitPlace& unit = place(*slot.unit);
  const at::Tensor& gradients = parameters_.gradients();
  gradients.narrow(0, unit.offset, unit.owned).add_(std::exchange(slot.reduced, {}).to(gradients.device()));
  slot.unit.reset();
}

void UnitExchange::FinishBackward(bool last_micro_step) {
  const at::NoGradGuard no_graph;
  for (size_t unit = units_.size(); unit-- > 0;) AfterBackward(unit);
  for (Slot& slot : gradient_slots_) Collect(slot);
  if (last_micro_step) ReduceUnsharded();
}

void UnitExchange::ReduceUnsharded() {
  std::vector<Pending> pending;
  std::vector<std::pair<at::Tensor, at::Tensor>> reduced;  // stage 1: share of the gradients, where it goes
  // Neighbouring units of stage 0 lie behind each other, so they are one all-reduce.
  int64_t begin = 0, end = 0;
  const auto flush = [&] {
    if (end > begin) pending.push_back(group_.StartAllReduceSum(parameters_.gradients().narrow(0, begin, end - begin)));
  };
  for (size_t i = 0; i < units_.size(); ++i) {
    const UnitPlace& unit = place(i);
    if (unit.stage == 0 && parameters_.sums_in_place()) {
      if (end != unit.offset) {
        flush();
        begin = unit.offset;
      }
      end = unit.offset + unit.owned;
    } else if (unit.stage == 0) {
      pending.push_back(group_.StartAllReduceSum(parameters_.unit(i).gradients));
    } else if (unit.stage == 1) {
      const at::Tensor& whole = parameters_.unit(i).gradients;
      reduced.emplace_back(at::empty({unit.owned}, whole.options()), parameters_.gradients().narrow(0, unit.offset, unit.owned));
      pending.push_back(group_.StartReduceScatterSum(reduced.back().first, whole));
    }
  }
  flush();
  for (Pending& p : pending) p.Wait();
  for (auto& [share, gradients] : reduced) gradients.copy_(share);
  parameters_.CollectGradients();
}

void UnitExchange::PublishWeights() {
  const at::NoGradGuard no_graph;
  for (size_t i = 0; i < units_.size(); ++i) {
    units_[i].published.Wait();
    Release(i);  // gathered before the update
  }
  parameters_.RoundWeights();
  for (size_t i = 0; i < units_.size(); ++i) {
    if (place(i).stage == 1 || place(i).stage == 2)
      units_[i].published = group_.StartAllGather(parameters_.unit(i).weights, parameters_.unit(i).share);
  }
}

double UnitExchange::SumOfSquares(const at::Tensor& values) const {
  std::vector<at::Tensor> norms;
  for (const UnitPlace& unit : parameters_.layout().units())
    norms.push_back(at::linalg_vector_norm(values.narrow(0, unit.offset, unit.owned), 2, {}, false, at::kDouble));
  const at::Tensor on_host = at::stack(norms).cpu();  // one wait for a GPU, not one a unit
  double replicated = 0, mine = 0;
  for (size_t i = 0; i < units_.size(); ++i) {
    const double norm = on_host.const_data_ptr<double>()[i];
    (place(i).stage == 0 ? replicated : mine) += norm * norm;
  }
  at::Tensor sum = at::empty({1}, at::kDouble).fill_(mine);
  group_.AllReduceSum(sum);
  return replicated + sum.item<double>();
}

at::Tensor UnitExchange::Whole(size_t unit, const at::Tensor& values) const {
  const UnitPlace& p = place(unit);
  const at::Tensor mine = values.narrow(0, p.offset, p.owned);
  if (p.stage == 0) return mine;
  at::Tensor whole = at::empty({p.numel}, values.options());
  group_.StartAllGather(whole, mine).Wait();
  return whole;
}

}  // namespace pixelrec::dist
