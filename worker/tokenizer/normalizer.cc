#include "worker/tokenizer/normalizer.h"

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "worker/tokenizer/utf8.h"

namespace pixelrec::tokenizer {
namespace {

constexpr char kSpaceSymbol[] = "\xE2\x96\x81";  // U+2581

// One 32-bit unit of the double array: a label, whether a value hangs below, and where the children are.
uint32_t LabelOf(uint32_t unit) { return unit & 0x800000FFu; }
bool HasValue(uint32_t unit) { return ((unit >> 8) & 1) != 0; }
uint32_t ValueOf(uint32_t unit) { return unit & 0x7FFFFFFFu; }
uint32_t ChildrenOf(uint32_t unit) { return (unit >> 10) << ((unit & 0x200u) >> 6); }

}  // namespace

absl::StatusOr<Normalizer> Normalizer::Create(const SentencePieceModel& model) {
  Normalizer normalizer;
  normalizer.add_dummy_prefix_ = model.add_dummy_prefix;
  normalizer.remove_extra_spaces_ = model.remove_extra_spaces;
  normalizer.escape_spaces_ = model.escape_spaces;
  normalizer.space_is_suffix_ = model.space_is_suffix;
  if (model.charsmap.empty()) return normalizer;

  // u32 byte count of the double array, the array, then the replacement strings.
  const absl::string_view map = model.charsmap;
  const auto damaged = absl::InvalidArgumentError("not a readable SentencePiece model: its character map is damaged");
  uint32_t bytes = 0;
  if (map.size() <= sizeof(bytes)) return damaged;
  std::memcpy(&bytes, map.data(), sizeof(bytes));
  if (bytes == 0 || bytes % 4 != 0 || bytes >= map.size() - sizeof(bytes)) return damaged;
  normalizer.units_.resize(bytes / 4);
  std::memcpy(normalizer.units_.data(), map.data() + sizeof(bytes), bytes);
  const absl::string_view replacements = map.substr(sizeof(bytes) + bytes);
  normalizer.replacements_.assign(replacements.data(), replacements.size());
  if (!IsUtf8(normalizer.replacements_)) return damaged;
  return normalizer;
}

std::pair<size_t, size_t> Normalizer::LongestRule(absl::string_view text) const {
  std::pair<size_t, size_t> best{0, 0};
  if (units_.empty()) return best;
  size_t node = ChildrenOf(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (node >= units_.size() || LabelOf(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= ChildrenOf(unit);
    if (node >= units_.size()) break;
    if (HasValue(unit) && ValueOf(units_[node]) < replacements_.size()) best = {ValueOf(units_[node]), i + 1};
  }
  return best;
}

std::pair<absl::string_view, size_t> Normalizer::Front(absl::string_view text, const PieceTrie& user_defined) const {
  if (const size_t length = user_defined.LongestMatch(text); length > 0) return {text.substr(0, length), length};
  const auto [offset, length] = LongestRule(text);
  if (length > 0) {
    const absl::string_view rest = absl::string_view(replacements_).substr(offset);
    return {rest.substr(0, rest.find('\0')), length};
  }
  const size_t one = Utf8FrontLength(text);
  return {text.substr(0, one), one};
}

std::string Normalizer::Normalize(absl::string_view text, const PieceTrie& user_defined) const {
  if (remove_extra_spaces_) {
    while (!text.empty()) {
      const auto [piece, consumed] = Front(text, user_defined);
      if (piece != " ") break;
      text.remove_prefix(consumed);
    }
  }
  if (text.empty()) return "";

  const absl::string_view space = escape_spaces_ ? absl::string_view(kSpaceSymbol) : " ";
  std::string out;
  out.reserve(text.size() + text.size() / 4 + space.size());
  if (add_dummy_prefix_ && !space_is_suffix_) out.append(space.data(), space.size());

  bool after_space = remove_extra_spaces_;
  while (!text.empty()) {
    auto [piece, consumed] = Front(text, user_defined);
    text.remove_prefix(consumed);
    while (after_space && absl::ConsumePrefix(&piece, " ")) {
    }
    if (piece.empty()) continue;
    for (char c : piece) {
      if (c == ' ') {
        out.append(space.data(), space.size());
      } else {
        out.push_back(c);
      }
    }
    after_space = remove_extra_spaces_ && absl::EndsWith(piece, " ");
  }
  if (remove_extra_spaces_) {
    while (absl::EndsWith(out, space)) out.erase(out.size() - space.size());
  }
  if (add_dummy_prefix_ && space_is_suffix_) out.append(space.data(), space.size());
  return out;
}

}  // namespace pixelrec::tokenizer
