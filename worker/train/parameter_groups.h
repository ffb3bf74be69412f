// Which parameters are trained, and at which share of the learning rate: ranges of the flat buffers.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/dist/flat_parameters.h"

namespace pixelrec::train {

// Elements of the flat buffers that share a learning rate.
struct ParameterGroup {
  double lr_factor = 1;
  std::vector<std::pair<int64_t, int64_t>> ranges;  // begin, end; ascending
};

// The entry of `lr_mult_prefix` that counts for a parameter: the longest that begins its name and ends at a border of names;
// null: none.
const std::pair<std::string, double>* LongestPrefix(const std::string& name,
                                                    const std::vector<std::pair<std::string, double>>& lr_mult_prefix);

// Groups of everything that is trained, by factor. `freeze`: sides that aren't ("item_llm", "user_llm"; rule O1's freeze_prefix),
// which must have been frozen in `parameters`. `lr_mult_prefix`: factor by prefix of the parameter's name; the longest prefix
// that fits counts (rule O1's lr_mult_prefix). INVALID_ARGUMENT: a prefix that fits no trained parameter, or nothing is trained.
absl::StatusOr<std::vector<ParameterGroup>> GroupParameters(const dist::FlatParameters& parameters,
                                                            const std::vector<std::string>& freeze,
                                                            const std::vector<std::pair<std::string, double>>& lr_mult_prefix);

}  // namespace pixelrec::train
