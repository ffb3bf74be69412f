// A registry of the metrics in catalogue.h and the HTTP endpoint that shows them.
//
// Threads: any.
#pragma once

#include <memory>
#include <string>

#include <prometheus/exposer.h>
#include <prometheus/registry.h>

#include "absl/status/statusor.h"

namespace pixelrec::metrics {

class Exposer {
 public:
  // Serves /metrics on `address` ("127.0.0.1:0": any free port). UNAVAILABLE: the address is in use or can't be bound.
  static absl::StatusOr<std::unique_ptr<Exposer>> Start(const std::string& address);

  ~Exposer();
  Exposer(const Exposer&) = delete;
  Exposer& operator=(const Exposer&) = delete;

  prometheus::Registry& registry() { return *registry_; }
  // host:port really bound.
  const std::string& address() const { return address_; }

 private:
  Exposer() = default;
  std::shared_ptr<prometheus::Registry> registry_;  // owners: this, exposer_ (collects from it)
  std::unique_ptr<prometheus::Exposer> exposer_;
  std::string address_;
};

}  // namespace pixelrec::metrics
