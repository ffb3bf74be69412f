// How long PREPARE takes at the sizes people have, and in how much memory: synthetic data of --users and --items, made first.
// Not a Google Benchmark: one run is the measurement. Build: cmake --build build --target prepare_size_bench
// Usage: prepare_size_bench [FOLDER USERS ITEMS MEAN_EVENTS [THREADS]]; without arguments a size that takes seconds.
#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "worker/data/prepare.h"
#include "worker/data/synthetic/generator.h"

namespace {

using namespace pixelrec::data;

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double PeakMegabytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

int Fail(const absl::Status& status) {
  std::cerr << "error: " << status.message() << "\n";
  return 1;
}

int Measure(const SyntheticOptions& synthetic, int threads) {
  PrepareOptions options{.interaction_data = synthetic.out / "interactions.csv",
                         .text_data = synthetic.out / "items.csv",
                         .text_keys = {"title", "description"},
                         .item_prompt = "Compress the following sentence into embedding: ",
                         .tokenizer_dir = PIXELREC_SOURCE_DIR "/deploy/quickstart/stories260k",
                         .cache_dir = synthetic.out / "cache",
                         .threads = threads};
  auto start = std::chrono::steady_clock::now();
  if (!std::filesystem::exists(options.text_data)) {
    const auto files = GenerateDataset(synthetic);
    if (!files.ok()) return Fail(files.status());
    std::cout << "generate: " << files->events << " interactions, " << files->bytes / 1000000 << " MB, " << SecondsSince(start)
              << " s, peak " << PeakMegabytes() << " MB\n";
  }
  for (const char* what : {"prepare", "again"}) {
    start = std::chrono::steady_clock::now();
    const auto report = Prepare(options);
    if (!report.ok()) return Fail(report.status());
    std::cout << what << ": " << report->interactions << " interactions, " << report->items << " items, " << report->tokens
              << " tokens, " << (report->reused ? "reused, " : "") << SecondsSince(start) << " s, peak " << PeakMegabytes()
              << " MB\n";
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) {
    std::string pattern = (std::filesystem::temp_directory_path() / "pixelrec-bench-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) return Fail(absl::InternalError("no folder for the data under " + pattern));
    const int code = Measure({.out = pattern, .users = 20'000, .items = 10'000, .mean_events = 20}, 2);
    std::filesystem::remove_all(pattern);
    return code;
  }
  if (argc < 5) {
    std::cerr << "usage: prepare_size_bench [FOLDER USERS ITEMS MEAN_EVENTS [THREADS]]\n";
    return 2;
  }
  return Measure({.out = argv[1], .users = std::atoll(argv[2]), .items = std::atoll(argv[3]), .mean_events = std::atof(argv[4])},
                 argc > 5 ? std::atoi(argv[5]) : 2);
}
