// The certificates of one side of a connection, as their files say now: looked at whenever a connection is made, so that a
// renewed certificate needs no restart and no signal.
//
// What can't be used is complained of once, and the last good one stays in use.
// Threads: any.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/rpc/tls/certificate.h"
#include "common/storage/file_stamp.h"

namespace pixelrec::rpc {

class TlsSource {
 public:
  struct Options {
    TlsFiles files;
    std::function<void(absl::string_view)> log = [](absl::string_view) {};
    std::function<absl::Time()> now = absl::Now;
  };
  // Errors as LoadTls().
  static absl::StatusOr<std::unique_ptr<TlsSource>> Create(Options options);

  struct Current {
    TlsMaterial material;
    uint64_t version = 0;  // another number: another material
  };
  Current Get();

 private:
  using Stamps = std::array<storage::FileStamp, 3>;
  explicit TlsSource(Options options) : options_(std::move(options)) {}
  Stamps Look() const;

  const Options options_;
  absl::Mutex mutex_;
  Current current_ ABSL_GUARDED_BY(mutex_);
  Stamps read_ ABSL_GUARDED_BY(mutex_);
  std::string complaint_ ABSL_GUARDED_BY(mutex_);  // empty: the files are good
};

}  // namespace pixelrec::rpc
