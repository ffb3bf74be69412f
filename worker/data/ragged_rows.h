// Rows of unequal length, set in any order, then gathered into one array. Rows lie in blocks, so that growing moves nothing and
// never holds two copies; a row that is set again leaves its old place unused.
//
// Not for rows that are read before Gather. Threads: one at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

namespace pixelrec::data {

template <typename T>
class RaggedRows {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  void Set(size_t row, std::span<const T> values) {
    if (row >= rows_.size()) rows_.resize(row + 1);
    rows_[row] = Keep(values);
  }

  // offsets: [rows + 1]. Rows that were never set are empty. This object is empty afterwards.
  void Gather(size_t rows, std::vector<uint64_t>& offsets, std::vector<T>& values) {
    rows_.resize(rows);
    offsets.assign(1, 0);
    offsets.reserve(rows + 1);
    for (std::span<const T> row : rows_) offsets.push_back(offsets.back() + row.size());
    values.clear();
    values.reserve(offsets.back());
    for (std::span<const T> row : rows_) values.insert(values.end(), row.begin(), row.end());
    rows_ = {};
    blocks_.clear();
    next_ = nullptr;
    left_ = 0;
  }

 private:
  std::span<const T> Keep(std::span<const T> values) {
    constexpr size_t kBlock = (1u << 20) / sizeof(T);
    if (values.size() > left_) {
      left_ = std::max(kBlock, values.size());
      blocks_.push_back(std::make_unique_for_overwrite<T[]>(left_));
      next_ = blocks_.back().get();
    }
    T* const kept = next_;
    next_ = std::copy(values.begin(), values.end(), next_);
    left_ -= values.size();
    return {kept, values.size()};
  }

  std::vector<std::unique_ptr<T[]>> blocks_;
  T* next_ = nullptr;
  size_t left_ = 0;  // entries of the last block
  std::vector<std::span<const T>> rows_;
};

}  // namespace pixelrec::data
