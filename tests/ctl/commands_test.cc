// The program as users and scripts meet it: words and exit codes.
#include <gtest/gtest.h>
#include <signal.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "tests/ctl/served_ctl.h"

namespace pixelrec::ctl {
namespace {

class Commands : public ServedCtl {
 protected:
  // A handler may still be waking up in one of these when its test has ended; the server waits for it.
  absl::Notification watching_;
  absl::Notification done_;
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

}  // namespace
}  // namespace pixelrec::ctl
