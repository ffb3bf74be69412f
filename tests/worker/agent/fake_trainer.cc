// A trainer without mathematics: a real process that speaks the channel and follows a script from its plan.
//
// The script is the label "script.<rank>" of the spec, else "script"; "@FILE" reads it from a file, as labels are short. Steps
// are separated by ';' (a path may hold none):
//   hello | store | await_rendezvous | started | prepared HASH | step N | epoch N | stage NAME | await_committed | notice TEXT |
//   at SECTION-NUMBER | print TEXT | result | failure CAUSE-NUMBER | garbage | hangup | await_file PATH | await_stop | train PATH
//   | ignore_stop | signal N | exit N
// `at N` says where it is, where it usually is for a millisecond.
// `train PATH` steps every 10 ms until PATH exists (then goes on) or StopTraining comes (then exits 0).
// A plan of role PREPARE needs no script: hello, prepared, exit 0.
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/process/parent.h"
#include "pixelrec/v1/trainer_channel.pb.h"
#include "worker/channel/channel.h"
#include "worker/channel/position_page.h"

namespace pixelrec {
namespace {

namespace fs = std::filesystem;

class FakeTrainer {
 public:
  FakeTrainer(int channel_fd, channel::PositionPage position) : channel_(channel_fd), position_(std::move(position)) {}

  int Run() {
    Receive();
    if (!plan_.has_spec() && plan_.role() == v1::TRAINER_ROLE_UNSPECIFIED) return 90;
    const auto& labels = plan_.spec().labels();
    const std::string mine = absl::StrCat("script.", plan_.rank());
    std::string script = plan_.role() == v1::TRAINER_ROLE_PREPARE ? "hello;prepared fake-hash;exit 0"
                         : labels.contains(mine)                  ? labels.at(mine)
                         : labels.contains("script")              ? labels.at("script")
                                                                  : "hello;exit 0";
    if (script[0] == '@') std::getline(std::ifstream(script.substr(1)), script);
    for (absl::string_view step : absl::StrSplit(script, ';')) {
      const std::pair<std::string, std::string> parts = absl::StrSplit(step, absl::MaxSplits(' ', 1));
      Do(parts.first, parts.second);
    }
    return 0;
  }

 private:
  void Do(const std::string& what, const std::string& argument) {
    int number = 0;
    (void)absl::SimpleAtoi(argument, &number);
    if (what == "exit") std::exit(number);
    if (what == "signal") {
      signal(number, SIG_DFL);  // a sanitizer would turn it into an exit code
      raise(number);
      pause();
    }
    if (what == "print") {
      std::fprintf(stderr, "%s\n", argument.c_str());
    } else if (what == "garbage") {
      if (write(channel_.fd(), "\xff\xff\xff\xff", 4) != 4) std::exit(91);
      for (;;) pause();
    } else if (what == "hangup") {
      channel_.Shutdown();
      for (;;) pause();
    } else if (what == "ignore_stop") {
      for (;;) Receive();
    } else if (what == "await_stop") {
      while (!stop_) Receive();
    } else if (what == "await_rendezvous") {
      while (!met_) Receive();
    } else if (what == "await_committed") {
      while (committed_ < staged_) Receive();
    } else if (what == "await_file") {
      while (!fs::exists(argument)) Wait(5);
    } else if (what == "at") {
      position_.Write(
          {.section = number, .step = step_, .since = std::chrono::steady_clock::now(), .typical = std::chrono::milliseconds(1)});
    } else if (what == "train") {
      Train(argument);
    } else {
      Report(what, argument, number);
    }
  }

  void Report(const std::string& what, const std::string& argument, int number) {
    v1::TrainerReport report;
    if (what == "hello") {
      report.mutable_hello()->set_pid(getpid());
    } else if (what == "store") {
      report.mutable_store_opened()->set_host("127.0.0.1");
      report.mutable_store_opened()->set_port(29500);
    } else if (what == "started") {
      report.mutable_training_started()->set_step(plan_.resume_from().step());
    } else if (what == "prepared") {
      report.mutable_dataset_prepared()->set_data_hash(argument);
    } else if (what == "step") {
      for (int i = 0; i < number; ++i) Step();
      return;
    } else if (what == "epoch") {
      report.mutable_epoch_result()->set_epoch(number);
      report.mutable_epoch_result()->set_step(step_);
      report.mutable_epoch_result()->set_validation_loss(5.0 - number);
    } else if (what == "stage") {
      Stage(argument, *report.mutable_artifact_staged());
    } else if (what == "notice") {
      report.mutable_notice()->set_text(argument);
    } else if (what == "result") {
      report.mutable_result()->set_samples(step_);
    } else if (what == "failure") {
      report.mutable_failure()->set_cause(static_cast<v1::FailureCause>(number));
      report.mutable_failure()->set_message("the script says so");
    } else {
      std::fprintf(stderr, "no such step: %s\n", what.c_str());
      std::exit(92);
    }
    Send(std::move(report));
  }

  void Stage(const std::string& name, v1::Artifact& artifact) {
    const fs::path output = plan_.spec().output_dir();
    const fs::path staging =
        output / ".staging" / absl::StrCat("g", generation_, "-", absl::StrJoin(absl::StrSplit(name, '/'), "-"));
    fs::create_directories(staging);
    std::ofstream(staging / "manifest.json") << "generation " << generation_;
    const bool best = name == "best_model", recovery = name.rfind("recovery/", 0) == 0;
    artifact.set_kind(best       ? v1::ARTIFACT_KIND_BEST_MODEL
                      : recovery ? v1::ARTIFACT_KIND_RECOVERY_CHECKPOINT
                                 : v1::ARTIFACT_KIND_EPOCH_CHECKPOINT);
    artifact.set_path((output / name).string());
    artifact.set_staging_path(staging.string());
    artifact.set_step(step_);
    artifact.set_bytes(100);
    ++staged_;
  }

  void Train(const std::string& until) {
    while (!fs::exists(until)) {
      Step();
      Wait(10);
      if (stop_) std::exit(0);
    }
  }

  void Step() {
    ++step_;
    v1::TrainerReport timings;
    timings.mutable_step_timings()->set_step(step_);
    timings.mutable_step_timings()->set_loss(5);
    timings.mutable_step_timings()->set_samples(1);
    timings.mutable_step_timings()->set_resident_bytes(1 << 20);
    Send(std::move(timings));
    v1::TrainerReport progress;
    progress.mutable_progress()->set_step(step_);
    progress.mutable_progress()->set_section("train");
    Send(std::move(progress));
  }

  void Send(v1::TrainerReport report) {
    report.set_job_id(job_id_);
    report.set_generation(generation_);
    report.set_rank(plan_.rank());
    if (!channel_.Write(report).ok()) std::exit(93);  // the worker is gone
  }

  // Up to `ms` for the next command.
  void Wait(int ms) {
    pollfd wait{channel_.fd(), POLLIN, 0};
    if (poll(&wait, 1, ms) > 0) Receive();
  }

  void Receive() {
    v1::TrainerCommand command;
    if (!channel_.Read(command).ok()) std::exit(93);
    if (command.has_plan()) {
      plan_ = command.plan();
      job_id_ = command.job_id();
      generation_ = command.generation();
    }
    met_ = met_ || command.has_rendezvous();
    stop_ = stop_ || command.has_stop();
    committed_ += command.has_artifact_committed();
  }

  channel::Channel channel_;
  channel::PositionPage position_;
  v1::TrainerPlan plan_;
  std::string job_id_;
  uint64_t generation_ = 0;
  int64_t step_ = 0;
  int staged_ = 0, committed_ = 0;
  bool met_ = false, stop_ = false;
};

}  // namespace
}  // namespace pixelrec

int main(int argc, char** argv) {
  int channel = -1, position = -1;
  if (argc != 5 || std::string(argv[1]) != "--channel-fd" || !absl::SimpleAtoi(argv[2], &channel)) return 94;
  if (std::string(argv[3]) != "--position-fd" || !absl::SimpleAtoi(argv[4], &position)) return 94;
  auto page = pixelrec::channel::PositionPage::Open(position);
  if (!page.ok()) return 96;
  if (!pixelrec::process::DieWithPeer(channel).ok()) return 95;
  return pixelrec::FakeTrainer(channel, *std::move(page)).Run();
}
