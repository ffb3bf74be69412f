// Where each sequence lies in a packed activation tensor [tokens, H]. No padded position exists anywhere.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace pixelrec::model {

struct SegmentTensors;  // batched_attention.h

// offsets[i] .. offsets[i + 1] are the rows of sequence i; positions inside a sequence count from 0 (rule X6 up to a constant
// shift).
struct Segments {
  std::vector<int64_t> offsets{0};
  // The same on the device that computes, once nothing is appended any more; null: a CPU, or not made yet. Owners: copies of
  // this.
  std::shared_ptr<const SegmentTensors> tensors = nullptr;

  int64_t count() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t tokens() const { return offsets.back(); }
  int64_t begin(int64_t i) const { return offsets[static_cast<size_t>(i)]; }
  int64_t length(int64_t i) const { return offsets[static_cast<size_t>(i) + 1] - offsets[static_cast<size_t>(i)]; }
  void Append(int64_t length) { offsets.push_back(offsets.back() + length); }
};

}  // namespace pixelrec::model
