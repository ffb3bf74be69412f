// Runs the transcripts in testdata/: commands to the pure machine and everything that it answers, orders, and writes down.
//
// A file holds blocks: command lines, "----", the full output, an empty line. To write what the machine does now into the files,
// and then to read the difference in version control:  PIXELREC_REWRITE=1 ctest -R coordinator_state_transcript
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "coordinator/state/checkpoint_list.h"
#include "coordinator/state/failures.h"
#include "google/protobuf/util/time_util.h"
#include "tests/coordinator/state/simulation.h"

namespace pixelrec::coordinator {
namespace {

namespace fs = std::filesystem;

// "report w1 flow staged kind=recovery path=/p" -> words before the first key=value, and the values by key.
struct Command {
  std::vector<std::string> words;
  std::map<std::string, std::string> values;

  explicit Command(const std::string& line) {
    for (const absl::string_view token : absl::StrSplit(line, ' ', absl::SkipEmpty())) {
      std::pair<std::string, std::string> pair = absl::StrSplit(token, absl::MaxSplits('=', 1));
      if (absl::StrContains(token, "=")) {
        values[pair.first] = pair.second;
      } else {
        words.emplace_back(token);
      }
    }
  }
  std::string Word(size_t i) const { return i < words.size() ? words[i] : ""; }
  std::string Text(const std::string& key, const std::string& fallback = "") const {
    auto it = values.find(key);
    return it == values.end() ? fallback : it->second;
  }
  int Int(const std::string& key, int fallback = 0) const {
    auto it = values.find(key);
    int value = fallback;
    if (it != values.end() && !absl::SimpleAtoi(it->second, &value)) {
      ADD_FAILURE() << key << " is not a number: " << it->second;
    }
    return value;
  }
};

std::string StateName(v1::JobState state) { return std::string(absl::StripPrefix(v1::JobState_Name(state), "JOB_STATE_")); }

std::string Show(const v1::Artifact& a) {
  return absl::StrCat(absl::StripPrefix(v1::ArtifactKind_Name(a.kind()), "ARTIFACT_KIND_"), " ", a.path(), " step ", a.step(),
                      " of g", a.generation());
}

std::string Show(const v1::JobEvent& event) {
  std::string text = absl::StrCat("event ", event.job_id(), "/g", event.generation(), " #", event.sequence(), " ");
  if (event.has_state_change()) {
    const v1::StateChange& change = event.state_change();
    absl::StrAppend(&text, StateName(change.from()), " -> ", StateName(change.to()), ": ", change.reason());
  } else if (event.has_failure()) {
    absl::StrAppend(&text, "failure ", CauseName(event.failure().cause()), ": ", Describe(event.failure()));
  } else if (event.has_artifact()) {
    absl::StrAppend(&text, "artifact ", Show(event.artifact()));
  } else if (event.has_progress()) {
    absl::StrAppend(&text, "progress step ", event.progress().step());
  } else if (event.has_epoch_result()) {
    absl::StrAppend(&text, "epoch ", event.epoch_result().epoch());
  } else if (event.has_dataset_prepared()) {
    absl::StrAppend(&text, "dataset ", event.dataset_prepared().data_hash());
  } else if (event.has_notice()) {
    absl::StrAppend(&text, "notice ", event.notice().text());
  } else if (event.has_result()) {
    absl::StrAppend(&text, "result");
  }
  return text;
}

std::string ShowStart(const v1::StartRank& start) {
  const v1::TrainerPlan& plan = start.plan();
  std::string text = absl::StrCat("start ", start.job_id(), "/g", start.generation(), " ",
                                  absl::StripPrefix(v1::TrainerRole_Name(plan.role()), "TRAINER_ROLE_"), " rank ", plan.rank(),
                                  " of ", plan.world_size());
  if (!plan.data_hash().empty()) {
    absl::StrAppend(&text, " data ", plan.data_hash());
  }
  if (plan.has_resume_from()) {
    absl::StrAppend(&text, " from ", plan.resume_from().path(), " after ", plan.finished_epochs_size(), " epochs");
  }
  return text;
}

std::string Show(const v1::SessionResponse& message) {
  switch (message.body_case()) {
    case v1::SessionResponse::kRegistered:
      return "registered";
    case v1::SessionResponse::kStartRank:
      return ShowStart(message.start_rank());
    case v1::SessionResponse::kStopRank: {
      const v1::StopRank& stop = message.stop_rank();
      return absl::StrCat("stop ", stop.job_id(), "/g", stop.generation(), " rank ", stop.rank(),
                          stop.now() ? " now" : absl::StrCat(" within ", stop.grace().seconds(), " s"),
                          stop.stop().checkpoint() ? " with a checkpoint" : "");
    }
    case v1::SessionResponse::kSetRendezvous:
      return absl::StrCat("rendezvous ", message.set_rendezvous().job_id(), "/g", message.set_rendezvous().generation(), " rank ",
                          message.set_rendezvous().rank(), " at ", message.set_rendezvous().rendezvous().host(), ":",
                          message.set_rendezvous().rendezvous().port());
    case v1::SessionResponse::kCommitArtifact: {
      const v1::CommitArtifact& commit = message.commit_artifact();
      return absl::StrCat("commit ", Show(commit.artifact()), " by ", commit.job_id(), "/g", commit.generation(), " rank ",
                          commit.rank(),
                          commit.reap_size() > 0 ? absl::StrCat(", reap ", absl::StrJoin(commit.reap(), " ")) : "");
    }
    case v1::SessionResponse::kReportAck:
      return absl::StrCat("ack ", message.report_ack().job_id(), "/g", message.report_ack().generation(), " rank ",
                          message.report_ack().rank(), " #", message.report_ack().sequence());
    default:
      return "";
  }
}

class Transcript {
 public:
  std::string Run(const std::vector<std::string>& commands) {
    std::string output;
    for (const std::string& line : commands) {
      absl::StrAppend(&output, RunOne(Command(line)));
    }
    return output.empty() ? "(nothing)\n" : output;
  }

 private:
  std::string RunOne(const Command& c) {
    const std::string verb = c.Word(0);
    if (verb == "submit") return Print(Submit(c));
    if (verb == "cancel") return Print(sim_.Step(Cancel{c.Word(1), c.Word(2) == "now", c.Text("request")}));
    if (verb == "pause") return Print(sim_.Step(PauseJob{c.Word(1), c.Word(2) == "now", c.Text("request")}));
    if (verb == "resume") return Print(sim_.Step(ResumeJob{c.Word(1), c.Text("request")}));
    if (verb == "delete") return Print(sim_.Step(DeleteJob{c.Word(1), c.Text("request")}));
    if (verb == "drain") return Print(sim_.Step(DrainWorker{c.Word(1), DrainModeOf(c.Word(2)), c.Text("request")}));
    if (verb == "undrain") return Print(sim_.Step(UndrainWorker{c.Word(1), c.Text("request")}));
    if (verb == "connect") return Print(Connect(c));
    if (verb == "disconnect") return Print(sim_.Disconnect(c.Word(1)));
    if (verb == "report") return Print(Report(c));
    if (verb == "at") return Print(At(c));
    if (verb == "train") return Train(c);
    if (verb == "advance") return Advance(c);
    if (verb == "mute" || verb == "unmute") return sim_.Mute(c.Word(1), verb == "mute"), "";
    if (verb == "restart") return sim_.Restart(), "";
    if (verb == "refuse") return sim_.refuse_next(), "";
    if (verb == "job") return ShowJob(c.Word(1));
    if (verb == "checkpoints") return ShowCheckpoints(c.Word(1));
    if (verb == "workers") return ShowWorkers();
    ADD_FAILURE() << "unknown command " << verb;
    return "";
  }

  static v1::DrainMode DrainModeOf(const std::string& word) {
    return word == "finish" ? v1::DRAIN_MODE_LET_JOBS_FINISH : v1::DRAIN_MODE_UNSPECIFIED;
  }

  Outcome Submit(const Command& c) {
    v1::JobSpec spec = Simulation::Spec(c.Word(1), c.Int("workers", 1));
    spec.mutable_distributed()->set_min_workers(c.Int("min", spec.distributed().min_workers()));
    spec.mutable_distributed()->set_max_workers(c.Int("max", spec.distributed().max_workers()));
    spec.mutable_scheduling()->set_priority(c.Int("priority", 50));
    spec.mutable_scheduling()->mutable_max_restarts()->set_user(c.Int("user", 0));
    spec.mutable_scheduling()->mutable_max_restarts()->set_infrastructure(c.Int("infrastructure", 20));
    spec.mutable_scheduling()->mutable_max_restarts()->set_preemption(c.Int("preemption", -1));
    if (c.values.contains("limit")) {
      spec.mutable_scheduling()->mutable_time_limit()->set_seconds(c.Int("limit"));
    }
    spec.mutable_checkpoint()->set_keep(c.Int("keep", 2));
    spec.set_output_dir(c.Text("output", spec.output_dir()));
    return sim_.Submit(spec, c.Text("request"));
  }

  Outcome Connect(const Command& c) {
    std::vector<v1::RunningRank> running;
    if (c.values.contains("running")) {
      const std::vector<std::string> parts = absl::StrSplit(c.Text("running"), '/');
      v1::RunningRank& rank = running.emplace_back();
      int generation = 0, number = 0;
      EXPECT_TRUE(parts.size() == 3 && absl::SimpleAtoi(parts[1], &generation) && absl::SimpleAtoi(parts[2], &number));
      rank.set_job_id(parts[0]);
      rank.set_generation(static_cast<uint64_t>(generation));
      rank.set_rank(number);
    }
    return sim_.Connect(c.Word(1), static_cast<uint64_t>(c.Int("incarnation", 1)), c.Text("host", "host-a"), running);
  }

  Outcome Report(const Command& c) {
    v1::RankReport report;
    if (c.values.contains("gen")) {
      report.set_generation(static_cast<uint64_t>(c.Int("gen")));
      report.set_rank(c.Int("rank"));
    }
    report.set_sequence(static_cast<uint64_t>(c.Int("seq")));
    FillBody(c, c.Word(3), report);
    return sim_.Report(c.Word(1), c.Word(2), report);
  }

  // "at w1 flow FORWARD step=3 collective=7 lasts=200 typical=60 waits=1 stopped=1": a beat of the worker, times in milliseconds.
  Outcome At(const Command& c) {
    v1::RankPosition position;
    v1::TrainerSection section = v1::TRAINER_SECTION_UNSPECIFIED;
    EXPECT_TRUE(v1::TrainerSection_Parse("TRAINER_SECTION_" + c.Word(3), &section)) << c.Word(3);
    position.set_section(section);
    position.set_step(c.Int("step"));
    position.set_collective(static_cast<uint64_t>(c.Int("collective")));
    position.set_waits(c.Int("waits") != 0);
    position.set_process_stopped(c.Int("stopped") != 0);
    *position.mutable_lasts() = google::protobuf::util::TimeUtil::MillisecondsToDuration(c.Int("lasts"));
    if (c.values.contains("typical"))
      *position.mutable_typical() = google::protobuf::util::TimeUtil::MillisecondsToDuration(c.Int("typical"));
    if (c.values.contains("gen")) position.set_generation(static_cast<uint64_t>(c.Int("gen")));
    return sim_.Beat(c.Word(1), c.Word(2), position);
  }

  static v1::FailureCause Cause(const Command& c) {
    v1::FailureCause cause = v1::FAILURE_CAUSE_UNSPECIFIED;
    EXPECT_TRUE(v1::FailureCause_Parse("FAILURE_CAUSE_" + c.Text("cause"), &cause)) << c.Text("cause");
    return cause;
  }

  static void FillBody(const Command& c, const std::string& kind, v1::RankReport& report) {
    v1::TrainerReport& trainer = *report.mutable_trainer();
    if (kind == "hello") {
      trainer.mutable_hello()->set_pid(c.Int("pid", 100));
    } else if (kind == "store") {
      trainer.mutable_store_opened()->set_port(c.Int("port", 4000));
    } else if (kind == "started") {
      trainer.mutable_training_started();
    } else if (kind == "progress") {
      trainer.mutable_progress()->set_step(c.Int("step"));
      trainer.mutable_progress()->set_section(c.Text("section", "train"));
      trainer.mutable_progress()->set_total_steps(c.Int("total"));
      trainer.mutable_progress()->set_eta_seconds(c.Int("eta"));
    } else if (kind == "prepared") {
      trainer.mutable_dataset_prepared()->set_data_hash(c.Text("hash", "h1"));
    } else if (kind == "epoch") {
      trainer.mutable_epoch_result()->set_epoch(c.Int("n"));
    } else if (kind == "staged") {
      v1::ArtifactKind artifact = v1::ARTIFACT_KIND_UNSPECIFIED;
      EXPECT_TRUE(v1::ArtifactKind_Parse("ARTIFACT_KIND_" + c.Text("kind"), &artifact)) << c.Text("kind");
      trainer.mutable_artifact_staged()->set_kind(artifact);
      trainer.mutable_artifact_staged()->set_path(c.Text("path"));
      trainer.mutable_artifact_staged()->set_step(c.Int("step"));
      trainer.mutable_artifact_staged()->set_epoch(c.Int("epoch"));
    } else if (kind == "notice") {
      trainer.mutable_notice()->set_text(c.Text("text"));
    } else if (kind == "failure") {
      trainer.mutable_failure()->set_cause(Cause(c));
      trainer.mutable_failure()->set_message(c.Text("message", "it-broke"));
      trainer.mutable_failure()->set_checkpoint(c.Text("checkpoint"));
    } else if (kind == "result") {
      trainer.mutable_result();
    } else if (kind == "exit") {
      report.mutable_exited()->set_exit_code(c.Int("code"));
      report.mutable_exited()->set_signal(c.Int("signal"));
      report.mutable_exited()->set_stderr_tail(c.Text("tail"));
    } else if (kind == "published") {
      report.mutable_artifact_published()->set_path(c.Text("path"));
      report.mutable_artifact_published()->set_generation(static_cast<uint64_t>(c.Int("by")));
    } else if (kind == "publish_failed") {
      report.mutable_publish_failed()->set_cause(Cause(c));
      report.mutable_publish_failed()->set_message("it-broke");
      report.mutable_publish_failed()->set_checkpoint(c.Text("path"));
    } else {
      ADD_FAILURE() << "unknown report " << kind;
    }
  }

  // "train flow w1 w2": what it takes from the first start order to RUNNING, without printing it.
  std::string Train(const Command& c) {
    const std::string job = c.Word(1);
    auto say = [&](const std::string& worker, const std::string& kind) {
      v1::RankReport report;
      FillBody(c, kind, report);
      sim_.Report(worker, job, report);
    };
    if (sim_.Job(job).job().state() == v1::JOB_STATE_PREPARING) {
      say(c.Word(2), "prepared");
      say(c.Word(2), "exit");
    }
    for (size_t i = 2; i < c.words.size(); ++i) {
      say(c.words[i], "hello");
    }
    say(c.Word(2), "store");
    for (size_t i = 2; i < c.words.size(); ++i) {
      say(c.words[i], "started");
    }
    return absl::StrCat(job, " is ", StateName(sim_.Job(job).job().state()), "\n");
  }

  std::string Advance(const Command& c) {
    int milliseconds = 0;
    EXPECT_TRUE(absl::SimpleAtoi(c.Word(1), &milliseconds));
    std::string output;
    for (const Outcome& outcome : sim_.Advance(std::chrono::milliseconds(milliseconds))) {
      absl::StrAppend(&output, Print(outcome));
    }
    return output;
  }

  static std::string Print(const Outcome& outcome) {
    std::string output;
    if (outcome.deletion.has_value()) {
      absl::StrAppend(&output, "deleted ", outcome.deletion->job_id(), ", files in ", outcome.deletion->output_dir(), "\n");
    }
    if (!outcome.status.ok()) {
      absl::StrAppend(&output, "refused ", absl::StatusCodeToString(outcome.status.code()), ": ", outcome.status.message(), "\n");
    }
    for (const Action& action : outcome.actions) {
      if (const auto* send = std::get_if<SendToWorker>(&action)) {
        if (send->message.has_beat_ack()) continue;
        absl::StrAppend(&output, "-> ", send->worker_id, ": ", Show(send->message), "\n");
      } else if (const auto* close = std::get_if<CloseSession>(&action)) {
        absl::StrAppend(&output, "-> ", close->worker_id, ": close ", absl::StatusCodeToString(close->status.code()), ": ",
                        close->status.message(), "\n");
      } else if (const auto* publish = std::get_if<PublishEvent>(&action)) {
        absl::StrAppend(&output, Show(publish->event), "\n");
      }
    }
    return output;
  }

  std::string ShowJob(const std::string& name) const {
    const JobEntry& entry = sim_.Job(name);
    const v1::Job job = ViewJob(sim_.state(), entry, sim_.now());
    std::string output =
        absl::StrCat(job.job_id(), " ", StateName(job.state()), " g", job.generation(), ": ", job.reason(), "\n");
    for (const v1::RankPlacement& rank : job.ranks()) {
      absl::StrAppend(&output, "  rank ", rank.rank(), " on ", rank.worker_id(), " pid ", rank.pid(), "\n");
    }
    for (const v1::Artifact& artifact : entry.record.checkpoints()) {
      absl::StrAppend(&output, "  checkpoint ", Show(artifact), "\n");
    }
    for (const v1::Artifact& artifact : entry.record.unpublished()) {
      absl::StrAppend(&output, "  unpublished ", Show(artifact), "\n");
    }
    if (job.has_best_model()) {
      absl::StrAppend(&output, "  best ", Show(job.best_model()), "\n");
    }
    if (job.user_restarts() + job.infrastructure_restarts() > 0) {
      absl::StrAppend(&output, "  restarts: ", job.user_restarts(), " user, ", job.infrastructure_restarts(),
                      " infrastructure\n");
    }
    if (job.preemptions() > 0) {
      absl::StrAppend(&output, "  preempted ", job.preemptions(), job.preemptions() == 1 ? " time\n" : " times\n");
    }
    if (job.spec().scheduling().has_time_limit()) {
      absl::StrAppend(&output, "  ran for ", job.run_time().seconds(), " s of ", job.spec().scheduling().time_limit().seconds(),
                      " s\n");
    }
    if (job.has_failure()) {
      absl::StrAppend(&output, "  failure ", CauseName(job.failure().cause()), " rank ", job.failure().rank(),
                      job.failure().cause() == v1::FAILURE_CAUSE_TIME_LIMIT ? absl::StrCat(": ", job.failure().hint()) : "",
                      "\n");
    }
    return output;
  }

  std::string ShowCheckpoints(const std::string& name) const {
    std::string output;
    for (const v1::Checkpoint& c : CheckpointsOf(sim_.Job(name))) {
      absl::StrAppend(
          &output, Show(c.artifact()), ": ", absl::StripPrefix(v1::CheckpointState_Name(c.state()), "CHECKPOINT_STATE_"),
          c.published() ? "" : ", not published", c.resume_point() ? ", resume point" : "", ", event ", c.event_sequence(), "\n");
    }
    return output.empty() ? "no checkpoints\n" : output;
  }

  std::string ShowWorkers() const {
    std::string output;
    for (const auto& [id, entry] : sim_.state().workers) {
      const v1::Worker worker = ViewWorker(entry);
      absl::StrAppend(&output, id, " ", absl::StripPrefix(v1::WorkerState_Name(worker.state()), "WORKER_STATE_"),
                      worker.job_id().empty() ? "" : absl::StrCat(" ", worker.job_id(), " rank ", worker.rank()), "\n");
    }
    return output;
  }

  Simulation sim_;
};

class TranscriptTest : public ::testing::TestWithParam<std::string> {};

TEST_P(TranscriptTest, SaysWhatItSaid) {
  const fs::path file = fs::path(PIXELREC_SOURCE_DIR) / "tests/coordinator/state/testdata" / GetParam();
  std::ifstream in(file);
  ASSERT_TRUE(in) << file;
  Transcript transcript;
  std::string before, after, line;
  std::vector<std::string> commands;
  bool expecting = false;
  while (std::getline(in, line)) {
    absl::StrAppend(&before, line, "\n");
    if (expecting) {
      expecting = !line.empty();
      if (line.empty()) absl::StrAppend(&after, "\n");
    } else if (line == "----") {
      absl::StrAppend(&after, line, "\n", transcript.Run(commands));
      commands.clear();
      expecting = true;
    } else {
      absl::StrAppend(&after, line, "\n");
      if (!line.empty() && line[0] != '#') commands.push_back(line);
    }
  }
  ASSERT_TRUE(commands.empty()) << "the last commands have no ----";
  if (std::getenv("PIXELREC_REWRITE") != nullptr) {
    std::ofstream(file) << after;
  } else {
    EXPECT_EQ(before, after) << "\nIf this is what it should do: PIXELREC_REWRITE=1, and read the difference.";
  }
}

std::vector<std::string> Files() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fs::path(PIXELREC_SOURCE_DIR) / "tests/coordinator/state/testdata")) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Files, TranscriptTest, ::testing::ValuesIn(Files()), [](const auto& test) {
  std::string name = test.param.substr(0, test.param.find('.'));
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
});

}  // namespace
}  // namespace pixelrec::coordinator
