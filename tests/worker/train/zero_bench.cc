// What ZeRO and checkpoints cost: steps of the quickstart job on two ranks at every stage, the same with a checkpoint each 20
// steps, and the time in which two ranks read a checkpoint of four. Configurations take turns within one run, so that their
// ratios share the machine's moods. Not a Google Benchmark: ranks are processes.
// Build: cmake --build build --target zero_bench; usage: zero_bench [ROUNDS [STEPS]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "tests/worker/train/rank_process.h"
#include "worker/train/artifacts.h"

namespace pixelrec::train {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The first steps build caches, and are left out.
constexpr size_t kWarmUp = 5;

fs::path PrepareQuickstart(const fs::path& folder) {
  data::PrepareOptions options;
  options.interaction_data = QuickstartFile("movietweetings-100k/interactions.csv");
  options.text_data = QuickstartFile("movietweetings-100k/items.csv");
  options.text_keys = {"title", "tag"};
  options.max_text_length = 48;
  options.max_seq_length = 11;
  options.tokenizer_dir = QuickstartFile("stories260k");
  options.cache_dir = folder / "datasets";
  const auto report = data::Prepare(options);
  if (report.ok()) return report->path;
  std::fprintf(stderr, "error: %s\n", std::string(report.status().message()).c_str());
  std::exit(1);
}

TrainJob QuickstartJob(const fs::path& dataset, const fs::path& output) {
  TrainJob job = SmallJob(dataset, output);
  job.text_keys = {"title", "tag"};
  job.global_batch_size = job.micro_batch_size = 32;
  job.learning_rate = 2e-3;
  return job;
}

// Wall seconds of each step after the warm-up.
std::vector<double> StepSeconds(const TrainJob& job, int64_t steps) {
  fs::remove_all(job.output_dir);
  return InProcesses(job, 2, [steps](const TrainJob& mine, RecordingLink& link) {
    link.stop_after = mine.rank == 0 ? steps : 0;
    link.stop_checkpoint = false;
    const absl::Status status = RunTraining(mine, link);
    if (!absl::IsCancelled(status)) {
      std::fprintf(stderr, "error: rank %d: %s\n", mine.rank, status.ToString().c_str());
      return std::vector<double>();
    }
    std::vector<double> seconds;
    for (size_t i = kWarmUp + 1; i < link.step_times.size(); ++i)
      seconds.push_back(std::chrono::duration<double>(link.step_times[i] - link.step_times[i - 1]).count());
    return seconds;
  });
}

// Four ranks write a checkpoint, two read it. -> seconds of the slower reader, or less than 0.
double ReshardSeconds(TrainJob job) {
  fs::remove_all(job.output_dir);
  job.item_zero_stage = job.user_zero_stage = 3;
  job.checkpoint_every_steps = 3;
  const std::vector<double> written = InProcesses(job, 4, [](const TrainJob& mine, RecordingLink& link) {
    link.stop_after = mine.rank == 0 ? 3 : 0;
    return absl::IsCancelled(RunTraining(mine, link)) ? std::vector<double>{1} : std::vector<double>();
  });
  if (written.empty()) return -1;
  job.item_zero_stage = job.user_zero_stage = 2;
  const std::vector<double> read = InProcesses(job, 2, [](const TrainJob& mine, RecordingLink& link) {
    auto session = OpenSession(mine, link);
    if (!session.ok()) return std::vector<double>();
    (*session)->job.resume_from = mine.output_dir / "recovery/step-3";
    (*session)->group.Barrier();
    const auto start = Clock::now();
    const absl::Status status = RestoreCheckpoint(**session);
    (*session)->group.Barrier();
    return status.ok() ? std::vector<double>{SecondsSince(start)} : std::vector<double>();
  });
  return read.empty() ? -1 : read[0];
}

int Main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  const int steps = argc > 2 ? std::atoi(argv[2]) : 45;
  if (rounds < 1 || steps <= 20 + static_cast<int>(kWarmUp)) {
    std::fprintf(stderr, "usage: zero_bench [ROUNDS [STEPS]]; at least %zu steps\n", 21 + kWarmUp);
    return 2;
  }
  const TestFolder folder("zero-bench");
  const fs::path dataset = PrepareQuickstart(folder.path());
  struct Configuration {
    std::string name;
    int stage;
    int64_t every_steps;
  };
  const std::vector<Configuration> configurations = {
      {"data parallel", 0, 0}, {"ZeRO-1", 1, 0}, {"ZeRO-2", 2, 0}, {"ZeRO-3", 3, 0}, {"ZeRO-2, checkpoint each 20", 2, 20}};
  std::map<std::string, std::vector<double>> medians, means;
  for (int round = 0; round < rounds; ++round) {
    for (const Configuration& c : configurations) {
      TrainJob job = QuickstartJob(dataset, folder.path() / "out");
      job.item_zero_stage = job.user_zero_stage = c.stage;
      job.checkpoint_every_steps = c.every_steps;
      const std::vector<double> seconds = StepSeconds(job, steps);
      if (seconds.empty()) return 1;
      medians[c.name].push_back(Median(seconds));
      means[c.name].push_back(std::accumulate(seconds.begin(), seconds.end(), 0.0) / static_cast<double>(seconds.size()));
      std::printf("round %d  %-28s median %.4f s  mean %.4f s\n", round + 1, c.name.c_str(), medians[c.name].back(),
                  means[c.name].back());
      std::fflush(stdout);
    }
  }
  // Of each round's pair, so that a slow minute strikes both sides.
  const auto ratio = [&](std::map<std::string, std::vector<double>>& of, const std::string& a, const std::string& b) {
    std::vector<double> ratios;
    for (int r = 0; r < rounds; ++r) ratios.push_back(of[a][static_cast<size_t>(r)] / of[b][static_cast<size_t>(r)]);
    return Median(ratios);
  };
  for (const char* stage : {"ZeRO-1", "ZeRO-2", "ZeRO-3"})
    std::printf("%s / data parallel, median step, 2 ranks: %+.1f %%\n", stage,
                100 * (ratio(medians, stage, "data parallel") - 1));
  std::printf("checkpoint each 20 steps / none, mean step: %+.1f %%\n",
              100 * (ratio(means, "ZeRO-2, checkpoint each 20", "ZeRO-2") - 1));
  const double reshard = ReshardSeconds(QuickstartJob(dataset, folder.path() / "reshard"));
  if (reshard < 0) return 1;
  std::printf("checkpoint of 4 ranks read by 2: %.3f s\n", reshard);
  return 0;
}

}  // namespace
}  // namespace pixelrec::train

int main(int argc, char** argv) { return pixelrec::train::Main(argc, argv); }
