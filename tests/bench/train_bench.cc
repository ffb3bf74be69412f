// fp32 against bf16 on this machine: matrix products, the loops around them, and whole training steps.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>

#include <memory>

#include "tests/worker/model/random_decoder.h"
#include "tests/worker/train/small_job.h"
#include "worker/train/batch_prefetcher.h"
#include "worker/train/compute_type.h"
#include "worker/train/session.h"
#include "worker/train/training_step.h"

namespace pixelrec {
namespace {

void MatrixProduct(benchmark::State& state, at::ScalarType type) {
  const int64_t n = state.range(0);
  const at::Tensor a = at::randn({n, n}).to(type), b = at::randn({n, n}).to(type);
  for (auto _ : state) benchmark::DoNotOptimize(at::mm(a, b));
  state.counters["GFLOP/s"] =
      benchmark::Counter(2e-9 * static_cast<double>(n * n * n), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK_CAPTURE(MatrixProduct, fp32, at::kFloat)->Arg(2048)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(MatrixProduct, bf16, at::kBFloat16)->Arg(2048)->UseRealTime()->Unit(benchmark::kMillisecond);

// Forward and backward of a layer's operations besides its products: 64 items of 64 tokens, 16 query and 4 kv heads of 64.
void LoopsOfALayer(benchmark::State& state, at::ScalarType type) {
  const model::Segments segments = model::MakeSegments(std::vector<int64_t>(64, 64));
  const model::RotaryTable rotary = model::MakeRotaryTable(model::Rope{}, 64, 64, at::kCPU);
  const std::vector<at::Tensor> inputs = {model::RandomWeight({4096, 1024}, 1, type), model::RandomWeight({1024}, 1, type),
                                          model::RandomWeight({4096, 24 * 64}, 1, type),
                                          model::RandomWeight({4096, 2 * 2816}, 1, type)};
  const auto norm = [](const auto& t) { return model::RmsNorm(t[0], t[1], 1e-5); };
  const auto attend = [&](const auto& t) { return model::SelfAttention(t[0], segments, rotary, {16, 4, 64, 0.125}); };
  const auto activate = [](const auto& t) { return model::SwiGlu(t[0]); };
  for (auto _ : state) {
    benchmark::DoNotOptimize(model::Differentiate(norm, {inputs[0], inputs[1]}));
    benchmark::DoNotOptimize(model::Differentiate(attend, {inputs[2]}));
    benchmark::DoNotOptimize(model::Differentiate(activate, {inputs[3]}));
  }
}
BENCHMARK_CAPTURE(LoopsOfALayer, fp32, at::kFloat)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(LoopsOfALayer, bf16, at::kBFloat16)->UseRealTime()->Unit(benchmark::kMillisecond);

// Steps of the quickstart's size (32 users, stories260K), one rank.
void Step(benchmark::State& state, bool bf16) {
  const train::TestFolder folder("train-bench");
  train::TrainJob job = train::SmallJob(train::PrepareSmallData(folder.path(), 20000), folder.path() / "out");
  job.global_batch_size = job.micro_batch_size = 32;
  job.threads = 0;
  job.bf16 = bf16;
  job.hardware.bf16_instructions = "assumed";
  train::RecordingLink link;
  auto session = train::OpenSession(job, link);
  if (!session.ok()) return state.SkipWithError(std::string(session.status().message()).c_str());
  train::TrainingStep step(**session, link);
  int64_t tokens = 0;
  int epoch = 1;
  auto batches = std::make_unique<train::BatchPrefetcher>(*(*session)->dataset, (*session)->batches, epoch, 0, 1);
  for (auto _ : state) {
    if ((*session)->position.step_in_epoch == (*session)->steps_per_epoch) {
      (*session)->position.step_in_epoch = 0;
      batches = std::make_unique<train::BatchPrefetcher>(*(*session)->dataset, (*session)->batches, ++epoch, 0, 1);
    }
    auto done = step.Run(*batches, epoch, {});
    if (!done.ok()) return state.SkipWithError(std::string(done.status().message()).c_str());
    tokens += done->global_tokens;
  }
  state.counters["tokens/s"] = benchmark::Counter(static_cast<double>(tokens), benchmark::Counter::kIsRate);
}
BENCHMARK_CAPTURE(Step, fp32, false)->UseRealTime()->Unit(benchmark::kMillisecond)->MinTime(5);
BENCHMARK_CAPTURE(Step, bf16, true)->UseRealTime()->Unit(benchmark::kMillisecond)->MinTime(5);

}  // namespace
}  // namespace pixelrec
