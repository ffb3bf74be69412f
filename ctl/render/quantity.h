// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"

namespace pixelrec::ctl {

std::string GroupDigits(int64_t number);      // 1,234,567
std::string BytesText(int64_t bytes);         // 512 B, 3.1 MB
std::string SecondsText(double seconds);      // 0.4 s, 12 s, 3m 12s, 2h 5m
std::string Fixed(double value, int digits);  // printf's %.*f; "-" for what isn't finite
std::string Percent(double share);            // 0.25 -> "25%"

absl::Time TimeOf(const google::protobuf::Timestamp& timestamp);
// "14:03:59" in `zone`.
std::string ClockText(absl::Time time, absl::TimeZone zone);
// "2026-11-24 14:03:59"; "-" for the zero of a timestamp.
std::string DateText(const google::protobuf::Timestamp& timestamp, absl::TimeZone zone);

}  // namespace pixelrec::ctl
