#include "ctl/render/quantity.h"

#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace pixelrec::ctl {

std::string GroupDigits(int64_t number) {
  std::string digits = absl::StrCat(number);
  const size_t sign = number < 0 ? 1 : 0;
  for (size_t at = digits.size(); at > sign + 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string BytesText(int64_t bytes) {
  if (bytes < 1000) return absl::StrCat(bytes, " B");
  constexpr std::array<const char*, 5> kUnits = {"kB", "MB", "GB", "TB", "PB"};
  double amount = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  while (amount >= 999.5 && unit + 1 < kUnits.size()) {
    amount /= 1000;
    ++unit;
  }
  return absl::StrFormat(amount < 9.95 ? "%.1f %s" : "%.0f %s", amount, kUnits[unit]);
}

std::string SecondsText(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "-";
  if (seconds < 9.95) return absl::StrFormat("%.1f s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(std::min(seconds, 1e12)));
  if (whole < 60) return absl::StrFormat("%d s", whole);
  if (whole < 3600) return absl::StrFormat("%dm %ds", whole / 60, whole % 60);
  return absl::StrFormat("%dh %dm", whole / 3600, whole % 3600 / 60);
}

std::string Fixed(double value, int digits) { return std::isfinite(value) ? absl::StrFormat("%.*f", digits, value) : "-"; }

std::string Percent(double share) {
  if (!std::isfinite(share)) return "-";
  return absl::StrFormat("%d%%", static_cast<int>(std::floor(std::min(1.0, std::max(0.0, share)) * 100 + 1e-9)));
}

absl::Time TimeOf(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}

std::string ClockText(absl::Time time, absl::TimeZone zone) { return absl::FormatTime("%H:%M:%S", time, zone); }

std::string DateText(const google::protobuf::Timestamp& timestamp, absl::TimeZone zone) {
  if (timestamp.seconds() == 0) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", TimeOf(timestamp), zone);
}

}  // namespace pixelrec::ctl
