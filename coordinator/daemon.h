// The parts of the coordinator put together: journal, engine, services, server, /metrics.
//
// Threads: Start and Stop from one.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/metrics/exposer.h"
#include "common/rpc/auth/authenticator.h"
#include "common/rpc/server.h"
#include "coordinator/command_line.h"
#include "coordinator/engine/engine.h"
#include "coordinator/engine/instruments.h"
#include "coordinator/series/series.h"
#include "coordinator/service/access/audit_log.h"
#include "coordinator/service/access/gate.h"
#include "coordinator/service/job_service.h"
#include "coordinator/service/log_requests.h"
#include "coordinator/service/worker_service.h"

namespace pixelrec::coordinator {

class Daemon {
 public:
  // Serving on return. UNAVAILABLE: a port is in use, or another coordinator uses the state directory. FAILED_PRECONDITION: an
  // address that isn't loopback, without `roots`, TLS and authentication, or `insecure`. INVALID_ARGUMENT, NOT_FOUND: a
  // certificate, key or token file can't be used. DATA_LOSS: the journal is damaged.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const Settings& settings);
  ~Daemon();

  const std::string& grpc_address() const { return server_->address(); }
  const std::string& metrics_address() const { return exposer_->address(); }
  // Empty: no such port.
  std::string health_address() const { return health_ == nullptr ? "" : health_->address(); }
  // Not ready, refuses what is new, finishes what is under way. Idempotent.
  void Stop();

 private:
  Daemon() = default;
  absl::Status OpenAccess(const config::CoordinatorConfig& config);
  absl::Status StartServers(const config::CoordinatorConfig& config);

  std::unique_ptr<metrics::Exposer> exposer_;
  std::unique_ptr<Instruments> instruments_;
  std::unique_ptr<Series> series_;
  std::unique_ptr<Engine> engine_;
  LogRequests logs_;
  std::unique_ptr<rpc::Authenticator> authenticator_;  // null: everybody is the admin "local"
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<JobService> jobs_;
  std::unique_ptr<WorkerService> workers_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<rpc::Server> health_;  // of a port of its own; may be null
};

}  // namespace pixelrec::coordinator
