// What preparing a job's data would give, as far as that can be said in about a second.
//
// Threads: pure function, but for the files it reads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/dataset.h"
#include "worker/data/prepare.h"

namespace pixelrec::data {

struct Outlook {
  std::string data_hash;
  std::unique_ptr<Dataset> dataset;  // null: not prepared in any of the folders
  // Training chunks, and items that occur: of the dataset, or counted in the interactions. Not `exact`: extrapolated from the
  // first rows of a large file.
  int64_t samples = 0;
  int64_t items = 0;
  bool exact = true;
};

inline constexpr int64_t kRowsForEstimate = 2'000'000;

// Looks for the dataset in `cache_dirs`, then reads at most `max_rows` of the interactions. Reads every byte of the files once,
// to know their hash. Errors as Prepare's.
absl::StatusOr<Outlook> LookAhead(const PrepareOptions& options, const std::vector<std::filesystem::path>& cache_dirs,
                                  int64_t max_rows = kRowsForEstimate);

}  // namespace pixelrec::data
