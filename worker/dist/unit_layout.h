// Where every trained tensor lies: in which unit (one per decoder layer), at which elements of the unit's flat buffer, and which
// of them a rank owns. Pure arithmetic, so that what another world size or ZeRO stage wrote is found again by name and range.
//
// Threads: immutable once made.
#pragma once

#include <cstddef>
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
  // ZeRO stage: 0 nothing is sharded; 1 masters and moments; 2 the reduced gradients too; 3 the weights too.
  int stage = 0;
  // The model reads the masters themselves, whatever it computes the other units in (Rounding::kWeights). Stage 0 only.
  bool keeps_masters = false;
};

// A leaf, or a named tensor.
struct PlacedTensor {
  std::string name;
  int64_t offset = 0;  // in the unit
  std::vector<int64_t> shape;
  int64_t numel() const;
};

// A unit's flat buffer has `numel` elements, leaves at borders of kAlignment, filled up with zeros so that all ranks own equal
// shares.
struct UnitPlace {
  std::string name;
  int stage = 0;
  bool keeps_masters = false;
  int64_t numel = 0;
  // This rank's share [begin, begin + owned) of the unit, and where it begins in the rank's own buffers.
  int64_t begin = 0;
  int64_t owned = 0;
  int64_t offset = 0;
  std::vector<PlacedTensor> leaves;
  std::vector<PlacedTensor> tensors;  // that the leaves are made of
};

// What a rank owns of one tensor: elements [begin, begin + numel) of the tensor laid out flat, at `offset` of the rank's buffers.
struct Range {
  int64_t offset = 0;
  int64_t numel = 0;
  int64_t begin = 0;
  std::vector<int64_t> shape;  // of the whole tensor
  bool replicated = true;      // every rank owns all of it
  bool whole() const;
};

class UnitLayout {
 public:
  static constexpr int64_t kAlignment = 64;  // elements: 256 bytes of fp32

  UnitLayout(const std::vector<Unit>& units, int rank, int world_size);

  const std::vector<UnitPlace>& units() const { return units_; }
  const std::map<std::string, Range>& ranges() const { return ranges_; }  // every tensor, also those of which nothing is owned
  int64_t owned() const { return owned_; }                                // elements of the rank's buffers
  // Elements of all named tensors, without the gaps, whoever owns them.
  int64_t parameter_count() const { return parameter_count_; }

 private:
  std::vector<UnitPlace> units_;
  std::map<std::string, Range> ranges_;
  int64_t owned_ = 0;
  int64_t parameter_count_ = 0;
};

}  // namespace pixelrec::dist
