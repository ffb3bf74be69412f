// Real daemons, scripted trainers: what must happen when one of them dies.
#include "tests/integration/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/metrics/catalogue.h"
#include "common/storage/atomic_file.h"
#include "tests/common/metrics/scrape.h"

namespace pixelrec::integration {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr char kAwaitPeers[] = "hello;await_rendezvous;started;";
constexpr char kOpenStore[] = "hello;store;started;";

void Touch(const fs::path& file) { std::ofstream(file) << ""; }

bool Running(const v1::Job& job, uint64_t generation) {
  return job.state() == v1::JOB_STATE_RUNNING && job.generation() == generation;
}

std::vector<int64_t> Pids(const v1::Job& job) {
  std::vector<int64_t> pids;
  for (const v1::RankPlacement& rank : job.ranks()) pids.push_back(rank.pid());
  return pids;
}

TEST(ClusterTest, AJobRunsFromSubmitToSucceeded) {
  Cluster cluster({.trainer = FAKE_TRAINER});
  const std::string id =
      cluster
          .Submit(cluster.Spec("plain", {absl::StrCat(kOpenStore,
                                                      "step 3;epoch 1;stage checkpoint-epoch-1;stage best_model;print bye;"
                                                      "result;await_committed;exit 0"),
                                         absl::StrCat(kAwaitPeers, "step 3;exit 0")}))
          .job_id();
  const v1::Job job = cluster.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.epochs_size(), 1);
  EXPECT_EQ(job.infrastructure_restarts() + job.user_restarts(), 0);
  EXPECT_EQ(job.data_hash(), "fake-hash");
  const fs::path output = cluster.dir() / "results" / "plain";
  EXPECT_TRUE(fs::exists(output / "checkpoint-epoch-1" / "manifest.json"));
  EXPECT_TRUE(fs::exists(output / "best_model" / "manifest.json"));
  const std::vector<v1::JobEvent> events = cluster.Events(id);
  EXPECT_EQ(Story(events), "epoch 1; artifact checkpoint-epoch-1; artifact best_model; result; ");
  EXPECT_THAT(States(events), HasSubstr("PREPARING STARTING RUNNING SUCCEEDED"));
  EXPECT_EQ(cluster.Log(id, 0), "bye\n");
  cluster.AwaitWorkers(2);
}

// Names of the pixelrec families on a page.
std::set<std::string> Families(const std::string& page) {
  std::set<std::string> names;
  for (absl::string_view line : absl::StrSplit(page, '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.size() > 2 && words[1] == "HELP" && absl::StartsWith(words[2], "pixelrec_")) names.insert(words[2]);
  }
  return names;
}

std::set<std::string> Catalogued(metrics::Page page) {
  std::set<std::string> names;
  for (const metrics::Row& row : metrics::Catalogue()) {
    if (row.page == page || row.page == metrics::Page::kBoth) names.emplace(row.name);
  }
  return names;
}

// Both pages of real daemons that run a job show what docs/metrics.md lists, and promtool has nothing to say.
TEST(ClusterTest, MetricsPagesAreAsCatalogued) {
  ASSERT_EQ(std::system("command -v promtool >/dev/null"), 0)
      << "promtool is not installed: scripts/install_packages.sh build test";
  Cluster cluster({.trainer = FAKE_TRAINER, .workers = 1});
  const fs::path go = cluster.dir() / "go";
  const std::string id = cluster
                             .Submit(cluster.Spec("metrics", {absl::StrCat(kOpenStore,
                                                                           "epoch 1;stage checkpoint-epoch-1;"
                                                                           "await_committed;train ",
                                                                           go.string(), ";result;exit 0")}))
                             .job_id();
  cluster.Await(
      id, [](const v1::Job& job) { return job.state() == v1::JOB_STATE_RUNNING && job.progress().step() > 0; }, "the first step");
  EXPECT_EQ(Families(metrics::Scrape(cluster.metrics_address(0))), Catalogued(metrics::Page::kWorker));
  EXPECT_THAT(Catalogued(metrics::Page::kCoordinator),
              testing::IsSupersetOf(Families(metrics::Scrape(cluster.coordinator_metrics_address()))));
  for (const std::string& address : {cluster.coordinator_metrics_address(), cluster.metrics_address(0)}) {
    const std::string page = metrics::Scrape(address);
    EXPECT_THAT(page, HasSubstr("pixelrec_build_info"));
    const fs::path file = cluster.dir() / "page";
    std::ofstream(file) << page;
    EXPECT_EQ(std::system(absl::StrCat("promtool check metrics < ", file.string()).c_str()), 0) << page;
  }
  EXPECT_THAT(metrics::Scrape(cluster.metrics_address(0)), HasSubstr(absl::StrCat("job_id=\"", id, "\"")));
  EXPECT_THAT(metrics::Scrape(cluster.coordinator_metrics_address()), HasSubstr("pixelrec_jobs{state=\"RUNNING\"} 1"));
  Touch(go);
  cluster.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
}

TEST(ClusterTest, KillingTheCoordinatorStopsNothingLosesNothingDoublesNothing) {
  Cluster cluster({.trainer = FAKE_TRAINER});
  const auto go = [&](int i) { return (cluster.dir() / absl::StrCat("go-", i)).string(); };
  const std::string id =
      cluster
          .Submit(cluster.Spec("survivor", {absl::StrCat(kOpenStore, "notice before;train ", go(1),
                                                         ";notice one;epoch 1;stage checkpoint-epoch-1;train ", go(2),
                                                         ";notice two;epoch 2;stage checkpoint-epoch-2;train ", go(3),
                                                         ";notice three;result;await_committed;exit 0"),
                                            absl::StrCat(kAwaitPeers, "train ", go(3), ";notice peer;exit 0")}))
          .job_id();
  const v1::Job running = cluster.AwaitState(id, v1::JOB_STATE_RUNNING);
  const std::vector<int64_t> pids = Pids(running);
  // Once while nothing is said, once while a commit is under way, once with the trainer talking to nobody.
  cluster.KillCoordinator();
  cluster.StartCoordinator();
  EXPECT_EQ(Pids(cluster.Get(id)), pids);
  Touch(go(1));
  cluster.KillCoordinator();
  cluster.StartCoordinator();
  cluster.Await(
      id, [](const v1::Job& job) { return job.epochs_size() == 1; }, "epoch 1");
  cluster.KillCoordinator();
  Touch(go(2));
  cluster.AwaitFile(cluster.dir() / "results" / "survivor" / ".staging" /
                    absl::StrCat("g", running.generation(), "-checkpoint-epoch-2"));
  cluster.StartCoordinator();
  cluster.Await(
      id, [](const v1::Job& job) { return job.epochs_size() == 2; }, "epoch 2");
  EXPECT_EQ(Pids(cluster.Get(id)), pids);
  Touch(go(3));
  const v1::Job job = cluster.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.infrastructure_restarts() + job.user_restarts(), 0);
  const std::vector<v1::JobEvent> events = cluster.Events(id);
  std::string story = Story(events);
  // The peer speaks when it likes.
  const size_t peer = story.find("notice peer; ");
  ASSERT_NE(peer, std::string::npos) << story;
  story.erase(peer, 13);
  EXPECT_EQ(story,
            "notice before; notice one; epoch 1; artifact checkpoint-epoch-1; notice two; epoch 2; artifact checkpoint-epoch-2; "
            "notice three; "
            "result; ");
  EXPECT_EQ(States(events).find("RECOVERING"), std::string::npos) << States(events);
  EXPECT_TRUE(fs::exists(cluster.dir() / "results" / "survivor" / "checkpoint-epoch-2" / "manifest.json"));
}

TEST(ClusterTest, AKilledTrainerIsANewGenerationFromTheLastCheckpoint) {
  Cluster cluster({.trainer = FAKE_TRAINER});
  const fs::path go = cluster.dir() / "go";
  const std::string id =
      cluster
          .Submit(cluster.Spec("phoenix",
                               {absl::StrCat(kOpenStore, "stage checkpoint-epoch-1;await_committed;notice committed;train ",
                                             go.string(), ";result;exit 0"),
                                absl::StrCat(kAwaitPeers, "train ", go.string(), ";exit 0")}))
          .job_id();
  v1::Job job = cluster.Await(
      id, [](const v1::Job& j) { return j.state() == v1::JOB_STATE_RUNNING && j.has_checkpoint(); }, "RUNNING with a checkpoint");
  const uint64_t first = job.generation();
  ASSERT_EQ(job.ranks_size(), 2);
  kill(static_cast<pid_t>(job.ranks(1).pid()), SIGKILL);
  job = cluster.Await(
      id, [&](const v1::Job& j) { return Running(j, first + 1); }, "RUNNING again");
  EXPECT_EQ(job.infrastructure_restarts(), 1);
  Touch(go);
  cluster.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
  EXPECT_THAT(Story(cluster.Events(id)), HasSubstr("failure FAILURE_CAUSE_TRAINER_SIGNAL rank 1; "));
}

TEST(ClusterTest, AKilledWorkerIsReplacedByAnother) {
  Cluster cluster({.trainer = FAKE_TRAINER, .workers = 3});
  const fs::path go = cluster.dir() / "go";
  const std::string id = cluster
                             .Submit(cluster.Spec("moved", {absl::StrCat(kOpenStore, "train ", go.string(), ";result;exit 0"),
                                                            absl::StrCat(kAwaitPeers, "train ", go.string(), ";exit 0")}))
                             .job_id();
  v1::Job job = cluster.AwaitState(id, v1::JOB_STATE_RUNNING);
  const uint64_t first = job.generation();
  const std::string lost = job.ranks(1).worker_id();
  const int trainer = static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(job.ranks(1).pid()), 0));
  ASSERT_GE(trainer, 0);
  cluster.Kill(lost.back() - '0');
  pollfd ended{trainer, POLLIN, 0};
  EXPECT_EQ(poll(&ended, 1, 20'000), 1) << "the trainer outlived its worker";
  close(trainer);
  job = cluster.Await(
      id, [&](const v1::Job& j) { return Running(j, first + 1); }, "RUNNING on other workers");
  for (const v1::RankPlacement& rank : job.ranks()) EXPECT_NE(rank.worker_id(), lost);
  Touch(go);
  cluster.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
  EXPECT_THAT(Story(cluster.Events(id)), HasSubstr("failure FAILURE_CAUSE_WORKER_LOST rank 1; "));
}

TEST(ClusterTest, AWorkerThatComesBackTakesPartAgain) {
  Cluster cluster({.trainer = FAKE_TRAINER, .workers = 1});
  const fs::path go = cluster.dir() / "go";
  const std::string id =
      cluster.Submit(cluster.Spec("again", {absl::StrCat(kOpenStore, "train ", go.string(), ";result;exit 0")})).job_id();
  const uint64_t first = cluster.AwaitState(id, v1::JOB_STATE_RUNNING).generation();
  cluster.Kill(0);
  cluster.StartWorker(0);
  cluster.Await(
      id, [&](const v1::Job& j) { return Running(j, first + 1); }, "RUNNING again");
  Touch(go);
  cluster.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
}

TEST(ClusterTest, CancelLetsTrainersSaveFirst) {
  Cluster cluster({.trainer = FAKE_TRAINER});
  const std::string id =
      cluster
          .Submit(
              cluster.Spec("cancelled", {absl::StrCat(kOpenStore, "await_stop;stage checkpoint-epoch-1;await_committed;exit 0"),
                                         absl::StrCat(kAwaitPeers, "await_stop;exit 0")}))
          .job_id();
  cluster.AwaitState(id, v1::JOB_STATE_RUNNING);
  cluster.Cancel(id, false);
  cluster.AwaitState(id, v1::JOB_STATE_CANCELLED);
  EXPECT_TRUE(fs::exists(cluster.dir() / "results" / "cancelled" / "checkpoint-epoch-1"));
  cluster.AwaitWorkers(2);
}

TEST(ClusterTest, ATerminatedWorkerLeavesCleanlyAndTheJobGoesOnElsewhere) {
  Cluster cluster({.trainer = FAKE_TRAINER, .workers = 2});
  const fs::path go = cluster.dir() / "go";
  const std::string id =
      cluster.Submit(cluster.Spec("drained", {absl::StrCat(kOpenStore, "train ", go.string(), ";result;exit 0")})).job_id();
  v1::Job job = cluster.AwaitState(id, v1::JOB_STATE_RUNNING);
  const uint64_t first = job.generation();
  const int leaving = job.ranks(0).worker_id().back() - '0';
  cluster.Terminate(leaving);
  EXPECT_EQ(cluster.AwaitWorkerExit(leaving), (process::Exit{0, 0}));
  cluster.Await(
      id, [&](const v1::Job& j) { return Running(j, first + 1) || j.state() == v1::JOB_STATE_FAILED; },
      "RUNNING on the other worker");
  Touch(go);
  cluster.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
}

}  // namespace
}  // namespace pixelrec::integration
