#include "common/metrics/exposer.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace pixelrec::metrics {
namespace {

// Connects and hangs up. Failing is fine: then there is nothing to wake.
void Knock(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return;
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0) {
    (void)connect(fd, found->ai_addr, found->ai_addrlen);
    close(fd);
  }
  freeaddrinfo(found);
}

}  // namespace

// CivetWeb's accept loop looks at its stop flag only every 2 s, unless a connection wakes it.
Exposer::~Exposer() {
  if (exposer_ == nullptr) return;
  std::atomic<bool> stopped{false};
  std::thread knocker([this, &stopped] {
    const size_t colon = address_.rfind(':');
    while (!stopped) {
      Knock(address_.substr(0, colon), address_.substr(colon + 1));
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  exposer_.reset();
  stopped = true;
  knocker.join();
}

absl::StatusOr<std::unique_ptr<Exposer>> Exposer::Start(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = -1;
  // CivetWeb would read a comma as a second listener and an "s" behind the port as TLS.
  if (colon == std::string::npos || colon == 0 || address.find(',') != std::string::npos ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("metrics address '", address, "': expected HOST:PORT, for example 127.0.0.1:9464"));
  }
  std::unique_ptr<Exposer> self(new Exposer());
  self->registry_ = std::make_shared<prometheus::Registry>();
  try {
    self->exposer_ = std::make_unique<prometheus::Exposer>(address, /*num_threads=*/2);
  } catch (const std::exception&) {  // CivetException says nothing of the cause
    return absl::UnavailableError(
        absl::StrCat("can't serve /metrics on ", address,
                     ": the port is in use or the address is not of this host; choose another with --metrics-listen"));
  }
  const std::vector<int> ports = self->exposer_->GetListeningPorts();
  if (ports.empty()) return absl::UnavailableError(absl::StrCat("can't serve /metrics on ", address));
  self->address_ = absl::StrCat(address.substr(0, colon), ":", ports[0]);
  self->exposer_->RegisterCollectable(self->registry_);
  return self;
}

}  // namespace pixelrec::metrics
