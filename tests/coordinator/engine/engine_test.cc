#include "coordinator/engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>

#include "absl/synchronization/notification.h"
#include "common/rpc/reasons.h"
#include "coordinator/journal/journal.h"
#include "coordinator/state/view.h"
#include "tests/common/temporary_folder.h"

namespace pixelrec::coordinator {
namespace {

using std::chrono::milliseconds;

class RecordingSink final : public WorkerSink {
 public:
  void Send(v1::SessionResponse message) override {
    absl::MutexLock lock(&mu_);
    messages_.push_back(std::move(message));
  }
  void Close(const absl::Status& status) override {
    absl::MutexLock lock(&mu_);
    closed_ = status;
  }
  absl::optional<absl::Status> closed() {
    absl::MutexLock lock(&mu_);
    return closed_;
  }
  std::vector<v1::SessionResponse> messages() {
    absl::MutexLock lock(&mu_);
    return messages_;
  }

 private:
  absl::Mutex mu_;
  std::vector<v1::SessionResponse> messages_ ABSL_GUARDED_BY(mu_);
  absl::optional<absl::Status> closed_ ABSL_GUARDED_BY(mu_);
};

class RecordingListener final : public JobListener {
 public:
  void Changed(uint64_t durable_events) override { lengths.push_back(durable_events); }
  void Stopped(const absl::Status& status) override { stopped = status; }
  std::vector<uint64_t> lengths;  // read after Poke() or Stop() only
  absl::Status stopped;
};

class EngineTest : public ::testing::Test {
 protected:
  void Start(int64_t journal_max_bytes = 0, int64_t compact_after = 20000) {
    auto journal = Journal::Open({.path = dir_ / "journal.db", .max_bytes = journal_max_bytes});
    ASSERT_TRUE(journal.ok()) << journal.status();
    Engine::Options options;
    options.clock = [this] {
      absl::MutexLock lock(&mu_);
      return now_;
    };
    options.timed = false;
    options.compact_after = compact_after;
    auto engine = Engine::Start(options, *std::move(journal));
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }

  void Advance(milliseconds by) {
    {
      absl::MutexLock lock(&mu_);
      now_.wall += by;
      now_.steady += by;
    }
    engine_->Poke();
  }

  static v1::JobSpec Spec(const std::string& name) {
    v1::JobSpec spec;
    spec.set_name(name);
    spec.set_output_dir("/results/" + name);
    spec.mutable_distributed()->set_min_workers(1);
    spec.mutable_distributed()->set_max_workers(1);
    return spec;
  }

  std::pair<absl::Status, v1::Job> Mutate(Event event) {
    std::promise<std::pair<absl::Status, v1::Job>> answer;
    engine_->Mutate(std::move(event), [&](const Engine::Answer& done) { answer.set_value({done.status, done.job}); });
    return answer.get_future().get();
  }
  std::pair<absl::Status, v1::Job> Submit(const std::string& name, const std::string& request_id = "") {
    return Mutate(coordinator::Submit{request_id, Spec(name), 8});
  }

  template <typename F>
  auto Read(F f) {
    std::promise<decltype(f(*static_cast<const State*>(nullptr)))> answer;
    engine_->Read([&](const State* state, Now) { answer.set_value(f(*state)); });
    return answer.get_future().get();
  }
  size_t CountJobs() {
    return Read([](const State& state) { return state.jobs.size(); });
  }

  uint64_t Register(const std::string& id, std::shared_ptr<RecordingSink> sink) {
    absl::Notification done;
    const uint64_t session = engine_->NewSession();
    WorkerRegistered registered{id, 1, session, {}};
    registered.info.set_host("host");
    engine_->Register(registered, sink, [&] { done.Notify(); });
    done.WaitForNotification();
    return session;
  }
  void Tell(Event event) {
    absl::Notification done;
    engine_->Tell(std::move(event), [&] { done.Notify(); });
    done.WaitForNotification();
  }

  TemporaryFolder dir_;
  absl::Mutex mu_;
  Now now_ ABSL_GUARDED_BY(mu_){std::chrono::seconds(1767225600), std::chrono::seconds(1000)};
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, WhatWasAnsweredSurvivesARestart) {
  Start();
  auto [status, job] = Submit("a", "r1");
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(job.job_id(), "a-1");
  engine_.reset();
  Start();
  EXPECT_EQ(CountJobs(), 1u);
  auto [again, same] = Submit("a", "r1");
  EXPECT_TRUE(again.ok());
  EXPECT_EQ(same.job_id(), "a-1");
  EXPECT_EQ(same.create_time().seconds(), job.create_time().seconds());
  EXPECT_EQ(Submit("b", "r1").first.code(), absl::StatusCode::kAlreadyExists);
}

// A process is killed -9 in the middle of a storm of submissions: each that was answered is there, once.
TEST_F(EngineTest, AckedSubmissionsSurviveAKill) {
  for (int round = 0; round < 4; ++round) {
    int acked[2];
    ASSERT_EQ(pipe(acked), 0);
    const pid_t child = fork();
    if (child == 0) {
      Start();
      for (int i = 0;; ++i) {
        engine_->Mutate(coordinator::Submit{"", Spec("r" + std::to_string(round) + "n" + std::to_string(i)), 8},
                        [&](const Engine::Answer& answer) {
                          char line[64] = {};
                          const std::string id = answer.status.ok() ? answer.job.job_id() : "refused";
                          id.copy(line, sizeof line - 1);
                          if (write(acked[1], line, sizeof line) != sizeof line) _exit(1);
                        });
        if (i % 50 == 0) engine_->Poke();
      }
    }
    close(acked[1]);
    std::set<std::string> ids;
    char line[64];
    while (ids.size() < 100u + 61u * static_cast<unsigned>(round) && read(acked[0], line, sizeof line) == sizeof line) {
      ids.insert(line);
    }
    kill(child, SIGKILL);
    while (read(acked[0], line, sizeof line) == sizeof line) {
      ids.insert(line);
    }
    close(acked[0]);
    int ignored;
    waitpid(child, &ignored, 0);
    Start();
    const std::set<std::string> stored = Read([](const State& state) {
      std::set<std::string> found;
      for (const auto& [number, entry] : state.jobs) found.insert(entry.job().job_id());
      return found;
    });
    for (const std::string& id : ids) {
      EXPECT_TRUE(stored.contains(id)) << id << " was acknowledged and lost";
    }
    engine_.reset();
  }
}

TEST_F(EngineTest, AFullJournalRefusesWritesAndServesReads) {
  Start(/*journal_max_bytes=*/120 << 10);
  absl::Status status;
  size_t accepted = 0;
  for (; status.ok() && accepted < 1000; accepted += status.ok()) {
    status = Submit("job" + std::to_string(accepted)).first;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(rpc::ReasonOf(status), rpc::kJournalUnwritable);
  EXPECT_GT(accepted, 3u);
  EXPECT_EQ(CountJobs(), accepted);
  EXPECT_EQ(Mutate(Cancel{"job0", true, ""}).first.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Read([](const State& s) { return s.jobs.at(1).job().state(); }), v1::JOB_STATE_PENDING);

  // A worker that would start a job is refused its registration, and told so; nothing was started.
  auto sink = std::make_shared<RecordingSink>();
  Register("w1", sink);
  ASSERT_TRUE(sink->closed().has_value());
  EXPECT_EQ(sink->closed()->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(sink->messages().empty());
  EXPECT_EQ(Read([](const State& s) { return s.workers.size(); }), 0u);
  engine_.reset();
  Start();
  EXPECT_EQ(CountJobs(), accepted);
}

TEST_F(EngineTest, AReportIsAcknowledgedOnlyOnceItIsInTheJournal) {
  Start(/*journal_max_bytes=*/120 << 10);
  ASSERT_TRUE(Submit("a").first.ok());
  auto sink = std::make_shared<RecordingSink>();
  const uint64_t session = Register("w1", sink);
  v1::RankReport report;
  report.set_job_id("a-1");
  report.set_generation(1);
  report.mutable_trainer()->mutable_notice()->set_text(std::string(3000, 'x'));
  uint64_t sequence = 0;
  while (!sink->closed().has_value() && sequence < 1000) {
    report.set_sequence(++sequence);
    Tell(RankReported{"w1", session, report});
  }
  EXPECT_EQ(sink->closed()->code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(sink->messages().back().report_ack().sequence(), sequence - 1) << "the refused one isn't acknowledged";
  // Nor by what was read behind it before its session ended, though that needs no room in the journal.
  v1::RankReport later = report;
  later.set_sequence(sequence + 1);
  later.mutable_trainer()->mutable_progress()->set_step(1);
  Tell(RankReported{"w1", session, later});
  EXPECT_EQ(sink->messages().back().report_ack().sequence(), sequence - 1);
  engine_.reset();
  Start();
  const size_t notices = Read([](const State& s) {
    const auto& events = s.jobs.at(1).events;
    return static_cast<size_t>(std::count_if(events.begin(), events.end(), [](const v1::JobEvent& e) { return e.has_notice(); }));
  });
  EXPECT_EQ(notices, sequence - 1);
}

TEST_F(EngineTest, CompactionKeepsEverything) {
  Start(0, /*compact_after=*/10);
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(Submit("job" + std::to_string(i), "r" + std::to_string(i)).first.ok());
  }
  engine_.reset();
  auto journal = Journal::Open({.path = dir_ / "journal.db"}).value();
  EXPECT_LT(journal->tail_length(), 12);
  journal.reset();
  Start(0, 10);
  EXPECT_EQ(CountJobs(), 40u);
  EXPECT_EQ(Submit("job7", "r7").second.job_id(), "job7-8");
}

TEST_F(EngineTest, ADamagedJournalStopsTheStart) {
  {
    auto journal = Journal::Open({.path = dir_ / "journal.db"}).value();
    ASSERT_TRUE(journal->Append({"this is no Record message"}).ok());
  }
  auto engine = Engine::Start({}, Journal::Open({.path = dir_ / "journal.db"}).value());
  EXPECT_EQ(engine.status().code(), absl::StatusCode::kDataLoss) << engine.status();
}

TEST_F(EngineTest, ASilentWorkerIsLostAfterItsLease) {
  Start();
  auto sink = std::make_shared<RecordingSink>();
  const uint64_t session = Register("w1", sink);
  Advance(milliseconds(1500));
  Tell(WorkerBeat{"w1", session, 7});
  EXPECT_EQ(sink->messages().back().beat_ack().number(), 7u);
  Advance(milliseconds(1500));
  EXPECT_FALSE(sink->closed().has_value());
  Advance(milliseconds(500));
  ASSERT_TRUE(sink->closed().has_value());
  EXPECT_EQ(rpc::ReasonOf(*sink->closed()), rpc::kWorkerSilent);
}

// SIGSTOP of the coordinator for a minute: the beats of that minute are unread, not missing.
TEST_F(EngineTest, APauseOfTheCoordinatorItselfLosesNobody) {
  Start();
  auto sink = std::make_shared<RecordingSink>();
  const uint64_t session = Register("w1", sink);
  Advance(milliseconds(100));
  Advance(milliseconds(60000));
  EXPECT_FALSE(sink->closed().has_value());
  Tell(WorkerBeat{"w1", session, 1});
  Advance(milliseconds(1900));
  EXPECT_FALSE(sink->closed().has_value());
  Advance(milliseconds(200));
  EXPECT_TRUE(sink->closed().has_value()) << "but from then on the lease counts again";
}

TEST_F(EngineTest, ListenersHearOfTheirJobUntilTheyLeave) {
  Start();
  ASSERT_TRUE(Submit("a").first.ok());
  ASSERT_TRUE(Submit("b").first.ok());
  auto listener = std::make_shared<RecordingListener>();
  engine_->Read([&](const State*, Now) { engine_->Listen(1, listener); });
  EXPECT_TRUE(Mutate(Cancel{"b", true, ""}).first.ok());
  EXPECT_TRUE(Mutate(Cancel{"a", true, ""}).first.ok());
  engine_->Poke();
  EXPECT_THAT(listener->lengths, ::testing::ElementsAre(2));
  engine_->Unlisten(1, listener);
  engine_->Poke();
  engine_->Poke();  // the batch of the first one is gone by now
  EXPECT_EQ(listener.use_count(), 1);
}

TEST_F(EngineTest, StopEndsSessionsAndStreamsAndRefusesWhatComes) {
  Start();
  ASSERT_TRUE(Submit("a").first.ok());
  auto sink = std::make_shared<RecordingSink>();
  Register("w1", sink);
  auto listener = std::make_shared<RecordingListener>();
  engine_->Read([&](const State*, Now) { engine_->Listen(1, listener); });
  engine_->Poke();
  engine_->Stop();
  ASSERT_TRUE(sink->closed().has_value());
  EXPECT_EQ(sink->closed()->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(listener->stopped.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(rpc::ReasonOf(Submit("b").first), rpc::kCoordinatorStopping);
  bool told = false;
  engine_->Read([&](const State* state, Now) { told = state == nullptr; });
  EXPECT_TRUE(told);
  engine_->Stop();
}

}  // namespace
}  // namespace pixelrec::coordinator
