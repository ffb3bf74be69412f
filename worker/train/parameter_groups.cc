#include "worker/train/parameter_groups.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace pixelrec::train {
namespace {

struct Trained {
  int64_t offset;
  int64_t end;
  double factor;
};

bool Frozen(const std::string& name, const std::vector<std::string>& freeze) {
  return std::any_of(freeze.begin(), freeze.end(), [&](const auto& side) { return absl::StartsWith(name, side + "."); });
}

// Prefixes end at a border of names: "user_llm.layers.1" is not a prefix of "user_llm.layers.10.mlp".
bool HasPrefix(const std::string& name, const std::string& prefix) {
  if (!absl::StartsWith(name, prefix)) return false;
  return name.size() == prefix.size() || absl::EndsWith(prefix, ".") || name[prefix.size()] == '.';
}

}  // namespace

const std::pair<std::string, double>* LongestPrefix(const std::string& name,
                                                    const std::vector<std::pair<std::string, double>>& lr_mult_prefix) {
  const std::pair<std::string, double>* longest = nullptr;
  for (const auto& entry : lr_mult_prefix) {
    const bool longer = longest == nullptr || entry.first.size() > longest->first.size();
    if (longer && HasPrefix(name, entry.first)) longest = &entry;
  }
  return longest;
}

absl::StatusOr<std::vector<ParameterGroup>> GroupParameters(const dist::FlatParameters& parameters,
                                                            const std::vector<std::string>& freeze,
                                                            const std::vector<std::pair<std::string, double>>& lr_mult_prefix) {
  std::vector<Trained> trained;
  std::set<std::string> fitting;
  bool any_trained = false;
  for (const auto& [name, range] : parameters.ranges()) {
    if (Frozen(name, freeze)) continue;
    for (const auto& [prefix, factor] : lr_mult_prefix) {
      if (HasPrefix(name, prefix)) fitting.insert(prefix);
    }
    any_trained = true;
    if (range.numel == 0) continue;  // another rank's
    const std::pair<std::string, double>* const longest = LongestPrefix(name, lr_mult_prefix);
    trained.push_back({range.offset, range.offset + range.numel, longest == nullptr ? 1.0 : longest->second});
  }
  for (const auto& [prefix, factor] : lr_mult_prefix) {
    if (fitting.contains(prefix)) continue;
    return absl::InvalidArgumentError(absl::StrCat("lr_mult_prefix: no trained parameter's name begins with \"", prefix,
                                                   "\"; names begin with item_llm., user_llm., item_emb_tokens or logit_scale"));
  }
  if (!any_trained) return absl::InvalidArgumentError("freeze: nothing is left to train");

  std::sort(trained.begin(), trained.end(), [](const Trained& a, const Trained& b) { return a.offset < b.offset; });
  std::map<double, ParameterGroup> groups;
  double last = trained.empty() ? 1 : trained.front().factor;
  for (size_t i = 0; i < trained.size(); ++i) {
    const Trained& t = trained[i];
    auto& [factor, ranges] = groups[t.factor];
    factor = t.factor;
    // A gap between two neighbours is alignment, zero for ever: one range is one pass of the optimiser.
    const bool neighbour = i > 0 && t.factor == last && t.offset - trained[i - 1].end < dist::FlatParameters::kAlignment;
    if (neighbour && !ranges.empty()) {
      ranges.back().second = t.end;
    } else {
      ranges.emplace_back(t.offset, t.end);
    }
    last = t.factor;
  }
  std::vector<ParameterGroup> result;
  for (auto& [factor, group] : groups) result.push_back(std::move(group));
  return result;
}

}  // namespace pixelrec::train
