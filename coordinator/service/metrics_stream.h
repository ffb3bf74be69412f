// The server's end of JobService.StreamMetrics. It pulls points out of the series as fast as its reader takes them, so that a
// slow reader costs neither memory nor anybody's time: what it misses meanwhile lies in the series, which may thin it out.
//
// Threads: any.
#pragma once

#include <functional>
#include <memory>

#include <grpcpp/support/server_callback.h>

#include "coordinator/engine/engine.h"
#include "coordinator/series/series.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::coordinator {

class MetricsStream final : public grpc::ServerWriteReactor<v1::StreamMetricsResponse> {
 public:
  // Deletes itself when the stream is done. `still_good`: whether the reader may still read, asked whenever there is something
  // new.
  MetricsStream(Engine& engine, Series& series, const v1::StreamMetricsRequest& request,
                std::function<absl::Status()> still_good);

 private:
  class Core;  // owners: this, the engine while it listens, a read under way

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  std::shared_ptr<Core> core_;
};

}  // namespace pixelrec::coordinator
