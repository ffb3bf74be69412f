// pixelrecctl against a coordinator whose answers the test decides.
#pragma once

#include <memory>

#include "tests/ctl/ctl_process.h"
#include "tests/ctl/fake_job_service.h"
#include "tests/ctl/sample_job.h"

namespace pixelrec::ctl {

class ServedCtl : public CtlProcess {
 protected:
  void SetUp() override {
    CtlProcess::SetUp();
    service_.get = [](const v1::GetJobRequest& request) -> absl::StatusOr<v1::GetJobResponse> {
      if (request.job() == "nothing") return FakeJobService::NotFound();
      v1::GetJobResponse response;
      *response.mutable_job() = FinishedJob();
      return response;
    };
    server_ = service_.Serve();
    extra_environment_ = {"PIXELREC_SERVER=" + server_->address()};
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Stop(std::chrono::milliseconds(0));
    CtlProcess::TearDown();
  }

  FakeJobService service_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace pixelrec::ctl
