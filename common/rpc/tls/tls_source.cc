#include "common/rpc/tls/tls_source.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace pixelrec::rpc {

absl::StatusOr<std::unique_ptr<TlsSource>> TlsSource::Create(Options options) {
  std::unique_ptr<TlsSource> source(new TlsSource(std::move(options)));
  absl::MutexLock lock(&source->mutex_);
  source->read_ = source->Look();
  absl::StatusOr<TlsMaterial> material = LoadTls(source->options_.files, source->options_.now());
  if (!material.ok()) return material.status();
  source->current_ = {*std::move(material), 1};
  return source;
}

TlsSource::Stamps TlsSource::Look() const {
  return {storage::StampOf(options_.files.cert), storage::StampOf(options_.files.key), storage::StampOf(options_.files.ca)};
}

TlsSource::Current TlsSource::Get() {
  absl::MutexLock lock(&mutex_);
  // Before reading: a change that comes during it is seen next time.
  const Stamps now = Look();
  if (std::equal(read_.begin(), read_.end(), now.begin(), [](const auto& then, const auto& at) { return then.Covers(at); })) {
    return current_;
  }
  read_ = now;
  absl::StatusOr<TlsMaterial> material = LoadTls(options_.files, options_.now());
  const std::string complaint = material.ok() ? "" : std::string(material.status().message());
  if (!complaint.empty() && complaint != complaint_) {
    options_.log(absl::StrCat("the new certificate can't be used, the one before stays in use: ", complaint));
  }
  complaint_ = complaint;
  if (material.ok() && *material != current_.material) {
    current_ = {*std::move(material), current_.version + 1};
    options_.log("a new certificate is in use for new connections");
  }
  return current_;
}

}  // namespace pixelrec::rpc
