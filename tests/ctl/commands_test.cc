// The program as users and scripts meet it: words and exit codes, against a coordinator whose answers the test decides.
#include <gtest/gtest.h>
#include <signal.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "tests/ctl/ctl_process.h"
#include "tests/ctl/fake_job_service.h"
#include "tests/ctl/sample_job.h"

namespace pixelrec::ctl {
namespace {

class Commands : public CtlProcess {
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

  // A handler may still be waking up in one of these when its test has ended; the server waits for it.
  absl::Notification watching_;
  absl::Notification done_;
  FakeJobService service_;
  std::unique_ptr<rpc::Server> server_;
};

TEST_F(Commands, WrongUseExitsWith2) {
  EXPECT_EQ(Run({}).exit_code, 2);
  EXPECT_EQ(Run({"frobnicate"}).exit_code, 2);
  EXPECT_EQ(Run({"list", "-o", "xml"}).exit_code, 2);
  EXPECT_EQ(Run({"submit"}).exit_code, 2);
  const CtlRun run = Run({"list", "--state", "SLEEPING"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_EQ(run.output, "error: --state: no such state: SLEEPING; see pixelrecctl --help\n");
  EXPECT_EQ(Run({"recommend", "--job", "x"}).exit_code, 2);
  EXPECT_EQ(Run({"--help"}).exit_code, 0);
}

TEST_F(Commands, NoSuchJobExitsWith3) {
  const CtlRun run = Run({"describe", "nothing"});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_EQ(run.output, "error: no job is called \"nothing\"\n");
}

TEST_F(Commands, NoCoordinatorExitsWith6AndSaysHowToStartOne) {
  const std::string address = server_->address();
  server_->Stop(std::chrono::milliseconds(0));
  server_.reset();
  const CtlRun run = Run({"list"});
  EXPECT_EQ(run.exit_code, 6);
  EXPECT_EQ(run.output, "error: no coordinator answers at " + address +
                            "; `pixelrecctl local up` starts one on this machine, --server names another\n");
}

TEST_F(Commands, PermissionExitsWith5) {
  service_.list = [](const v1::ListJobsRequest&) { return absl::PermissionDeniedError("viewers may not list"); };
  EXPECT_EQ(Run({"list"}).exit_code, 5);
}

TEST_F(Commands, ListsJobsAsTableAndJson) {
  service_.list = [](const v1::ListJobsRequest& request) -> absl::StatusOr<v1::ListJobsResponse> {
    EXPECT_EQ(request.states_size(), 1);
    v1::ListJobsResponse response;
    *response.add_jobs() = FinishedJob();
    return response;
  };
  const CtlRun table = Run({"list", "--state", "succeeded"});
  EXPECT_EQ(table.exit_code, 0);
  EXPECT_TRUE(absl::StrContains(table.output, "quickstart-1a2b  quickstart  SUCCEEDED")) << table.output;
  const CtlRun json = Run({"list", "--state", "succeeded", "-o", "json"});
  EXPECT_TRUE(absl::StrContains(json.output, "\"job_id\": \"quickstart-1a2b\"")) << json.output;
}

TEST_F(Commands, SubmitSendsTheSpecWithDefaultsAndARequestId) {
  v1::SubmitJobRequest received;
  service_.submit = [&](const v1::SubmitJobRequest& request) -> absl::StatusOr<v1::SubmitJobResponse> {
    received = request;
    v1::SubmitJobResponse response;
    *response.mutable_job() = SampleJob();
    return response;
  };
  const CtlRun run = Run({"submit", JobFile(), "--set", "train.seed=7", "--set", "distributed.workers=2"});
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_EQ(run.output, "job quickstart-1a2b submitted\n  follow: pixelrecctl watch quickstart-1a2b\n");
  EXPECT_EQ(received.spec().train().seed(), 7u);
  EXPECT_EQ(received.spec().distributed().min_workers(), 2);
  EXPECT_EQ(received.spec().data().text_data(), (dir_ / "t.csv").string());
  EXPECT_TRUE(absl::StartsWith(received.request_id(), "ctl-"));
}

TEST_F(Commands, ADeepSpeedFileIsSentAsValuesAndItsIdleKeysAreSaid) {
  v1::SubmitJobRequest received;
  service_.submit = [&](const v1::SubmitJobRequest& request) -> absl::StatusOr<v1::SubmitJobResponse> {
    received = request;
    v1::SubmitJobResponse response;
    *response.mutable_job() = SampleJob();
    return response;
  };
  const std::string ds = (dir_ / "ds.json").string();
  std::ofstream(ds) << "{\"zero_optimization\": {\"stage\": 2,\n \"overlap_comm\": true}}";
  const std::string note =
      "note: " + ds +
      ":2:2: zero_optimization.overlap_comm: accepted, no effect because each stage has one schedule of collectives\n";
  const std::string job = JobFile("  distributed: {deepspeed_config: ds.json}\n");
  const CtlRun run = Run({"submit", job});
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_EQ(run.output, note + "job quickstart-1a2b submitted\n  follow: pixelrecctl watch quickstart-1a2b\n");
  EXPECT_EQ(received.spec().distributed().zero_stage(), 2);
  EXPECT_FALSE(received.spec().distributed().has_deepspeed_config());
  EXPECT_TRUE(absl::StartsWith(Run({"validate", job}).output, note));
  std::ofstream(ds) << "{\"fp16\": {\"enabled\": true}}";
  const CtlRun refused = Run({"submit", job});
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_TRUE(absl::StartsWith(refused.output, "error: " + ds + ":1:11: fp16.enabled: true is refused")) << refused.output;
}

TEST_F(Commands, ABadJobExitsWith4AndSubmitsNothing) {
  const CtlRun typo = Run({"submit", JobFile("  trian: {}\n")});
  EXPECT_EQ(typo.exit_code, 4);
  EXPECT_EQ(typo.output,
            "error: " + (dir_ / "job.yaml").string() + ":6:3: unknown key \"trian\" in spec; did you mean \"train\"?\n");
  const std::string file = JobFile();
  std::filesystem::remove(dir_ / "t.csv");
  const CtlRun missing = Run({"submit", file});
  EXPECT_EQ(missing.exit_code, 4);
  EXPECT_EQ(missing.output, "error: " + file + ":3:46: spec.data.text_data: no such file: " + (dir_ / "t.csv").string() + "\n");
  EXPECT_EQ(Run({"validate", file}).exit_code, 4);
  EXPECT_EQ(Run({"validate", file, "--skip-files"}).exit_code, 0);
  EXPECT_EQ(Run({"submit", (dir_ / "none.yaml").string()}).exit_code, 4);
}

TEST_F(Commands, TheCoordinatorsRefusalGetsItsLine) {
  service_.submit = [](const v1::SubmitJobRequest&) {
    return rpc::Refuse(absl::StatusCode::kInvalidArgument, rpc::kSpecInvalid, "spec.output_dir: outside the roots");
  };
  const CtlRun run = Run({"submit", JobFile()});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_EQ(run.output, "error: " + (dir_ / "job.yaml").string() + ":5:15: spec.output_dir: outside the roots\n");
}

TEST_F(Commands, WatchShowsTheStoryAndExitsByTheJobsEnd) {
  service_.watch = [](const v1::WatchJobRequest& request, grpc::ServerContext&, FakeJobService::WatchWriter& writer) {
    EXPECT_EQ(request.after_sequence(), 0u);
    v1::WatchJobResponse update;
    *update.mutable_job() = FinishedJob();
    *update.mutable_event() = FromText<v1::JobEvent>(
        "sequence: 1 time { seconds: 1764000000 } state_change { to: JOB_STATE_SUCCEEDED reason: 'done' }");
    writer.Write(update);
    return absl::OkStatus();
  };
  const CtlRun run = Run({"watch", "quickstart"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_TRUE(absl::StartsWith(run.output, "16:00:00  SUCCEEDED: done\n\nJob quickstart-1a2b succeeded.\n")) << run.output;
}

TEST_F(Commands, FailedAndCancelledJobsHaveTheirOwnExitCodes) {
  service_.watch = [](const v1::WatchJobRequest&, grpc::ServerContext&, FakeJobService::WatchWriter&) {
    return absl::OkStatus();
  };
  v1::JobState state = v1::JOB_STATE_FAILED;
  service_.get = [&](const v1::GetJobRequest&) -> absl::StatusOr<v1::GetJobResponse> {
    v1::GetJobResponse response;
    *response.mutable_job() = SampleJob();
    response.mutable_job()->set_state(state);
    return response;
  };
  EXPECT_EQ(Run({"watch", "quickstart"}).exit_code, 1);
  state = v1::JOB_STATE_CANCELLED;
  EXPECT_EQ(Run({"watch", "quickstart"}).exit_code, 7);
}

TEST_F(Commands, CtrlCDetachesAndSaysHowToComeBack) {
  service_.watch = [&](const v1::WatchJobRequest&, grpc::ServerContext&, FakeJobService::WatchWriter& writer) {
    v1::WatchJobResponse update;
    *update.mutable_job() = SampleJob();
    writer.Write(update);
    watching_.Notify();
    done_.WaitForNotification();
    return absl::OkStatus();
  };
  const auto child = Start({"watch", "quickstart"});
  watching_.WaitForNotification();
  child->Signal(SIGINT);
  const CtlRun run = Finish(*child);
  done_.Notify();
  EXPECT_EQ(run.exit_code, 8);
  EXPECT_EQ(run.output,
            "\ndetached from quickstart-1a2b; it goes on\n  re-attach: pixelrecctl watch quickstart-1a2b\n"
            "  cancel:    pixelrecctl cancel quickstart-1a2b\n");
}

TEST_F(Commands, CancelSaysSo) {
  service_.cancel = [](const v1::CancelJobRequest& request) -> absl::StatusOr<v1::CancelJobResponse> {
    if (request.job() == "ended")
      return rpc::Refuse(absl::StatusCode::kFailedPrecondition, rpc::kJobEnded, "job ended has ended already");
    EXPECT_TRUE(request.now());
    v1::CancelJobResponse response;
    *response.mutable_job() = SampleJob();
    return response;
  };
  EXPECT_EQ(Run({"cancel", "quickstart", "--now"}).output, "job quickstart-1a2b is being cancelled (RUNNING)\n");
  EXPECT_EQ(Run({"cancel", "ended"}).exit_code, 4);
}

TEST_F(Commands, PauseAndResumeSaySo) {
  service_.pause = [](const v1::PauseJobRequest& request) -> absl::StatusOr<v1::PauseJobResponse> {
    if (request.job() == "ended")
      return rpc::Refuse(absl::StatusCode::kFailedPrecondition, rpc::kJobEnded, "it has ended already");
    EXPECT_TRUE(absl::StartsWith(request.request_id(), "ctl-"));
    v1::PauseJobResponse response;
    *response.mutable_job() = SampleJob();
    response.mutable_job()->set_state(request.now() ? v1::JOB_STATE_PAUSED : v1::JOB_STATE_RUNNING);
    return response;
  };
  service_.resume = [](const v1::ResumeJobRequest& request) -> absl::StatusOr<v1::ResumeJobResponse> {
    EXPECT_TRUE(absl::StartsWith(request.request_id(), "ctl-"));
    v1::ResumeJobResponse response;
    *response.mutable_job() = SampleJob();
    response.mutable_job()->set_state(v1::JOB_STATE_PENDING);
    response.mutable_job()->set_reason("needs 2 workers; 1 idle");
    return response;
  };
  const std::string go_on = "\n  go on: pixelrecctl resume quickstart-1a2b\n";
  EXPECT_EQ(Run({"pause", "quickstart"}).output, "job quickstart-1a2b is being paused (RUNNING)" + go_on);
  EXPECT_EQ(Run({"pause", "quickstart", "--now"}).output, "job quickstart-1a2b is paused" + go_on);
  EXPECT_TRUE(absl::StrContains(Run({"pause", "quickstart", "--now", "-o", "json"}).output, "\"state\": \"JOB_STATE_PAUSED\""));
  EXPECT_EQ(Run({"pause", "ended"}).exit_code, 4);
  EXPECT_EQ(Run({"resume", "quickstart"}).output, "job quickstart-1a2b is resumed (PENDING: needs 2 workers; 1 idle)\n");
  EXPECT_EQ(Run({"resume"}).exit_code, 2);
}

TEST_F(Commands, DeleteSaysWhereTheFilesAre) {
  service_.remove = [](const v1::DeleteJobRequest& request) -> absl::StatusOr<v1::DeleteJobResponse> {
    if (request.job() == "nothing") return FakeJobService::NotFound();
    if (request.job() == "runs") return rpc::Refuse(absl::StatusCode::kFailedPrecondition, rpc::kJobNotEnded, "cancel it first");
    EXPECT_TRUE(absl::StartsWith(request.request_id(), "ctl-"));
    v1::DeleteJobResponse response;
    response.set_job_id("quickstart-1a2b");
    response.set_output_dir("/results/quickstart");
    return response;
  };
  const CtlRun run = Run({"delete", "quickstart"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.output, "job quickstart-1a2b is deleted; its files stay in /results/quickstart\n");
  EXPECT_EQ(Run({"delete", "quickstart", "-o", "yaml"}).output,
            "job_id: \"quickstart-1a2b\"\noutput_dir: \"/results/quickstart\"\n");
  EXPECT_EQ(Run({"delete", "nothing"}).exit_code, 3);
  EXPECT_EQ(Run({"delete", "runs"}).output, "error: cancel it first\n");
  EXPECT_EQ(Run({"delete", "runs"}).exit_code, 4);
}

TEST_F(Commands, WorkersAreDrainedAndUndrained) {
  service_.drain = [](const v1::DrainWorkerRequest& request) -> absl::StatusOr<v1::DrainWorkerResponse> {
    if (request.worker_id() == "w9") return rpc::Refuse(absl::StatusCode::kNotFound, rpc::kWorkerNotFound, "no worker 'w9'");
    v1::DrainWorkerResponse response;
    v1::Worker& worker = *response.mutable_worker();
    worker.set_worker_id(request.worker_id());
    worker.set_drain_mode(request.mode());
    worker.set_state(request.worker_id() == "w1" ? v1::WORKER_STATE_DRAINING : v1::WORKER_STATE_DRAINED);
    if (request.worker_id() == "w1") worker.set_job_id("a-1");
    return response;
  };
  service_.undrain = [](const v1::UndrainWorkerRequest& request) -> absl::StatusOr<v1::UndrainWorkerResponse> {
    v1::UndrainWorkerResponse response;
    response.mutable_worker()->set_worker_id(request.worker_id());
    response.mutable_worker()->set_state(v1::WORKER_STATE_IDLE);
    return response;
  };
  service_.workers = [](const v1::ListWorkersRequest&) -> absl::StatusOr<v1::ListWorkersResponse> {
    v1::ListWorkersResponse response;
    response.add_workers()->set_worker_id("w1");
    response.mutable_workers(0)->set_state(v1::WORKER_STATE_DRAINING);
    response.add_workers()->set_worker_id("w2");
    response.mutable_workers(1)->set_state(v1::WORKER_STATE_DRAINED);
    return response;
  };
  EXPECT_EQ(Run({"workers", "drain", "w1"}).output,
            "worker w1 is being drained: it still runs rank 0 of job a-1, which stops with a checkpoint and goes on elsewhere\n");
  EXPECT_EQ(Run({"workers", "drain", "w1", "--let-jobs-finish"}).output,
            "worker w1 is being drained: it still runs rank 0 of job a-1, to its end\n");
  EXPECT_EQ(Run({"workers", "drain", "w2"}).output, "worker w2 is drained: nothing runs there\n");
  EXPECT_TRUE(absl::StrContains(Run({"workers", "drain", "w2", "--let-jobs-finish", "-o", "json"}).output,
                                "\"drain_mode\": \"DRAIN_MODE_LET_JOBS_FINISH\""));
  EXPECT_EQ(Run({"workers", "undrain", "w1"}).output, "worker w1 gets ranks again\n");
  EXPECT_EQ(Run({"workers", "drain", "w9"}).exit_code, 3);
  EXPECT_EQ(Run({"workers", "drain"}).exit_code, 2);
  EXPECT_EQ(Run({"workers"}).exit_code, 2);
  const std::string list = Run({"workers", "list"}).output;
  EXPECT_TRUE(absl::StrContains(list, "w1      DRAINING") && absl::StrContains(list, "w2      DRAINED")) << list;
}

// A paused job is waited for.
TEST_F(Commands, WatchGoesOnOverAPause) {
  service_.watch = [](const v1::WatchJobRequest&, grpc::ServerContext&, FakeJobService::WatchWriter& writer) {
    const auto say = [&](const std::string& event, const v1::Job& job) {
      v1::WatchJobResponse update;
      *update.mutable_job() = job;
      *update.mutable_event() = FromText<v1::JobEvent>(event);
      writer.Write(update);
    };
    v1::Job paused = SampleJob();
    paused.set_state(v1::JOB_STATE_PAUSED);
    say("sequence: 1 time { seconds: 1764000000 } state_change { to: JOB_STATE_PAUSED reason: 'paused by the user' }", paused);
    say("sequence: 2 time { seconds: 1764000060 } state_change { to: JOB_STATE_PENDING reason: 'resumed' }", SampleJob());
    say("sequence: 3 time { seconds: 1764000120 } state_change { to: JOB_STATE_SUCCEEDED reason: 'done' }", FinishedJob());
    return absl::OkStatus();
  };
  const CtlRun run = Run({"watch", "quickstart"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_TRUE(absl::StartsWith(run.output,
                               "16:00:00  PAUSED: paused by the user\n16:01:00  PENDING: resumed\n16:02:00  SUCCEEDED: done\n"))
      << run.output;
}

TEST_F(Commands, LogsAreReadToTheirEnd) {
  service_.log = [](const v1::ReadJobLogRequest& request) -> absl::StatusOr<v1::ReadJobLogResponse> {
    EXPECT_EQ(request.rank(), 1);
    const std::string log = "line 1\nline 2\n";
    v1::ReadJobLogResponse response;
    const auto offset = static_cast<size_t>(request.offset());
    response.set_data(log.substr(offset, 5));
    response.set_next_offset(static_cast<int64_t>(offset + response.data().size()));
    response.set_ended(true);
    return response;
  };
  EXPECT_EQ(Run({"logs", "quickstart", "-r", "1"}).output, "line 1\nline 2\n");
}

TEST_F(Commands, RecommendBecomesTheTrainerWithTheJobsPaths) {
  service_.events = [](const v1::ListJobEventsRequest&) -> absl::StatusOr<v1::ListJobEventsResponse> {
    v1::ListJobEventsResponse response;
    response.add_events()->mutable_dataset_prepared()->set_path("/cache/datasets/abc");
    return response;
  };
  service_.get = [](const v1::GetJobRequest&) -> absl::StatusOr<v1::GetJobResponse> {
    v1::GetJobResponse response;
    *response.mutable_job() = FinishedJob();
    response.mutable_job()->mutable_best_model()->set_path("/out/best_model");
    return response;
  };
  extra_environment_.push_back("PIXELREC_TRAINER=/bin/echo");
  const CtlRun run = Run({"recommend", "--job", "quickstart", "--user", "u1", "--user", "u2", "-k", "3", "-o", "json"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.output,
            "recommend --model /out/best_model --dataset /cache/datasets/abc --k 3 --user u1 --user u2 --format json\n");
  extra_environment_.back() = "PIXELREC_TRAINER=/bin/false";
  EXPECT_EQ(Run({"recommend", "--model", "/m", "--dataset", "/d", "--history", "a,b"}).exit_code, 1);
}

TEST_F(Commands, ExportAndInspectBecomeTheTrainer) {
  service_.events = [](const v1::ListJobEventsRequest&) -> absl::StatusOr<v1::ListJobEventsResponse> {
    v1::ListJobEventsResponse response;
    response.add_events()->mutable_dataset_prepared()->set_path("/cache/datasets/abc");
    return response;
  };
  service_.get = [](const v1::GetJobRequest&) -> absl::StatusOr<v1::GetJobResponse> {
    v1::GetJobResponse response;
    *response.mutable_job() = FinishedJob();
    response.mutable_job()->mutable_best_model()->set_path("/out/best_model");
    return response;
  };
  extra_environment_.push_back("PIXELREC_TRAINER=/bin/echo");
  EXPECT_EQ(Run({"export", "quickstart", "--out", "x"}).output, "export /out/best_model --format hf --out x\n");
  EXPECT_EQ(Run({"export", "quickstart", "--out", "x", "--format", "embeddings", "--force"}).output,
            "export /out/best_model --format embeddings --out x --dataset /cache/datasets/abc --force\n");
  EXPECT_EQ(Run({"export", "/", "--out", "x", "--format", "reference-bin", "--item-model-dir", "m"}).output,
            "export / --format reference-bin --out x --item-model-dir m\n");
  // A name without a slash that is a folder here: said, since a job could have the same name.
  const auto here = Run({"export", ".", "--out", "x"});
  EXPECT_TRUE(absl::StrContains(here.output, "note: . is taken as what lies in this folder, not as a job")) << here.output;
  EXPECT_TRUE(absl::StrContains(here.output, "export . --format hf --out x\n")) << here.output;
  EXPECT_EQ(Run({"export", "/", "--out", "x", "--format", "embeddings"}).exit_code, 2);
  EXPECT_EQ(Run({"export", "/nonexistent/model", "--out", "x"}).exit_code, 3);
  EXPECT_EQ(Run({"export", "/", "--out", "x", "--format", "onnx"}).exit_code, 2);
  EXPECT_EQ(Run({"inspect", "some/path", "-o", "json"}).output, "inspect some/path --format json\n");
}

TEST_F(Commands, TokenizeEncodeAndBatchRecommendBecomeTheTrainer) {
  extra_environment_.push_back("PIXELREC_TRAINER=/bin/echo");
  EXPECT_EQ(Run({"tokenize", "--model", "m"}).output, "tokenize --model m\n");
  EXPECT_EQ(Run({"tokenize", "--model", "m", "lines.txt", "-o", "json"}).output,
            "tokenize --model m --format json -- lines.txt\n");
  EXPECT_EQ(Run({"tokenize"}).exit_code, 2);
  EXPECT_EQ(Run({"encode", "--model", "m", "--text-data", "t.csv", "--out", "o"}).output,
            "encode --model m --text-data t.csv --out o\n");
  EXPECT_EQ(Run({"encode", "--model", "m", "--text-data", "t.csv", "--out", "o", "--text-keys", "a,b", "--item-prompt", "",
                 "--max-text-length", "9"})
                .output,
            "encode --model m --text-data t.csv --out o --text-keys a,b --item-prompt= --max-text-length 9\n");
  EXPECT_EQ(Run({"encode", "--model", "m", "--out", "o"}).exit_code, 2);
  EXPECT_EQ(Run({"recommend", "--model", "m", "--dataset", "d", "--input", "h.csv", "--out", "r.csv"}).output,
            "recommend --model m --dataset d --k 5 --input h.csv --out r.csv --format table\n");
  EXPECT_EQ(Run({"recommend", "--model", "m", "--dataset", "d", "--item", "Heat", "--item", "Up, up"}).output,
            "recommend --model m --dataset d --k 5 --item=Heat --item=Up, up --format table\n");
  EXPECT_EQ(Run({"recommend", "--model", "m", "--dataset", "d", "--input", "h.csv"}).exit_code, 2);
}

TEST_F(Commands, DatasetGenerateBecomesTheTrainer) {
  const std::string trainer = Write("trainer.sh", "#!/bin/sh\necho \"$@\"\nexit 2\n");
  std::filesystem::permissions(trainer, std::filesystem::perms::owner_all);
  extra_environment_.push_back("PIXELREC_TRAINER=" + trainer);
  const CtlRun run = Run({"dataset", "generate", "--out", "made", "--users", "7", "--mean-events", "6.5"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_EQ(run.output, "generate-dataset --out made --users 7 --items 96000 --mean-events 6.5 --seed 42\n");
  EXPECT_EQ(Run({"dataset"}).exit_code, 2);
  EXPECT_EQ(Run({"dataset", "generate"}).exit_code, 2);
}

TEST_F(Commands, DatasetReportShowsWhatPrepareWrote) {
  std::filesystem::create_directories(dir_ / "cache");
  Write("cache/report.txt", "the text\n");
  Write("cache/report.json", "{}\n");
  Write("cache/report.html", "<html>\n");
  const std::string folder = (dir_ / "cache").string();
  EXPECT_EQ(Run({"dataset", "report", folder}).output, "the text\n\nwith pictures: " + folder + "/report.html\n");
  EXPECT_EQ(Run({"dataset", "report", folder, "-o", "json"}).output, "{}\n");
  EXPECT_EQ(Run({"dataset", "report", folder, "-o", "html"}).output, "<html>\n");
  service_.events = [&](const v1::ListJobEventsRequest& request) -> absl::StatusOr<v1::ListJobEventsResponse> {
    v1::ListJobEventsResponse response;
    if (request.job() == "demo") response.add_events()->mutable_dataset_prepared()->set_path(folder);
    return response;
  };
  EXPECT_EQ(Run({"dataset", "report", "demo", "-o", "json"}).output, "{}\n");
  EXPECT_EQ(Run({"dataset", "report", "waiting"}).output, "error: job waiting has no prepared dataset\n");
  EXPECT_EQ(Run({"dataset", "report", "no/folder"}).output, "error: no/folder: no such folder\n");
  std::filesystem::remove(dir_ / "cache/report.txt");
  const CtlRun gone = Run({"dataset", "report", folder});
  EXPECT_EQ(gone.exit_code, 3);
  EXPECT_TRUE(absl::StrContains(gone.output, "no prepared dataset with a report")) << gone.output;
}

TEST_F(Commands, InitWritesAJobAndKeepsAnExistingOne) {
  const std::string file = (dir_ / "new.yaml").string();
  EXPECT_EQ(Run({"init", file}).exit_code, 0);
  EXPECT_EQ(Run({"validate", "--skip-files", file}).exit_code, 0);
  const CtlRun again = Run({"init", file});
  EXPECT_EQ(again.exit_code, 4);
  EXPECT_EQ(again.output, "error: " + file + " exists; --force replaces it\n");
  EXPECT_EQ(Run({"init", file, "--force"}).exit_code, 0);
}

// A trainer that says what a test wants.
class AuditCommand : public Commands {
 protected:
  void SetUp() override {
    Commands::SetUp();
    service_.events = [](const v1::ListJobEventsRequest&) -> absl::StatusOr<v1::ListJobEventsResponse> {
      return FromText<v1::ListJobEventsResponse>(R"pb(
        events {
          sequence: 1
          generation: 1
          dataset_prepared { path: "/nowhere/abc123" }
        }
        events {
          sequence: 2
          generation: 2
          state_change { to: JOB_STATE_STARTING ranks: 2 }
        }
        events {
          sequence: 3
          generation: 2
          epoch_result { epoch: 1 step: 4 samples: 10 sample_digest: "d4" }
        }
      )pb");
    };
  }
  void TrainerSays(const std::string& script) {
    const std::string program = Write("trainer", "#!/bin/sh\n" + script + "\n");
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    extra_environment_.push_back("PIXELREC_TRAINER=" + program);
  }
  static std::string Samples(int64_t at_step_4) {
    return absl::StrCat(R"(echo '{"data_hash": "abc123", "samples": 10, "epochs": [{"epoch": 1, "step": 4, "samples": 10, )",
                        R"("distinct": 10}], "steps": [{"step": 4, "samples": )", at_step_4, R"(, "digest": "d4"}]}')");
  }
};

TEST_F(AuditCommand, ExitsWith0WhereEveryRecordIsAsExpected) {
  TrainerSays(
      R"(test "$1 $4 $5 $6" = "samples --dataset /data --step=4" || exit 9; grep -q '"name": "quickstart"' "$3" || exit 8; )" +
      Samples(10));
  const CtlRun run = Run({"audit", "quickstart", "--dataset", "/data"});
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_TRUE(absl::StrContains(run.output, "every sample was visited exactly once per epoch\n")) << run.output;
}

TEST_F(AuditCommand, ExitsWith1AndSaysWhatDiffers) {
  TrainerSays(Samples(11));
  const CtlRun run = Run({"audit", "quickstart", "--prepare-in", dir_.string(), "-o", "json"});
  EXPECT_EQ(run.exit_code, 1) << run.output;
  EXPECT_TRUE(absl::StrContains(run.output, "\"equal\": false")) << run.output;
  EXPECT_TRUE(absl::EndsWith(run.output, "error: epoch 1 (generation 2, step 4): 10 samples visited, 11 expected\n"))
      << run.output;
}

TEST_F(AuditCommand, SaysWhereDataAreMissing) {
  EXPECT_EQ(Run({"audit", "nothing"}).exit_code, 3);
  CtlRun run = Run({"audit", "quickstart"});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_EQ(
      run.output,
      "error: the prepared dataset /nowhere/abc123 is not on this machine: name a copy with --dataset DIR, or have the job's "
      "CSV files prepared again with --prepare-in DIR\n");
  EXPECT_EQ(Run({"audit", "quickstart", "--dataset", "a", "--prepare-in", "b"}).exit_code, 2);
  TrainerSays("echo 'error: /data: no such dataset' >&2; exit 3");
  run = Run({"audit", "quickstart", "--dataset", "/data"});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_EQ(run.output, "error: /data: no such dataset\n");
}

}  // namespace
}  // namespace pixelrec::ctl
