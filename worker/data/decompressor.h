// A file's bytes as they were before gzip or zstd: the kind is told by the first bytes, not by the name, and plain files pass
// through. Works in portions of a fixed size, so that a small file that unpacks to terabytes costs time but no memory; what is
// built from the bytes bounds itself (CsvParser: the length of a row).
//
// Threads: one at a time.
//
// Errors: INVALID_ARGUMENT, "FILE: what is wrong at which byte of the file; how to mend it". Errors of the receiver as they are.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace pixelrec::data {

class Decompressor {
 public:
  using OnPortion = std::function<absl::Status(absl::string_view)>;

  // `file` names the source in errors.
  Decompressor(std::string file, OnPortion on_portion);
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  // Bytes of the file in any portions. After an error every call returns it again.
  absl::Status Feed(absl::string_view bytes);
  // The end of the file: an error if it lies inside a compressed stream.
  absl::Status Finish();

  // One stream after another, as `cat a.gz b.gz` makes them. Implemented by gzip and zstd.
  class Codec;

 private:
  absl::Status Decide(bool at_end);
  absl::Status Pass(absl::string_view bytes);

  const std::string file_;
  const OnPortion on_portion_;
  std::string prefix_;  // first bytes, until the kind is known
  bool decided_ = false;
  uint64_t position_ = 0;         // in the file, of the first byte not yet passed on
  std::unique_ptr<Codec> codec_;  // null: plain
  absl::Status status_;
};

}  // namespace pixelrec::data
