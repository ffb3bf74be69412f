#include "worker/data/pandas_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace pixelrec::data {
namespace {

constexpr absl::string_view kMissing[] = {"",     "#N/A",   "#N/A N/A", "#NA",  "-1.#IND", "-1.#QNAN", "-NaN",
                                          "-nan", "1.#IND", "1.#QNAN",  "<NA>", "N/A",     "NA",       "NULL",
                                          "NaN",  "None",   "n/a",      "nan",  "null"};

std::optional<bool> AsBoolean(absl::string_view field) {
  if (field == "True" || field == "TRUE" || field == "true") return true;
  if (field == "False" || field == "FALSE" || field == "false") return false;
  return std::nullopt;
}

std::optional<double> AsNumber(absl::string_view field) {
  double value = 0;
  if (!absl::SimpleAtod(field, &value)) return std::nullopt;
  return value;
}

}  // namespace

bool IsMissingToPandas(absl::string_view field) {
  return std::find(std::begin(kMissing), std::end(kMissing), field) != std::end(kMissing);
}

void PandasColumn::See(absl::string_view field) {
  missing_ = missing_ || IsMissingToPandas(field);
  if (IsMissingToPandas(field)) return;
  int64_t whole = 0;
  whole_ = whole_ && absl::SimpleAtoi(field, &whole);
  booleans_ = booleans_ && AsBoolean(field).has_value();
  numbers_ = numbers_ && AsNumber(field).has_value();
}

std::string PandasColumn::Print(absl::string_view field) const {
  if (IsMissingToPandas(field)) return "";
  if (booleans_) return AsBoolean(field).value_or(false) ? "True" : "";
  if (!numbers_) return std::string(field);
  if (int64_t whole = 0; whole_numbers() && absl::SimpleAtoi(field, &whole)) return whole == 0 ? "" : absl::StrCat(whole);
  const double value = AsNumber(field).value_or(0);
  return value == 0 || std::isnan(value) ? "" : PythonFloat(value);
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
