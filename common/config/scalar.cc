#include "common/config/scalar.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace pixelrec::config {
namespace {

using nlohmann::json;

bool IsOneOf(const std::string& text, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* word) { return text == word; });
}

// [-+]? digits, with at most one point and one exponent: what a person calls a decimal number.
bool LooksNumeric(absl::string_view text, bool* whole) {
  size_t i = 0;
  const auto digits = [&] {
    const size_t start = i;
    while (i < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[i]))) ++i;
    return i - start;
  };
  if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
  size_t mantissa = digits();
  *whole = true;
  if (i < text.size() && text[i] == '.') {
    *whole = false;
    ++i;
    mantissa += digits();
  }
  if (mantissa == 0) return false;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    *whole = false;
    ++i;
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
    if (digits() == 0) return false;
  }
  return i == text.size();
}

}  // namespace

json ReadScalar(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return nullptr;
    case YamlNode::Kind::kSequence:
      return json::array();
    case YamlNode::Kind::kMap:
      return json::object();
    case YamlNode::Kind::kScalar:
      break;
  }
  const std::string& text = node.scalar;
  if (node.quoted) return text;
  if (IsOneOf(text, {"", "~", "null", "Null", "NULL"})) return nullptr;
  if (IsOneOf(text, {"true", "True", "TRUE"})) return true;
  if (IsOneOf(text, {"false", "False", "FALSE"})) return false;
  bool whole = false;
  if (!LooksNumeric(text, &whole)) return text;
  if (whole) {
    int64_t integer = 0;
    if (absl::SimpleAtoi(text, &integer)) return integer;
    uint64_t large = 0;
    if (absl::SimpleAtoi(text, &large)) return large;
  }
  double number = 0;
  if (absl::SimpleAtod(text, &number) && std::isfinite(number)) return number;
  return text;
}

std::optional<int64_t> ReadDuration(absl::string_view text) {
  constexpr std::pair<const char*, int64_t> kUnits[] = {{"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}};
  for (const auto& [unit, milliseconds] : kUnits) {
    if (!absl::EndsWith(text, unit)) continue;
    const absl::string_view digits = text.substr(0, text.size() - absl::string_view(unit).size());
    int64_t count = 0;
    const bool plain = !digits.empty() && digits.size() <= 9 && std::all_of(digits.begin(), digits.end(), [](char c) {
      return absl::ascii_isdigit(static_cast<unsigned char>(c));
    });
    if (plain && absl::SimpleAtoi(digits, &count)) return count * milliseconds;
  }
  return std::nullopt;
}

}  // namespace pixelrec::config
