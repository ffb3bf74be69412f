#include "worker/dist/unit_layout.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

namespace pixelrec::dist {
namespace {

int64_t Count(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}
int64_t RoundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

void PlaceLeaves(const Unit& unit, UnitPlace& place) {
  int64_t offset = 0;
  for (const Leaf& leaf : unit.leaves) {
    std::vector<int64_t> shape = leaf.parts.front().shape;
    if (leaf.parts.size() > 1) shape[0] = 0;
    place.leaves.push_back({leaf.name, offset, {}});
    for (const NamedTensor& part : leaf.parts) {
      place.tensors.push_back({part.name, offset, part.shape});
      if (leaf.parts.size() > 1) shape[0] += part.shape[0];
      offset += Count(part.shape);
    }
    place.leaves.back().shape = std::move(shape);
    offset = RoundUp(offset, UnitLayout::kAlignment);
  }
  place.numel = offset;
}

}  // namespace

int64_t PlacedTensor::numel() const { return Count(shape); }
bool Range::whole() const { return numel == Count(shape); }

UnitLayout::UnitLayout(const std::vector<Unit>& units, int rank, int world_size) {
  for (const Unit& unit : units) {
    UnitPlace& place = units_.emplace_back();
    place.name = unit.name;
    // One rank owns everything at any stage.
    place.stage = world_size == 1 ? 0 : unit.stage;
    place.keeps_masters = unit.keeps_masters;
    PlaceLeaves(unit, place);
    if (place.stage > 0) place.numel = RoundUp(place.numel, kAlignment * world_size);
    place.owned = place.stage > 0 ? place.numel / world_size : place.numel;
    place.begin = place.stage > 0 ? place.owned * rank : 0;
    place.offset = owned_;
    for (const PlacedTensor& part : place.tensors) {
      const int64_t end = part.offset + part.numel();
      const int64_t first = std::clamp(place.begin, part.offset, end);
      const int64_t last = std::clamp(place.begin + place.owned, first, end);
      ranges_[part.name] = {.offset = place.offset + (last > first ? first - place.begin : 0),
                            .numel = last - first,
                            .begin = first - part.offset,
                            .shape = part.shape,
                            .replicated = place.stage == 0};
      parameter_count_ += part.numel();
    }
    owned_ += place.owned;
  }
}

}  // namespace pixelrec::dist
