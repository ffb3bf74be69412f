// The coordinator killed with SIGKILL again and again, at every edge of durability and at random instants, while clients submit,
// cancel and delete: what was answered is never lost and never doubled.
//
// Each client has a history of what it was told, and after every restart the checker asks for all of it again that could have
// been touched since. 100 kills; 2,000 with PIXELREC_LONG_TESTS=1.
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/process/child.h"
#include "common/process/crash_point.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/cluster/test_coordinator.h"

namespace pixelrec::coordinator {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kClients = 4;
#if defined(__SANITIZE_ADDRESS__) || defined(PIXELREC_TSAN)
constexpr int kSlice = 12;  // where a start alone takes a second
#else
constexpr int kSlice = 100;
#endif
constexpr size_t kChecked = 8;  // newest operations of a client that are asked for again after each restart

// One operation of a client, and what it was told. It is repeated with its request id until it is answered.
struct Operation {
  enum class Kind { kSubmit, kCancel, kDelete } kind = Kind::kSubmit;
  std::string request_id;
  std::string name;    // of the job, one of its own for each submission
  std::string job_id;  // once it is known
};

class Client {
 public:
  explicit Client(int index) : index_(index), random_(static_cast<unsigned>(index)) {}

  // To each life of the coordinator anew: the channel to a dead one would wait a second before it tried again.
  void Connect(const std::string& address) { stub_ = v1::JobService::NewStub(rpc::OpenChannel(address).value()); }

  // Goes on where the last coordinator's death has left it, until this one is dead.
  void Work(const std::atomic<bool>& dead) {
    while (!dead) {
      if (!pending_) pending_ = Next();
      if (Try(*pending_)) {
        history_.push_back(*pending_);
        pending_.reset();
      }
    }
  }

  // Repeats of what was answered have the same answer, and what was done is done.
  void Check() {
    for (size_t i = history_.size() - std::min(history_.size(), kChecked); i < history_.size(); ++i) {
      Operation again = history_[i];
      again.job_id = again.kind == Operation::Kind::kSubmit ? "" : again.job_id;
      ASSERT_TRUE(Try(again)) << again.request_id << " has no answer: " << last_error_;
      EXPECT_EQ(again.job_id, history_[i].job_id) << "request " << again.request_id << " was done a second time";
    }
  }

  // What the whole history must have led to: state by job id; deleted jobs are not among them.
  std::map<std::string, v1::JobState> Expected() const {
    std::map<std::string, v1::JobState> jobs;
    for (const Operation& o : history_) {
      if (o.kind == Operation::Kind::kDelete) {
        jobs.erase(o.job_id);
      } else {
        jobs[o.job_id] = o.kind == Operation::Kind::kSubmit ? v1::JOB_STATE_PENDING : v1::JOB_STATE_CANCELLED;
      }
    }
    return jobs;
  }

  void Finish() {
    while (pending_) {
      if (Try(*pending_)) {
        history_.push_back(*pending_);
        pending_.reset();
      }
    }
  }

  size_t operations() const { return history_.size(); }

 private:
  // Two of three submissions are cancelled, half of those deleted, so that the store doesn't only grow.
  Operation Next() {
    const std::string request = absl::StrCat("c", index_, "-", ++last_);
    if (!history_.empty() && random_() % 3 != 0) {
      const Operation& before = history_.back();
      if (before.kind == Operation::Kind::kSubmit) return {Operation::Kind::kCancel, request, before.name, before.job_id};
      if (before.kind == Operation::Kind::kCancel && random_() % 2 == 0)
        return {Operation::Kind::kDelete, request, before.name, before.job_id};
    }
    return {Operation::Kind::kSubmit, request, request, ""};
  }

  // False: no answer, for the coordinator is dead or not there yet.
  bool Try(Operation& o) {
    grpc::ClientContext context;
    rpc::SetDeadline(context, std::chrono::seconds(5));
    grpc::Status status;
    if (o.kind == Operation::Kind::kSubmit) {
      v1::SubmitJobRequest request;
      request.set_request_id(o.request_id);
      *request.mutable_spec() = SmallSpec(o.name, 1);
      v1::SubmitJobResponse response;
      status = stub_->SubmitJob(&context, request, &response);
      o.job_id = response.job().job_id();
      // One that was deleted since, also by a request whose answer got lost.
      const bool found_gone = status.error_code() == grpc::StatusCode::NOT_FOUND;
      if (const Operation* deletion = found_gone ? DeletionOf(o.name) : nullptr; deletion != nullptr) {
        o.job_id = deletion->job_id;
        return true;
      }
    } else if (o.kind == Operation::Kind::kCancel) {
      v1::CancelJobRequest request;
      request.set_job(o.job_id);
      request.set_request_id(o.request_id);
      v1::CancelJobResponse response;
      status = stub_->CancelJob(&context, request, &response);
      if (status.error_code() == grpc::StatusCode::NOT_FOUND && DeletionOf(o.name) != nullptr) return true;
      EXPECT_TRUE(!status.ok() || response.job().state() == v1::JOB_STATE_CANCELLED) << o.request_id;
    } else {
      v1::DeleteJobRequest request;
      request.set_job(o.job_id);
      request.set_request_id(o.request_id);
      v1::DeleteJobResponse response;
      status = stub_->DeleteJob(&context, request, &response);
      if (status.error_code() == grpc::StatusCode::NOT_FOUND && DeletionOf(o.name) != nullptr) return true;
    }
    const bool away =
        status.error_code() == grpc::StatusCode::UNAVAILABLE || status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
    if (!status.ok() && !away) ADD_FAILURE() << o.request_id << ": " << status.error_code() << " " << status.error_message();
    last_error_ = status.error_message();
    return status.ok();
  }

  // By a later request of this client.
  const Operation* DeletionOf(const std::string& name) const {
    const auto deletes = [&](const Operation& o) { return o.kind == Operation::Kind::kDelete && o.name == name; };
    if (pending_ && deletes(*pending_)) return &*pending_;
    const auto found = std::find_if(history_.begin(), history_.end(), deletes);
    return found == history_.end() ? nullptr : &*found;
  }

  const int index_;
  std::unique_ptr<v1::JobService::Stub> stub_;
  std::mt19937 random_;
  int last_ = 0;
  std::string last_error_;
  std::vector<Operation> history_;
  std::optional<Operation> pending_;
};

class CrashTest : public ::testing::Test {
 protected:
  // `crash_at`: empty for none. False: it died before it served.
  bool Start(const std::string& crash_at) {
    const std::filesystem::path ready = dir_ / "ready";
    std::filesystem::remove(ready);
    std::vector<std::string> arguments = {"--config",         dir_ / "coordinator.yaml",
                                          "--listen",         address_,
                                          "--metrics-listen", "127.0.0.1:0",
                                          "--state-dir",      dir_ / "state",
                                          "--ready-file",     ready};
    if (!crash_at.empty()) arguments.insert(arguments.end(), {"--crash-at", crash_at});
    auto child = process::Child::Spawn(
        {.program = PIXELREC_BIN_DIR "/pixelrec-coordinator", .arguments = std::move(arguments), .output = dir_ / "output"});
    EXPECT_TRUE(child.ok()) << child.status();
    child_ = *std::move(child);
    const auto begin = steady_clock::now();
    pollfd fd{child_->pidfd(), POLLIN, 0};
    while (!std::filesystem::exists(ready)) {
      if (poll(&fd, 1, 1) == 1) return false;
    }
    serving_after_.push_back(steady_clock::now() - begin);
    nlohmann::json content;
    std::ifstream(ready) >> content;
    address_ = content["grpc"];
    return true;
  }

  // Kills it unless it dies by itself within `patience`; -> whether it did.
  bool Await(milliseconds patience) {
    pollfd fd{child_->pidfd(), POLLIN, 0};
    const bool by_itself = poll(&fd, 1, static_cast<int>(patience.count())) == 1;
    if (!by_itself) child_->Signal(SIGKILL);
    EXPECT_EQ(poll(&fd, 1, 30000), 1);
    const process::Exit exit = child_->Reap().value_or(process::Exit{-2, 0});
    EXPECT_EQ(exit, (process::Exit{-1, SIGKILL})) << "not killed, but ended by itself";
    return by_itself;
  }

  std::map<std::string, v1::JobState> Stored() {
    auto stub = v1::JobService::NewStub(rpc::OpenChannel(address_).value());
    std::map<std::string, v1::JobState> jobs;
    v1::ListJobsRequest request;
    request.set_page_size(1000);
    do {
      v1::ListJobsResponse response;
      const grpc::Status status = stub->ListJobs(TestCoordinator::Context().get(), request, &response);
      EXPECT_TRUE(status.ok()) << status.error_message();
      for (const v1::Job& job : response.jobs()) EXPECT_TRUE(jobs.emplace(job.job_id(), job.state()).second);
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return jobs;
  }

  TemporaryFolder dir_;
  std::string address_ = "127.0.0.1:0";
  std::unique_ptr<process::Child> child_;
  std::vector<steady_clock::duration> serving_after_;
};

TEST_F(CrashTest, NothingAnsweredIsLostOrDoubled) {
  const int kills = std::getenv("PIXELREC_LONG_TESTS") != nullptr ? 2000 : kSlice;
  dir_.Write("coordinator.yaml", "compact_after: 40\n");
  ASSERT_TRUE(Start(""));
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kClients; ++i) clients.push_back(std::make_unique<Client>(i));
  Await(milliseconds(0));

  std::mt19937 random(7);
  std::map<std::string, int> died_at;
  for (int life = 0, killed = 0; killed < kills && !HasFailure(); ++life) {
    // Every other one ends at a random instant.
    const bool by_chance = life % 2 == 0;
    const absl::string_view point = process::kCrashPoints[static_cast<size_t>(life / 2) % process::kCrashPoints.size()];
    const bool rare = absl::StartsWith(point, "compact") || absl::StartsWith(point, "journal");
    const int passing = rare ? 1 : 1 + static_cast<int>(random() % 40);
    if (!Start(by_chance ? "" : absl::StrCat(point, ":", passing))) {
      EXPECT_EQ(child_->Reap(), (process::Exit{-1, SIGKILL})) << point;
      ++killed, ++died_at[std::string(point)];
      continue;  // before it served anybody
    }
    std::vector<std::thread> threads;
    std::atomic<bool> dead = false;
    for (auto& client : clients) {
      client->Connect(address_);
      threads.emplace_back([&] { client->Work(dead); });
    }
    const bool by_itself = Await(milliseconds(by_chance ? random() % 60 : 1500));
    dead = true;
    for (std::thread& thread : threads) thread.join();
    ++killed, ++died_at[by_itself ? std::string(point) : "a random instant"];
    ASSERT_TRUE(Start(""));
    for (auto& client : clients) {
      client->Connect(address_);
      client->Check();
    }
    Await(milliseconds(0));
  }

  ASSERT_TRUE(Start(""));
  std::map<std::string, v1::JobState> expected;
  size_t operations = 0;
  for (auto& client : clients) {
    client->Connect(address_);
    client->Finish();
    expected.merge(client->Expected());
    operations += client->operations();
  }
  EXPECT_EQ(Stored(), expected);
  for (absl::string_view point : process::kCrashPoints)
    EXPECT_TRUE(kills < 100 || died_at[std::string(point)] > 0) << point << " was never passed";
  std::sort(serving_after_.begin(), serving_after_.end());
  std::printf(
      "%zu operations of %d clients answered, %zu jobs left: none lost, none doubled; serving again after %.0f ms (median)\n",
      operations, kClients, expected.size(),
      std::chrono::duration<double, std::milli>(serving_after_[serving_after_.size() / 2]).count());
  for (const auto& [where, times] : died_at) std::printf("  killed at %-22s %5d\n", where.c_str(), times);
}

}  // namespace
}  // namespace pixelrec::coordinator
