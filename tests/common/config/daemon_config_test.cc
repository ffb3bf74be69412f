#include "common/config/daemon_config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace pixelrec::config {
namespace {

namespace fs = std::filesystem;

class DaemonConfig : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("daemon_config." + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path Write(const std::string& text) {
    const fs::path file = folder_ / "file.yaml";
    std::ofstream(file) << text;
    return file;
  }
  // With the folder's own name taken out.
  std::string ErrorOf(const absl::Status& status) {
    std::string message(status.message());
    const std::string prefix = folder_.string() + "/";
    for (size_t at; (at = message.find(prefix)) != std::string::npos;) message.erase(at, prefix.size());
    return message;
  }
  std::string CoordinatorError(const std::string& text) { return ErrorOf(LoadCoordinatorConfig(Write(text)).status()); }
  std::string WorkerError(const std::string& text) { return ErrorOf(LoadWorkerConfig(Write(text)).status()); }

  fs::path folder_;
};

TEST_F(DaemonConfig, ReadsACoordinator) {
  const auto config = LoadCoordinatorConfig(
      Write("listen: 0.0.0.0:7070\nmetrics_listen: \"[::1]:0\"\nstate_dir: state\nroots: [/data, out]\ninsecure: true\n"
            "lease: 3s\nbeat_interval: 250ms\nstart_timeout: 5m\norphan_grace: 1h\nstop_grace: 10s\n"
            "elastic_grow_after: 1500ms\nhang_floor: 7s\nkeep_ended_for: 720h\nkeep_ended_jobs: 12\n"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->listen, "0.0.0.0:7070");
  EXPECT_EQ(config->metrics_listen, "[::1]:0");
  EXPECT_EQ(config->state_dir, folder_ / "state");
  EXPECT_EQ(config->roots, (std::vector<fs::path>{"/data", folder_ / "out"}));
  EXPECT_TRUE(config->security.insecure);
  EXPECT_EQ(config->lease, std::chrono::seconds(3));
  EXPECT_EQ(config->beat_interval, std::chrono::milliseconds(250));
  EXPECT_EQ(config->start_timeout, std::chrono::minutes(5));
  EXPECT_EQ(config->orphan_grace, std::chrono::hours(1));
  EXPECT_EQ(config->stop_grace, std::chrono::seconds(10));
  EXPECT_EQ(config->elastic_grow_after, std::chrono::milliseconds(1500));
  EXPECT_EQ(config->hang_floor, std::chrono::seconds(7));
  EXPECT_EQ(config->keep_ended_for, std::chrono::hours(720));
  EXPECT_EQ(config->keep_ended_jobs, 12);
}

TEST_F(DaemonConfig, ReadsAWorker) {
  const auto config = LoadWorkerConfig(Write(
      "coordinator: coordinator:7070\nworker_id: w-1\nadvertise_address: 10.0.0.1\nmetrics_listen: 0.0.0.0:9465\nwork_dir: w\n"
      "dataset_cache_dir: /cache\ntrainer: bin/pixelrec-trainer\ndevice: cpu\nthreads: 8\nroots: [/data]\n"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->coordinator, "coordinator:7070");
  EXPECT_EQ(config->worker_id, "w-1");
  EXPECT_EQ(config->advertise_address, "10.0.0.1");
  EXPECT_EQ(config->work_dir, folder_ / "w");
  EXPECT_EQ(config->dataset_cache_dir, "/cache");
  EXPECT_EQ(config->trainer, folder_ / "bin/pixelrec-trainer");
  EXPECT_EQ(config->threads, 8);
}

TEST_F(DaemonConfig, ReadsWhoIsWho) {
  const auto coordinator =
      LoadCoordinatorConfig(Write("tls_cert: a\ntls_key: /b\ntls_client_ca: c\ntoken_file: d\nhealth_listen: a:1\n"));
  ASSERT_TRUE(coordinator.ok()) << coordinator.status();
  EXPECT_EQ(coordinator->security.tls_cert, folder_ / "a");
  EXPECT_EQ(coordinator->security.tls_key, "/b");
  EXPECT_EQ(coordinator->security.tls_client_ca, folder_ / "c");
  EXPECT_EQ(coordinator->security.token_file, folder_ / "d");
  EXPECT_EQ(coordinator->health_listen, "a:1");
  EXPECT_FALSE(coordinator->security.insecure);
  const auto worker = LoadWorkerConfig(Write("tls_ca: a\ntls_cert: b\ntls_key: c\ntoken_file: d\ninsecure: true\n"));
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_EQ(worker->security.tls_ca, folder_ / "a");
  EXPECT_EQ(worker->security.tls_cert, folder_ / "b");
  EXPECT_EQ(worker->security.tls_key, folder_ / "c");
  EXPECT_EQ(worker->security.token_file, folder_ / "d");
  EXPECT_TRUE(worker->security.insecure);
  const auto client = LoadClientConfig(Write("server: host:7070\ntls_ca: a\ntoken_file: /d\n"));
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ(client->server, "host:7070");
  EXPECT_EQ(client->security.tls_ca, folder_ / "a");
  EXPECT_EQ(client->security.token_file, "/d");
  EXPECT_EQ(ErrorOf(LoadClientConfig(Write("token: x\n")).status()),
            "file.yaml:1:1: unknown key \"token\"; keys here: server, tls_ca, tls_cert, tls_key, token_file, insecure");
}

TEST_F(DaemonConfig, FlagsWinOverTheFile) {
  ClientSecurity file{.tls_ca = "a", .token_file = "t"};
  Override(file, {.tls_ca = "b", .insecure = true});
  EXPECT_EQ(file.tls_ca, "b");
  EXPECT_EQ(file.token_file, "t");
  EXPECT_TRUE(file.insecure);
}

TEST_F(DaemonConfig, AFileOfCommentsAsksForTheDefaults) {
  const auto config = LoadCoordinatorConfig(Write("# all defaults\n"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->lease, std::chrono::seconds(2));
}

TEST_F(DaemonConfig, SaysWhatIsWrong) {
  EXPECT_EQ(CoordinatorError("listen: 7070\n"), "file.yaml:1:9: listen: must be a string (got 7070); put it in quotes");
  EXPECT_EQ(CoordinatorError("listen: localhost\n"), "file.yaml:1:9: listen: must be host:port (got \"localhost\")");
  EXPECT_EQ(CoordinatorError("lisen: a:1\n"), "file.yaml:1:1: unknown key \"lisen\"; did you mean \"listen\"?");
  EXPECT_EQ(CoordinatorError("lease: 2\n"), "file.yaml:1:8: lease: must be a duration such as 500ms, 2s, 10m or 1h (got 2)");
  EXPECT_EQ(CoordinatorError("lease: 0s\n"), "file.yaml:1:8: lease: must be between 1ms and 24h (got 0ms)");
  EXPECT_EQ(CoordinatorError("lease: 500ms\n"),
            "file.yaml:1:8: lease: must be at least twice beat_interval (got 500 ms and 500 ms)");
  EXPECT_EQ(WorkerError("device: gpu\n"), "file.yaml:1:9: device: must be cpu or cuda:N (got \"gpu\")");
  EXPECT_EQ(WorkerError("worker_id: a b\n"),
            "file.yaml:1:12: worker_id: must be 1-63 characters of A-Z, a-z, 0-9, '.', '_', ':' and '-' (got \"a b\")");
  EXPECT_EQ(WorkerError("threads: -1\n"), "file.yaml:1:10: threads: must be between 0 and 4096 (got -1)");
  EXPECT_EQ(WorkerError("roots: /data\n"), "file.yaml:1:8: roots: must be a list of paths (got \"/data\")");
  EXPECT_EQ(WorkerError("threads: 1\nthreads: 2\n"), "file.yaml:2:1: duplicate key \"threads\"");
}

TEST_F(DaemonConfig, AMissingFileIsNotFound) {
  const auto config = LoadWorkerConfig(folder_ / "none.yaml");
  EXPECT_EQ(config.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorOf(config.status()), "none.yaml: No such file or directory");
  EXPECT_EQ(LoadWorkerConfig(folder_).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace pixelrec::config
