// How fast CSV files are read, texts tokenised, datasets prepared and opened, and batches drawn: MovieTweetings-100K, and a file
// of 2 million interactions made here.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "common/storage/atomic_file.h"
#include "worker/data/batch.h"
#include "worker/data/csv_parser.h"
#include "worker/data/dataset.h"
#include "worker/data/prepare.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::data {
namespace {

namespace fs = std::filesystem;

const fs::path kQuickstart = PIXELREC_SOURCE_DIR "/deploy/quickstart";

// A folder for the whole run.
const fs::path& Scratch() {
  struct Folder {
    Folder() {
      std::string pattern = (fs::temp_directory_path() / "pixelrec-bench-XXXXXX").string();
      if (mkdtemp(pattern.data()) == nullptr) std::abort();
      path = pattern;
    }
    ~Folder() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
    fs::path path;
  };
  static const Folder folder;
  return folder.path;
}

PrepareOptions MovieTweetings() {
  PrepareOptions options;
  options.interaction_data = kQuickstart / "movietweetings-100k/interactions.csv";
  options.text_data = kQuickstart / "movietweetings-100k/items.csv";
  options.text_keys = {"title", "tag"};
  options.max_text_length = 48;
  options.tokenizer_dir = kQuickstart / "stories260k";
  options.cache_dir = Scratch() / "cache";
  options.threads = 2;
  return options;
}

// 2 million events of 100,000 users on 50,000 items, in no order of time; a text of about 120 bytes each.
PrepareOptions Made() {
  PrepareOptions options = MovieTweetings();
  options.interaction_data = Scratch() / "interactions.csv";
  options.text_data = Scratch() / "items.csv";
  if (fs::exists(options.text_data)) return options;
  std::mt19937_64 random(1);
  std::ofstream interactions(options.interaction_data);
  interactions << "item_id,user_id,timestamp\n";
  for (int i = 0; i < 2000000; ++i) {
    interactions << 'i' << random() % 50000 << ",user" << random() % 100000 << ',' << 1600000000 + random() % 100000000 << '\n';
  }
  std::ofstream texts(options.text_data);
  texts << "item_id,title,tag\n";
  for (int i = 0; i < 50000; ++i) {
    texts << 'i' << i << ",\"A made-up title, number " << i * 7919
          << ", with as many words as a real one has\",\"Comedy, Drama, Sport, Number " << i % 97 << "\"\n";
  }
  return options;
}

// Every column that PREPARE asks for.
void ParseCsv(benchmark::State& state, const fs::path& file, const std::vector<CsvColumn>& columns) {
  const std::string content = *storage::ReadFile(file);
  for (auto _ : state) {
    int64_t rows = 0;
    CsvParser parser(file.string(), columns, [&](int64_t, auto) {
      ++rows;
      return absl::OkStatus();
    });
    if (!parser.Feed(content).ok() || !parser.Finish().ok()) state.SkipWithError("refused");
    benchmark::DoNotOptimize(rows);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * content.size()));
}
BENCHMARK_CAPTURE(ParseCsv, interactions, MovieTweetings().interaction_data,
                  std::vector<CsvColumn>{{"user_id"}, {"item_id"}, {"timestamp"}})
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ParseCsv, items, MovieTweetings().text_data, std::vector<CsvColumn>{{"item_id"}, {"title"}, {"tag"}})
    ->Unit(benchmark::kMillisecond);

void Tokenize(benchmark::State& state) {
  const auto tokenizer = tokenizer::LoadTokenizer(kQuickstart / "stories260k");
  const std::string text = "title: Yi dai zong shi (2013)tag: Action, Biography, Drama";
  int64_t tokens = 0;
  for (auto _ : state) tokens += static_cast<int64_t>((*tokenizer)->Encode(text)->size());
  state.SetItemsProcessed(tokens);
}
BENCHMARK(Tokenize);

void PrepareAnew(benchmark::State& state, const PrepareOptions& options) {
  int64_t tokens = 0;
  for (auto _ : state) {
    state.PauseTiming();
    fs::remove_all(options.cache_dir);
    state.ResumeTiming();
    const auto report = Prepare(options);
    if (!report.ok()) state.SkipWithError(report.status().ToString().c_str());
    if (report.ok()) tokens += report->tokens;
  }
  state.SetItemsProcessed(tokens);
  state.SetBytesProcessed(
      static_cast<int64_t>(state.iterations() * (fs::file_size(options.interaction_data) + fs::file_size(options.text_data))));
}
void PrepareMovieTweetings(benchmark::State& state) { PrepareAnew(state, MovieTweetings()); }
void PrepareTwoMillion(benchmark::State& state) { PrepareAnew(state, Made()); }
BENCHMARK(PrepareMovieTweetings)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(PrepareTwoMillion)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(2);

void Reuse(benchmark::State& state, const PrepareOptions& options) {
  (void)Prepare(options);
  for (auto _ : state) {
    if (!Prepare(options)->reused) state.SkipWithError("prepared anew");
  }
}
void ReuseMovieTweetings(benchmark::State& state) { Reuse(state, MovieTweetings()); }
void ReuseTwoMillion(benchmark::State& state) { Reuse(state, Made()); }
BENCHMARK(ReuseMovieTweetings)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(ReuseTwoMillion)->Unit(benchmark::kMillisecond)->UseRealTime();

void DrawBatch(benchmark::State& state) {
  const auto dataset = Dataset::Open(Prepare(MovieTweetings())->path);
  const BatchOptions options{.seed = 42, .global_batch_size = state.range(0), .micro_batch_size = state.range(0)};
  int64_t step = 0;
  const int64_t steps = StepsPerEpoch(**dataset, options);
  for (auto _ : state) benchmark::DoNotOptimize(MakeBatch(**dataset, options, 1, step++ % steps, 0));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(DrawBatch)->Arg(32)->Arg(512);

}  // namespace
}  // namespace pixelrec::data
