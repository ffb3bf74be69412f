// Names one trainer: a rank of one generation of one job. And the clock every decision here is made by.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"

namespace pixelrec::agent {

// Monotonic: a jump of the wall clock ends no lease.
using Time = std::chrono::steady_clock::time_point;

struct RankKey {
  std::string job_id;
  uint64_t generation = 0;
  int32_t rank = 0;

  auto operator<=>(const RankKey&) const = default;
  std::string ToString() const { return absl::StrCat("job ", job_id, " generation ", generation, " rank ", rank); }
};

// Of any message with job_id, generation and rank.
template <typename Message>
RankKey KeyOf(const Message& message) {
  return {message.job_id(), message.generation(), message.rank()};
}

template <typename Message>
void SetKey(const RankKey& key, Message& message) {
  message.set_job_id(key.job_id);
  message.set_generation(key.generation);
  message.set_rank(key.rank);
}

}  // namespace pixelrec::agent
