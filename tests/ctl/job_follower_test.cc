// Following a job across the coordinator's death, its streams' ends and its own slowness.
#include "ctl/client/job_follower.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "tests/ctl/fake_job_service.h"
#include "tests/ctl/sample_job.h"

namespace pixelrec::ctl {
namespace {

v1::WatchJobResponse Update(uint64_t sequence) {
  v1::WatchJobResponse update;
  update.mutable_event()->set_sequence(sequence);
  update.mutable_event()->mutable_notice()->set_text("event");
  return update;
}

class Follower : public testing::Test {
 protected:
  void SetUp() override {
    service_.get = [this](const v1::GetJobRequest&) -> absl::StatusOr<v1::GetJobResponse> {
      v1::GetJobResponse response;
      *response.mutable_job() = ended_ ? FinishedJob() : SampleJob();
      return response;
    };
    server_ = service_.Serve();
    address_ = server_->address();
    auto client = JobClient::Open({.server = address_});
    ASSERT_TRUE(client.ok());
    client_ = *std::move(client);
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Stop(std::chrono::milliseconds(0));
  }

  absl::StatusOr<v1::Job> Follow(std::stop_token stop = {}, uint64_t after = 0) {
    JobFollower::Options options;
    options.job = "quickstart";
    options.after_sequence = after;
    options.first_pause = absl::Milliseconds(1);
    options.last_pause = absl::Milliseconds(10);
    JobFollower::Observer observer;
    observer.on_event = [this](const v1::JobEvent& event, const v1::Job&) { seen_.push_back(event.sequence()); };
    observer.on_connection = [this](bool lost) { connection_.push_back(lost); };
    return JobFollower(*client_, options, observer).Run(std::move(stop));
  }

  // A handler may still be waking up in one of these when its test has ended; the server waits for it.
  absl::Notification watching_;
  absl::Notification done_;
  FakeJobService service_;
  std::unique_ptr<rpc::Server> server_;
  std::string address_;
  std::unique_ptr<JobClient> client_;
  std::atomic<bool> ended_ = true;
  std::vector<uint64_t> seen_;
  std::vector<bool> connection_;
};

TEST_F(Follower, ResumesBehindTheLastEventWhenTheCoordinatorComesBack) {
  std::atomic<int> streams = 0;
  absl::Notification dying;
  absl::Notification first_done;
  service_.watch = [&](const v1::WatchJobRequest& request, grpc::ServerContext&,
                       FakeJobService::WatchWriter& writer) -> absl::Status {
    if (streams++ == 0) {
      writer.Write(Update(1));
      writer.Write(Update(2));
      writer.Write(Update(0));  // progress
      first_done.Notify();
      dying.WaitForNotification();
      return absl::UnavailableError("dying");
    }
    EXPECT_EQ(request.after_sequence(), 2u);
    writer.Write(Update(2));  // a repeat is dropped
    writer.Write(Update(3));
    return absl::OkStatus();
  };
  absl::StatusOr<v1::Job> job;
  std::thread follower([&] { job = Follow(); });
  first_done.WaitForNotification();
  dying.Notify();
  server_->Stop(std::chrono::milliseconds(0));
  server_.reset();
  server_ = service_.Serve(address_);
  follower.join();
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(seen_, (std::vector<uint64_t>{1, 2, 0, 3}));
  EXPECT_EQ(connection_, (std::vector<bool>{true, false}));
}

TEST_F(Follower, AReaderThatFellBehindResumes) {
  std::atomic<int> streams = 0;
  service_.watch = [&](const v1::WatchJobRequest& request, grpc::ServerContext&,
                       FakeJobService::WatchWriter& writer) -> absl::Status {
    const uint64_t next = request.after_sequence() + 1;
    writer.Write(Update(next));
    if (streams++ < 2) return rpc::Refuse(absl::StatusCode::kResourceExhausted, rpc::kReaderTooSlow, "too slow");
    return absl::OkStatus();
  };
  EXPECT_TRUE(Follow({}, 5).ok());
  EXPECT_EQ(seen_, (std::vector<uint64_t>{6, 7, 8}));
  EXPECT_TRUE(connection_.empty());
}

TEST_F(Follower, AStreamThatEndsBeforeTheJobIsOpenedAgain) {
  ended_ = false;
  std::atomic<int> streams = 0;
  service_.watch = [&](const v1::WatchJobRequest& request, grpc::ServerContext&, FakeJobService::WatchWriter& writer) {
    writer.Write(Update(request.after_sequence() + 1));
    if (++streams == 3) ended_ = true;
    return absl::OkStatus();
  };
  EXPECT_TRUE(Follow().ok());
  EXPECT_EQ(seen_, (std::vector<uint64_t>{1, 2, 3}));
}

TEST_F(Follower, StopsWhenAsked) {
  service_.watch = [&](const v1::WatchJobRequest&, grpc::ServerContext&, FakeJobService::WatchWriter& writer) {
    writer.Write(Update(1));
    watching_.Notify();
    done_.WaitForNotification();
    return absl::OkStatus();
  };
  std::stop_source stop;
  absl::StatusOr<v1::Job> job;
  std::thread follower([&] { job = Follow(stop.get_token()); });
  watching_.WaitForNotification();
  stop.request_stop();
  follower.join();
  done_.Notify();
  EXPECT_TRUE(absl::IsCancelled(job.status())) << job.status();
}

TEST_F(Follower, NamesAJobThatDoesNotExist) {
  service_.watch = [](const v1::WatchJobRequest&, grpc::ServerContext&, FakeJobService::WatchWriter&) {
    return FakeJobService::NotFound();
  };
  EXPECT_TRUE(absl::IsNotFound(Follow().status()));
}

TEST_F(Follower, ACoordinatorThatWasNeverThereIsAnErrorAtOnce) {
  server_->Stop(std::chrono::milliseconds(0));
  server_.reset();
  const auto job = Follow();
  EXPECT_TRUE(absl::IsUnavailable(job.status())) << job.status();
  EXPECT_TRUE(connection_.empty());
}

}  // namespace
}  // namespace pixelrec::ctl
