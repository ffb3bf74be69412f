// Bytes of tensors that are alive while a pass goes on, and the most that ever were.
//
// Threads: one at a time.
#pragma once

#include <algorithm>
#include <cstdint>

namespace pixelrec::plan {

class Timeline {
 public:
  void Hold(int64_t bytes) {
    live_ += bytes;
    peak_ = std::max(peak_, live_);
  }
  void Release(int64_t bytes) { live_ -= bytes; }
  // Held while something else is computed, and gone after it.
  void Touch(int64_t bytes) { peak_ = std::max(peak_, live_ + bytes); }

  int64_t live() const { return live_; }
  int64_t peak() const { return peak_; }

 private:
  int64_t live_ = 0;
  int64_t peak_ = 0;
};

}  // namespace pixelrec::plan
