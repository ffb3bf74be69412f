#include "tests/integration/cluster.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/rpc/channel.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::integration {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

std::unique_ptr<grpc::ClientContext> Context() {
  auto context = std::make_unique<grpc::ClientContext>();
  rpc::SetDeadline(*context, std::chrono::seconds(20));
  context->set_wait_for_ready(true);  // the coordinator may be on its way back
  return context;
}

}  // namespace

Cluster::Cluster(Options options) : options_(std::move(options)) {
  std::ofstream(dir_ / "coordinator.yaml") << options_.coordinator_yaml;
  StartCoordinator();
  workers_.resize(static_cast<size_t>(options_.workers + options_.later_workers));
  worker_metrics_.resize(workers_.size());
  for (int i = 0; i < options_.workers; ++i) StartWorker(i);
  AwaitWorkers(options_.workers);
}

Cluster::~Cluster() {
  if (testing::Test::HasFailure()) std::fprintf(stderr, "%s", Logs().c_str());
  workers_.clear();
  coordinator_.reset();
}

std::string Cluster::Logs() const {
  std::string all;
  for (const auto& entry : fs::directory_iterator(dir_)) {
    if (entry.path().extension() == ".log") {
      absl::StrAppend(&all, "--- ", entry.path().filename().string(), "\n", storage::ReadFile(entry.path()).value_or(""));
    }
  }
  return all;
}

std::unique_ptr<process::Child> Cluster::Spawn(const std::string& program, std::vector<std::string> arguments,
                                               const std::string& name) {
  const fs::path ready = dir_ / (name + ".ready");
  fs::remove(ready);
  arguments.insert(arguments.end(), {"--ready-file", ready.string(), "--metrics-listen", "127.0.0.1:0"});
  auto child = process::Child::Spawn(
      {.program = fs::path(PIXELREC_BIN_DIR) / program,
       .arguments = std::move(arguments),
       .environment = process::AllowedEnvironment({"PATH", "LD_LIBRARY_PATH", "ASAN_*", "TSAN_*", "UBSAN_*"}),
       .output = dir_ / (name + ".log")});
  EXPECT_TRUE(child.ok()) << child.status();
  return *std::move(child);
}

std::string Cluster::AwaitReady(const process::Child& child, const std::string& name, const char* field) {
  const fs::path file = dir_ / (name + ".ready");
  for (const auto until = steady_clock::now() + options_.patience; !fs::exists(file);) {
    pollfd wait{child.pidfd(), POLLIN, 0};
    if (poll(&wait, 1, 5) != 0 || steady_clock::now() > until) {
      ADD_FAILURE() << name << " doesn't come up\n" << Logs();
      std::abort();
    }
  }
  return nlohmann::json::parse(storage::ReadFile(file).value_or("{}"))[field];
}

void Cluster::StartCoordinator() {
  coordinator_ =
      Spawn("pixelrec-coordinator",
            {"--config", (dir_ / "coordinator.yaml").string(), "--listen", address_, "--state-dir", (dir_ / "state").string()},
            "coordinator");
  address_ = AwaitReady(*coordinator_, "coordinator", "grpc");
  coordinator_metrics_ = AwaitReady(*coordinator_, "coordinator", "metrics");
  if (stub_ == nullptr) stub_ = v1::JobService::NewStub(rpc::OpenChannel(address_).value());
}

void Cluster::StartWorker(int index) {
  const std::string name = absl::StrCat("worker-", index);
  std::vector<std::string> arguments = {"--coordinator",       address_,
                                        "--worker-id",         name,
                                        "--work-dir",          (dir_ / name).string(),
                                        "--dataset-cache-dir", (dir_ / "cache").string(),
                                        "--trainer",           options_.trainer.string(),
                                        "--threads",           "1"};
  arguments.insert(arguments.end(), options_.worker_arguments.begin(), options_.worker_arguments.end());
  workers_.at(index) = Spawn("pixelrec-worker", std::move(arguments), name);
  worker_metrics_.at(index) = AwaitReady(*workers_.at(index), name, "metrics");
}

void Cluster::Signal(process::Child& child, int signal) {
  child.Signal(signal);
  if (signal != SIGKILL) return;
  pollfd wait{child.pidfd(), POLLIN, 0};
  EXPECT_EQ(poll(&wait, 1, 20'000), 1);
  child.Reap();
}

process::Exit Cluster::AwaitWorkerExit(int index) {
  pollfd wait{workers_.at(index)->pidfd(), POLLIN, 0};
  EXPECT_EQ(poll(&wait, 1, 60'000), 1) << "worker " << index << " doesn't end";
  return workers_.at(index)->Reap().value_or(process::Exit{-2, 0});
}

v1::Job Cluster::Submit(const v1::JobSpec& spec, const std::string& request_id) {
  v1::SubmitJobRequest request;
  *request.mutable_spec() = spec;
  request.set_request_id(request_id);
  v1::SubmitJobResponse response;
  const grpc::Status status = stub_->SubmitJob(Context().get(), request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.job();
}

v1::Job Cluster::Get(const std::string& job) {
  v1::GetJobRequest request;
  request.set_job(job);
  v1::GetJobResponse response;
  // A call that was under way when the coordinator was killed fails; the next one waits for its return.
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (stub_->GetJob(Context().get(), request, &response).ok()) break;
  }
  return response.job();
}

void Cluster::Cancel(const std::string& job, bool now) {
  v1::CancelJobRequest request;
  request.set_job(job);
  request.set_now(now);
  v1::CancelJobResponse response;
  const grpc::Status status = stub_->CancelJob(Context().get(), request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

v1::Job Cluster::Await(const std::string& job, const std::function<bool(const v1::Job&)>& condition, const std::string& what) {
  for (const auto until = steady_clock::now() + options_.patience;;) {
    v1::Job found = Get(job);
    if (condition(found)) return found;
    if (steady_clock::now() > until) {
      ADD_FAILURE() << "waited in vain for " << what << "; the job is\n"
                    << found.DebugString() << Story(Events(job)) << States(Events(job));
      return found;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void Cluster::AwaitFile(const fs::path& file) {
  for (const auto until = steady_clock::now() + options_.patience; !fs::exists(file);) {
    if (steady_clock::now() > until) {
      ADD_FAILURE() << "waited in vain for " << file;
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

v1::Job Cluster::AwaitState(const std::string& job, v1::JobState state) {
  const auto ended = [](v1::JobState s) {
    return s == v1::JOB_STATE_SUCCEEDED || s == v1::JOB_STATE_FAILED || s == v1::JOB_STATE_CANCELLED;
  };
  v1::Job found = Await(
      job, [&](const v1::Job& j) { return j.state() == state || ended(j.state()); }, v1::JobState_Name(state));
  EXPECT_EQ(v1::JobState_Name(found.state()), v1::JobState_Name(state)) << found.DebugString();
  return found;
}

std::vector<v1::JobEvent> Cluster::Events(const std::string& job) {
  v1::ListJobEventsRequest request;
  request.set_job(job);
  std::vector<v1::JobEvent> events;
  for (;;) {
    v1::ListJobEventsResponse response;
    const grpc::Status status = stub_->ListJobEvents(Context().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    for (const v1::JobEvent& event : response.events()) {
      events.push_back(event);
      EXPECT_EQ(event.sequence(), events.size());
    }
    if (!status.ok() || response.next_after_sequence() == 0) return events;
    request.set_after_sequence(response.next_after_sequence());
  }
}

std::vector<v1::MetricPoint> Cluster::Metrics(const std::string& job) {
  v1::StreamMetricsRequest request;
  request.set_job(job);
  const auto context = Context();
  const auto stream = stub_->StreamMetrics(context.get(), request);
  std::vector<v1::MetricPoint> points;
  for (v1::StreamMetricsResponse page; stream->Read(&page);) {
    points.insert(points.end(), page.points().begin(), page.points().end());
  }
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  return points;
}

std::string Cluster::Log(const std::string& job, int rank) {
  v1::ReadJobLogRequest request;
  request.set_job(job);
  request.set_rank(rank);
  v1::ReadJobLogResponse response;
  const grpc::Status status = stub_->ReadJobLog(Context().get(), request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.data();
}

std::vector<v1::Worker> Cluster::Workers() {
  v1::ListWorkersResponse response;
  const grpc::Status status = stub_->ListWorkers(Context().get(), v1::ListWorkersRequest(), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return {response.workers().begin(), response.workers().end()};
}

void Cluster::AwaitWorkers(int idle) {
  for (const auto until = steady_clock::now() + options_.patience;;) {
    int found = 0;
    for (const v1::Worker& worker : Workers()) found += worker.state() == v1::WORKER_STATE_IDLE;
    if (found >= idle) return;
    if (steady_clock::now() > until) {
      ADD_FAILURE() << "only " << found << " of " << idle << " workers are idle";
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

v1::JobSpec Cluster::Spec(const std::string& name, const std::vector<std::string>& scripts) const {
  v1::JobSpec spec;
  spec.set_kind("TrainingJob");
  spec.set_name(name);
  for (size_t rank = 0; rank < scripts.size(); ++rank) {
    const fs::path file = dir_ / absl::StrCat(name, ".", rank, ".script");
    std::ofstream(file) << scripts[rank] << "\n";
    (*spec.mutable_labels())[absl::StrCat("script.", rank)] = "@" + file.string();
  }
  spec.mutable_data()->set_interaction_data((dir_ / "interactions.csv").string());
  spec.mutable_data()->set_text_data((dir_ / "items.csv").string());
  spec.mutable_model()->set_item_model_dir((dir_ / "llm").string());
  spec.mutable_model()->set_user_model_dir((dir_ / "llm").string());
  spec.mutable_distributed()->set_workers(static_cast<int>(scripts.size()));
  spec.set_output_dir((dir_ / "results" / name).string());
  return spec;
}

std::string Story(const std::vector<v1::JobEvent>& events) {
  std::string story;
  for (const v1::JobEvent& event : events) {
    if (event.has_notice()) absl::StrAppend(&story, "notice ", event.notice().text(), "; ");
    if (event.has_epoch_result()) absl::StrAppend(&story, "epoch ", event.epoch_result().epoch(), "; ");
    if (event.has_artifact()) absl::StrAppend(&story, "artifact ", fs::path(event.artifact().path()).filename().string(), "; ");
    if (event.has_failure())
      absl::StrAppend(&story, "failure ", v1::FailureCause_Name(event.failure().cause()), " rank ", event.failure().rank(), "; ");
    if (event.has_result()) absl::StrAppend(&story, "result; ");
  }
  return story;
}

std::string States(const std::vector<v1::JobEvent>& events) {
  std::string states;
  for (const v1::JobEvent& event : events) {
    if (!event.has_state_change()) continue;
    absl::StrAppend(&states, states.empty() ? "" : " ", v1::JobState_Name(event.state_change().to()).substr(10));
  }
  return states;
}

}  // namespace pixelrec::integration
