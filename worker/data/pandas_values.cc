#include "worker/data/pandas_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace pixelrec::data {
namespace {

constexpr absl::string_view kMissing[] = {"",     "#N/A",   "#N/A N/A", "#NA",  "-1.#IND", "-1.#QNAN", "-NaN",
                                          "-nan", "1.#IND", "1.#QNAN",  "<NA>", "N/A",     "NA",       "NULL",
                                          "NaN",  "None",   "n/a",      "nan",  "null"};

constexpr absl::string_view kNumberCharacters = "0123456789.eE+-";

std::optional<bool> AsBoolean(absl::string_view field) {
  if (absl::EqualsIgnoreCase(field, "true")) return true;
  if (absl::EqualsIgnoreCase(field, "false")) return false;
  return std::nullopt;
}

// Decimal or infinite; neither hexadecimal nor nan, which is missing or no number.
std::optional<double> AsNumber(absl::string_view field) {
  absl::string_view digits = absl::StripAsciiWhitespace(field);
  const bool decimal = digits.find_first_not_of(kNumberCharacters) == absl::string_view::npos;
  if (!absl::ConsumePrefix(&digits, "-")) absl::ConsumePrefix(&digits, "+");
  const bool infinite = absl::EqualsIgnoreCase(digits, "inf") || absl::EqualsIgnoreCase(digits, "infinity");
  double value = 0;
  if ((!decimal && !infinite) || !absl::SimpleAtod(field, &value)) return std::nullopt;
  return value;
}

// One sign and digits: whole, however large.
bool IsWhole(absl::string_view field) {
  absl::string_view digits = absl::StripAsciiWhitespace(field);
  if (!absl::ConsumePrefix(&digits, "-")) absl::ConsumePrefix(&digits, "+");
  return !digits.empty() && std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit);
}

bool IsNegative(absl::string_view field) { return absl::StartsWith(absl::StripLeadingAsciiWhitespace(field), "-"); }

// pandas doesn't notice that such a number is too large: to it, it is none.
bool EndsWithBlank(absl::string_view field) { return !field.empty() && absl::ascii_isspace(field.back()); }

template <typename Whole>
std::string WholeOrNothing(absl::string_view field) {
  Whole value = 0;
  return absl::SimpleAtoi(field, &value) && value != 0 ? absl::StrCat(value) : "";
}

}  // namespace

bool IsMissingToPandas(absl::string_view field) {
  return std::find(std::begin(kMissing), std::end(kMissing), field) != std::end(kMissing);
}

void PandasColumn::See(absl::string_view field) {
  missing_ = missing_ || IsMissingToPandas(field);
  if (IsMissingToPandas(field)) return;
  booleans_ = booleans_ && AsBoolean(field).has_value();
  numbers_ = numbers_ && AsNumber(field).has_value();
  int64_t whole = 0;
  if (attempt_ == Attempt::kSigned) {
    if (!IsWhole(field)) {
      attempt_ = Attempt::kNoWhole;
    } else if (absl::SimpleAtoi(field, &whole)) {
      negative_ = negative_ || IsNegative(field);
    } else {
      attempt_ = EndsWithBlank(field) ? Attempt::kNoWhole : Attempt::kUnsigned;
    }
  }
  if (attempt_ == Attempt::kUnsigned) SeeUnsigned(field);
}

void PandasColumn::SeeUnsigned(absl::string_view field) {
  uint64_t whole = 0;
  if (IsNegative(field)) {
    negative_ = true;  // whatever follows the sign
  } else if (!IsWhole(field)) {
    attempt_ = Attempt::kNoWhole;
  } else if (!absl::SimpleAtoi(absl::StripPrefix(absl::StripAsciiWhitespace(field), "+"), &whole)) {
    attempt_ = EndsWithBlank(field) ? Attempt::kNoWhole : Attempt::kTooLarge;
  } else {
    large_ = large_ || whole > static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  }
}

PandasColumn::Kind PandasColumn::kind() const {
  if (attempt_ == Attempt::kTooLarge) return Kind::kText;
  if (attempt_ == Attempt::kUnsigned && (negative_ || (large_ && missing_))) return Kind::kText;
  if (booleans_ && !numbers_) return Kind::kBoolean;
  if (!numbers_) return Kind::kText;
  if (as_floats_ || missing_ || attempt_ == Attempt::kNoWhole) return Kind::kFloat;
  return attempt_ == Attempt::kUnsigned ? Kind::kUnsigned : Kind::kWhole;
}

std::string PandasColumn::Print(absl::string_view field) const {
  if (IsMissingToPandas(field)) return "";
  switch (kind()) {
    case Kind::kWhole:
      return WholeOrNothing<int64_t>(field);
    case Kind::kUnsigned:
      return WholeOrNothing<uint64_t>(absl::StripPrefix(absl::StripAsciiWhitespace(field), "+"));
    case Kind::kBoolean:
      return AsBoolean(field).value_or(false) ? "True" : "";
    case Kind::kText:
      return std::string(field);
    case Kind::kFloat:
      break;
  }
  const double value = AsNumber(field).value_or(0);
  return value == 0 ? "" : PythonFloat(value);
}

void AgreeOnOneType(std::span<PandasColumn> columns) {
  size_t numbers = 0, floats = 0, unsigned_ones = 0;
  for (const PandasColumn& column : columns) {
    numbers += column.numbers();
    floats += column.floats();
    unsigned_ones += column.beyond_int64();
  }
  const bool one_whole_type = floats == 0 && (unsigned_ones == 0 || unsigned_ones == columns.size());
  if (numbers != columns.size() || one_whole_type) return;
  for (PandasColumn& column : columns) column.BecomeFloats();
}

std::string PythonFloat(double value) {
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 64> buffer;
  // Python takes the exponent form below 1e-4 and from 1e16 on.
  const double size = std::fabs(value);
  const bool fixed = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto format = fixed ? std::chars_format::fixed : std::chars_format::scientific;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format).ptr;
  std::string text(buffer.data(), end);
  if (fixed && text.find('.') == std::string::npos) text += ".0";
  return text;
}

}  // namespace pixelrec::data
