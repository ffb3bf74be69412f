// A real job on real data, small: the repository's MovieTweetings and stories260K with short texts; and a worker that records.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/worker/ranks_as_threads.h"
#include "worker/data/prepare.h"
#include "worker/train/train_job.h"
#include "worker/train/trainer.h"

namespace pixelrec::train {

namespace fs = std::filesystem;

// A folder of the test's own, removed at the end.
class TestFolder {
 public:
  explicit TestFolder(const std::string& name)
      : path_(fs::temp_directory_path() / ("pixelrec-" + name + "-" + std::to_string(getpid()))) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~TestFolder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

inline fs::path QuickstartFile(const std::string& name) { return fs::path(PIXELREC_SOURCE_DIR) / "deploy/quickstart" / name; }

// Prepares the first `rows` interactions of MovieTweetings (header kept) once per folder; `texts`: another text file than its
// own.
inline fs::path PrepareSmallData(const fs::path& folder, int rows,
                                 const fs::path& texts = QuickstartFile("movietweetings-100k/items.csv")) {
  const fs::path csv = folder / "interactions.csv";
  std::ifstream in(QuickstartFile("movietweetings-100k/interactions.csv"));
  std::ofstream out(csv);
  std::string line;
  for (int i = 0; i <= rows && std::getline(in, line); ++i) out << line << "\n";
  out.close();
  data::PrepareOptions options;
  options.interaction_data = csv;
  options.text_data = texts;
  options.text_keys = {"title"};
  options.max_text_length = 24;
  options.max_seq_length = 11;
  options.tokenizer_dir = QuickstartFile("stories260k");
  options.cache_dir = folder / "datasets";
  auto report = data::Prepare(options);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? report->path : fs::path();
}

inline TrainJob SmallJob(const fs::path& dataset, const fs::path& output) {
  TrainJob job;
  job.job_id = "small-1";
  job.job_name = "small";
  job.dataset_dir = dataset;
  job.item_model_dir = job.user_model_dir = QuickstartFile("stories260k");
  job.output_dir = output;
  job.text_keys = {"title"};
  job.gradient_checkpointing = false;
  job.global_batch_size = job.micro_batch_size = 8;
  job.epochs = 1;
  job.learning_rate = 1e-4;
  job.seed = 7;
  job.threads = 1;  // several ranks share the machine
  job.backend = dist::BackendChoice::kGloo;
  job.bf16 = false;
  job.logging_steps = 1;
  return job;
}

// What a trainer tells its worker; commits every artifact at once, as coordinator and worker would.
class RecordingLink : public WorkerLink {
 public:
  void StoreOpened(const std::string& host, int port) override {
    const std::lock_guard lock(Meeting().mutex);
    Meeting().store = {host, port};
    Meeting().changed.notify_all();
  }
  absl::StatusOr<std::pair<std::string, int>> WaitForStore() override {
    std::unique_lock lock(Meeting().mutex);
    Meeting().changed.wait(lock, [] { return Meeting().store.second != 0; });
    return Meeting().store;
  }
  void TrainingStarted(int64_t step) override { started_at = step; }
  void Progress(const ProgressRecord& record) override { progress.push_back(record); }
  void StepTimed(const StepRecord& record) override {
    steps.push_back(record);
    step_times.push_back(std::chrono::steady_clock::now());
    if (stop_after > 0 && static_cast<int64_t>(steps.size()) == stop_after)
      stop = StopRequest{.checkpoint = stop_checkpoint, .reason = "test"};
  }
  void EpochFinished(const EpochRecord& record) override { epochs.push_back(record); }
  void ArtifactStaged(const ArtifactRecord& record) override {
    artifacts.push_back(record);
    if (!fs::exists(record.staging_path) && fs::exists(record.path)) return;  // as storage::PublishDirectory
    fs::remove_all(record.path);
    fs::create_directories(record.path.parent_path());
    fs::rename(record.staging_path, record.path);
  }
  void At(const dist::Whereabouts::Place& place) override { places.push_back(place); }
  void Notice(bool warning, const std::string& text) override { (warning ? warnings : notices).push_back(text); }
  void Finished(const ResultRecord& record) override { result = record; }
  std::optional<StopRequest> StopRequested() override { return stop; }
  absl::Status WaitUntilCommitted(const fs::path&, int64_t) override { return absl::OkStatus(); }

  // Ranks of one process meet here; forget it between two gangs.
  struct MeetingPoint {
    std::mutex mutex;
    std::condition_variable changed;
    std::pair<std::string, int> store{"", 0};
  };
  static MeetingPoint& Meeting() {
    static MeetingPoint meeting;
    return meeting;
  }
  static void ForgetStore() { Meeting().store = {"", 0}; }

  int64_t started_at = -1;
  int64_t stop_after = 0;  // steps; 0: never
  bool stop_checkpoint = true;
  std::vector<ProgressRecord> progress;
  std::vector<StepRecord> steps;
  std::vector<std::chrono::steady_clock::time_point> step_times;
  std::vector<EpochRecord> epochs;
  std::vector<ArtifactRecord> artifacts;
  std::vector<std::string> notices, warnings;
  std::vector<dist::Whereabouts::Place> places;
  std::optional<ResultRecord> result;
  std::optional<StopRequest> stop;
};

// Runs `world_size` ranks as threads of this process over Gloo; links[r] records rank r. stop_after: as RecordingLink's, of rank
// 0.
inline std::vector<absl::Status> RunGang(TrainJob job, int world_size, std::vector<RecordingLink>& links,
                                         int64_t stop_after = 0) {
  RecordingLink::ForgetStore();
  links = std::vector<RecordingLink>(static_cast<size_t>(world_size));
  links[0].stop_after = stop_after;
  std::vector<absl::Status> statuses(links.size());
  std::vector<std::thread> threads;
  job.world_size = world_size;
  for (int rank = 0; rank < world_size; ++rank) {
    threads.emplace_back([&, rank, mine = job]() mutable {
      mine.rank = mine.gpu = rank;
      statuses[static_cast<size_t>(rank)] = RunTraining(mine, links[static_cast<size_t>(rank)]);
    });
  }
  for (std::thread& t : threads) t.join();
  return statuses;
}

}  // namespace pixelrec::train
