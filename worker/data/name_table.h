// Names numbered 0, 1, 2 ... in order of first appearance (rule D3).
//
// Threads: one writer, or any number of readers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace pixelrec::data {

class NameTable {
 public:
  uint32_t Intern(absl::string_view name) {
    if (const auto it = numbers_.find(name); it != numbers_.end()) return it->second;
    const absl::string_view kept = Keep(name);
    const auto number = static_cast<uint32_t>(names_.size());
    names_.push_back(kept);
    numbers_.emplace(kept, number);
    return number;
  }

  std::optional<uint32_t> Find(absl::string_view name) const {
    const auto it = numbers_.find(name);
    if (it == numbers_.end()) return std::nullopt;
    return it->second;
  }

  size_t size() const { return names_.size(); }
  absl::string_view name(uint32_t number) const { return names_[number]; }
  const std::vector<absl::string_view>& names() const { return names_; }

 private:
  // Names lie one after another in large blocks: no allocation each, and no move when the table grows.
  absl::string_view Keep(absl::string_view name) {
    constexpr size_t kBlock = 1u << 20;
    if (name.size() > left_) {
      const size_t size = name.size() > kBlock ? name.size() : kBlock;
      blocks_.push_back(std::make_unique_for_overwrite<char[]>(size));
      next_ = blocks_.back().get();
      left_ = size;
    }
    if (!name.empty()) std::memcpy(next_, name.data(), name.size());
    const absl::string_view kept(next_, name.size());
    next_ += name.size();
    left_ -= name.size();
    return kept;
  }

  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;
  size_t left_ = 0;
  std::vector<absl::string_view> names_;
  absl::flat_hash_map<absl::string_view, uint32_t> numbers_;
};

}  // namespace pixelrec::data
