// TFRecord framing: u64 length, masked CRC32C of the length, payload, masked CRC32C of the payload; all little-endian.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace pixelrec::train {

// CRC-32 with Castagnoli's polynomial (RFC 3720), which no Debian library offers to C++.
uint32_t Crc32c(absl::string_view bytes);

// As TFRecord stores it: rotated right by 15 bits plus 0xa282ead8, so that a checksum of data that holds checksums stays useful.
uint32_t MaskedCrc32c(absl::string_view bytes);

// One record around `payload`.
std::string FrameRecord(absl::string_view payload);

}  // namespace pixelrec::train
