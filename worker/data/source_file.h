// The source CSV files as bytes: their content hashes, and their way into a CsvParser.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "worker/data/csv_parser.h"

namespace pixelrec::data {

// Bytes of the file, packed as it is, since the last call.
using OnBytes = std::function<void(uint64_t bytes)>;

// XXH3-128 of a file's content, hex. NOT_FOUND, PERMISSION_DENIED as errno says; INVALID_ARGUMENT: not a regular file.
absl::StatusOr<std::string> HashFile(const std::filesystem::path& file, const OnBytes& on_bytes);

// Feeds the whole file, unpacked if it is gzip or zstd, to `parser`. `expected_hash` is what HashFile gave: FAILED_PRECONDITION
// if the file changed in between.
absl::Status ReadCsvFile(const std::filesystem::path& file, const std::string& expected_hash, CsvParser& parser,
                         const OnBytes& on_bytes);

}  // namespace pixelrec::data
