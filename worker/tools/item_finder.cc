#include "worker/tools/item_finder.h"

#include <algorithm>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pixelrec::tools {
namespace {

constexpr size_t kNamed = 3;  // nearest titles, or ids of one title, in an error

absl::string_view FirstField(absl::string_view title) { return title.substr(0, title.find(" | ")); }

// Triples of bytes, with a space on both sides so that short words have some too.
std::set<std::string> Trigrams(absl::string_view text) {
  const std::string padded = absl::StrCat(" ", absl::AsciiStrToLower(text), " ");
  std::set<std::string> trigrams;
  for (size_t i = 0; i + 3 <= padded.size(); ++i) trigrams.insert(padded.substr(i, 3));
  return trigrams;
}

// Dice's coefficient of two texts' trigrams, 0 to 1.
double Likeness(const std::set<std::string>& wanted, absl::string_view title) {
  const std::set<std::string> own = Trigrams(title);
  const auto common = std::count_if(own.begin(), own.end(), [&](const std::string& t) { return wanted.count(t) > 0; });
  return wanted.empty() || own.empty() ? 0 : 2.0 * static_cast<double>(common) / static_cast<double>(wanted.size() + own.size());
}

}  // namespace

ItemFinder::ItemFinder(uint32_t items, TextOf name_of, TextOf title_of)
    : items_(items), name_of_(std::move(name_of)), title_of_(std::move(title_of)) {
  for (uint32_t item = 1; item <= items_; ++item) {
    ids_.emplace(name_of_(item), item);
    const absl::string_view title = title_of_(item), first = FirstField(title);
    if (title.empty()) continue;
    titles_[absl::AsciiStrToLower(title)].push_back(item);
    if (first != title) titles_[absl::AsciiStrToLower(first)].push_back(item);
  }
}

absl::StatusOr<uint32_t> ItemFinder::ById(absl::string_view id) const {
  const auto found = ids_.find(std::string(id));
  if (found == ids_.end()) return absl::NotFoundError(absl::StrCat("no item ", id, " in the dataset"));
  return found->second;
}

absl::StatusOr<uint32_t> ItemFinder::ByIdOrTitle(absl::string_view text) const {
  if (const auto found = ids_.find(std::string(text)); found != ids_.end()) return found->second;
  const auto found = titles_.find(absl::AsciiStrToLower(text));
  if (found == titles_.end()) {
    const std::string nearest = Nearest(text);
    return absl::NotFoundError(
        absl::StrCat("no item has the id or title \"", text, "\"", nearest.empty() ? "" : "; nearest: ", nearest));
  }
  std::vector<uint32_t> candidates = found->second;
  // Of titles that differ in case only, the one written like this is meant.
  const auto written_so = [&](uint32_t item) { return title_of_(item) == text || FirstField(title_of_(item)) == text; };
  if (std::any_of(candidates.begin(), candidates.end(), written_so))
    std::erase_if(candidates, [&](uint32_t item) { return !written_so(item); });
  if (candidates.size() == 1) return candidates.front();
  std::vector<absl::string_view> ids;
  for (size_t i = 0; i < std::min(kNamed, candidates.size()); ++i) ids.push_back(name_of_(candidates[i]));
  return absl::FailedPreconditionError(absl::StrCat(candidates.size(), " items have the title \"", text,
                                                    "\"; name one by its id: ", absl::StrJoin(ids, ", "),
                                                    candidates.size() > kNamed ? ", ..." : ""));
}

std::string ItemFinder::Nearest(absl::string_view text) const {
  const std::set<std::string> wanted = Trigrams(text);
  std::vector<std::pair<double, uint32_t>> scored;
  for (uint32_t item = 1; item <= items_; ++item) {
    const double likeness = Likeness(wanted, FirstField(title_of_(item)));
    if (likeness > 0) scored.emplace_back(-likeness, item);
  }
  const size_t shown = std::min(kNamed, scored.size());
  std::partial_sort(scored.begin(), scored.begin() + static_cast<std::ptrdiff_t>(shown), scored.end());
  std::vector<std::string> names;
  for (size_t i = 0; i < shown; ++i) {
    const uint32_t item = scored[i].second;
    names.push_back(absl::StrCat("\"", FirstField(title_of_(item)), "\" (", name_of_(item), ")"));
  }
  return absl::StrJoin(names, ", ");
}

}  // namespace pixelrec::tools
