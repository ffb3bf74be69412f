// The memory plan against what training really allocates: state to the byte, steps within a tenth.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/worker/train/allocation_meter.h"
#include "tests/worker/train/small_job.h"
#include "worker/checkpoint/decoder_config.h"
#include "worker/dist/flat_parameters.h"
#include "worker/plan/memory_plan.h"
#include "worker/train/hllm_parameters.h"
#include "worker/train/optimizer.h"

namespace pixelrec::train {
namespace {

struct ModelSize {
  int64_t hidden, intermediate, layers, heads, kv_heads, vocab;
};

// Ends after its first step, without a checkpoint; notes what was there before it.
class MeteringLink : public RecordingLink {
 public:
  void TrainingStarted(int64_t step) override {
    RecordingLink::TrainingStarted(step);
    state = meter->live();
    meter->ForgetPeak();
    stop = StopRequest{.checkpoint = false, .reason = "test"};
  }
  std::shared_ptr<AllocationMeter> meter = std::make_shared<AllocationMeter>();
  int64_t state = 0;
};

// Of the rank that held most.
struct Bytes {
  int64_t state = 0;
  int64_t step = 0;  // beyond the state
};

class MemoryTest : public testing::Test {
 protected:
  fs::path WriteModel(const ModelSize& size) const {
    const fs::path dir = folder_.path() / "model";
    fs::create_directories(dir);
    std::ofstream(dir / "config.json") << "{\"model_type\": \"llama\", \"hidden_size\": " << size.hidden
                                       << ", \"intermediate_size\": " << size.intermediate
                                       << ", \"num_hidden_layers\": " << size.layers
                                       << ", \"num_attention_heads\": " << size.heads
                                       << ", \"num_key_value_heads\": " << size.kv_heads << ", \"vocab_size\": " << size.vocab
                                       << ", \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0}";
    return dir;
  }

  TrainJob Job(const fs::path& model, int64_t batch, int world_size) const {
    TrainJob job = SmallJob(dataset_, folder_.path() / "output");
    job.item_model_dir = job.user_model_dir = model;
    job.item_llm_init = job.user_llm_init = false;
    job.global_batch_size = job.micro_batch_size = batch;
    job.world_size = world_size;
    job.output_policy = OutputPolicy::kReplace;
    return job;
  }

  // The ranks as threads, one step each.
  static Bytes Measure(const TrainJob& job) {
    RecordingLink::ForgetStore();
    std::vector<MeteringLink> links(static_cast<size_t>(job.world_size));
    std::vector<std::thread> ranks;
    for (int rank = 0; rank < job.world_size; ++rank) {
      ranks.emplace_back([&link = links[static_cast<size_t>(rank)], rank, mine = job]() mutable {
        const Metered metered(link.meter);
        mine.rank = rank;
        const absl::Status status = RunTraining(mine, link);
        EXPECT_TRUE(absl::IsCancelled(status)) << status;
      });
    }
    for (std::thread& rank : ranks) rank.join();
    Bytes most;
    for (const MeteringLink& link : links) {
      EXPECT_EQ(link.steps.size(), 1U);
      most.state = std::max(most.state, link.state);
      most.step = std::max(most.step, link.meter->peak() - link.state);
    }
    return most;
  }

  plan::Workload WorkloadOf(const TrainJob& job) const {
    const auto config = checkpoint::ReadDecoderConfig(job.item_model_dir);
    const auto dataset = data::Dataset::Open(dataset_);
    EXPECT_TRUE(config.ok() && dataset.ok());
    plan::Workload workload{.model = {.item_llm = *config, .user_llm = *config}};
    if (job.bf16) workload.model.widths = {.weights = 2, .gradients = 4, .embeddings = 4};
    const int64_t passes = job.grad_cache ? job.global_batch_size / job.micro_batch_size : 1;
    for (int rank = 0; rank < job.world_size; ++rank) {
      const data::BatchOptions options{.seed = job.seed,
                                       .global_batch_size = job.global_batch_size,
                                       .micro_batch_size = job.micro_batch_size * passes,
                                       .rank = rank,
                                       .world_size = job.world_size};
      workload.shapes.push_back(plan::ShapeOf(**dataset, data::MakeBatch(**dataset, options, 1, 0, 0), false, passes));
    }
    return workload;
  }

  dist::UnitLayout LayoutOf(const TrainJob& job, int stage) const {
    return plan::LayoutFor(WorkloadOf(job).model, {job.world_size, stage, stage, true});
  }

  // Prints a row of the table and holds both figures against each other.
  void Compare(TrainJob job, int stage, bool checkpointing) const {
    SCOPED_TRACE(testing::Message() << "stage " << stage << ", checkpointing " << checkpointing);
    job.item_zero_stage = job.user_zero_stage = stage;
    job.gradient_checkpointing = checkpointing;
    const plan::RankMemory planned = plan::MemoryOf(WorkloadOf(job), {job.world_size, stage, stage, checkpointing});
    const Bytes measured = Measure(job);
    const int64_t step = planned.step.activations + planned.step.collectives;
    const double peak = static_cast<double>(planned.state.total() + step) / static_cast<double>(measured.state + measured.step);
    std::printf("  %5d  %-13s  %12ld  %12ld  %12ld  %12ld  %6.3f\n", stage, checkpointing ? "yes" : "no",
                static_cast<long>(planned.state.total()), static_cast<long>(measured.state), static_cast<long>(step),
                static_cast<long>(measured.step), peak);
    // Beside the state: tables of rotary positions, and at stages 1 and 2 the last gather of what was loaded.
    const int64_t gathering = stage == 1 || stage == 2 ? 4 * plan::LargestUnit(LayoutOf(job, stage), 1) : 0;
    EXPECT_GE(measured.state, planned.state.total());
    EXPECT_LE(measured.state - planned.state.total(), gathering + (64 << 10));
    EXPECT_NEAR(peak, 1, 0.1);
    EXPECT_NEAR(static_cast<double>(step) / static_cast<double>(measured.step), 1, 0.1);
  }

  void PrintHead(const TrainJob& job) const {
    std::printf("%.1f M parameters, ranks: %d, bytes of one rank:\n",
                static_cast<double>(LayoutOf(job, 0).parameter_count()) / 1e6, job.world_size);
    std::printf("  stage  checkpointing  state planned      measured  step planned      measured  planned/measured peak\n");
  }

  TestFolder folder_{"memory"};
  fs::path dataset_ = PrepareSmallData(folder_.path(), 6000);
};

// FlatParameters, UnitExchange and AdamW by themselves.
TEST_F(MemoryTest, StateIsExact) {
  const auto config = checkpoint::ReadDecoderConfig(WriteModel({64, 172, 3, 4, 2, 512}));
  ASSERT_TRUE(config.ok()) << config.status();
  const std::vector<std::pair<dist::Rounding, plan::Widths>> kinds = {
      {dist::Rounding::kNone, {4, 4, 4}}, {dist::Rounding::kWeights, {2, 4, 4}}, {dist::Rounding::kAll, {2, 2, 2}}};
  for (const auto& [rounding, widths] : kinds) {
    for (const auto& [item, user] : {std::pair(0, 0), std::pair(1, 1), std::pair(2, 2), std::pair(3, 3), std::pair(3, 1)}) {
      for (const int world_size : {1, 2, 3}) {
        SCOPED_TRACE(testing::Message() << "weights of " << widths.weights << ", gradients of " << widths.gradients
                                        << " bytes, stages " << item << " and " << user << ", " << world_size << " ranks");
        const auto meter = std::make_shared<AllocationMeter>();
        const Metered metered(meter);
        dist::FlatParameters parameters(HllmUnits(*config, *config, 1, item, user), at::TensorOptions(at::kFloat), rounding,
                                        {world_size - 1, world_size});
        const dist::UnitExchange exchange(parameters, dist::ProcessGroup::Alone());
        const auto groups = GroupParameters(parameters, {}, {});
        ASSERT_TRUE(groups.ok());
        const AdamW optimizer(parameters, *groups, {});
        EXPECT_EQ(meter->live(), plan::StateOf(parameters.layout(), widths).total());
      }
    }
  }
}

TEST_F(MemoryTest, PlannedIsMeasuredAtEveryStage) {
  const TrainJob job = Job(WriteModel({128, 344, 4, 4, 2, 512}), 16, 2);
  PrintHead(job);
  for (const bool checkpointing : {true, false}) {
    for (int stage = 0; stage <= 3; ++stage) Compare(job, stage, checkpointing);
  }
}

TEST_F(MemoryTest, PlannedIsMeasuredOnOneRank) {
  const TrainJob job = Job(WriteModel({128, 344, 3, 4, 4, 4096}), 6, 1);
  PrintHead(job);
  for (const bool checkpointing : {true, false}) Compare(job, 0, checkpointing);
}

// Whether or not this CPU is fast at it.
TEST_F(MemoryTest, PlannedIsMeasuredInBf16) {
  TrainJob job = Job(WriteModel({128, 344, 4, 4, 2, 512}), 8, 2);
  job.bf16 = true;
  job.hardware = {.bf16_instructions = "avx512_bf16"};
  PrintHead(job);
  for (const bool checkpointing : {true, false}) {
    for (const int stage : {0, 3}) Compare(job, stage, checkpointing);
  }
}

TEST_F(MemoryTest, PlannedIsMeasuredWithCachedGradientsRuleW12) {
  TrainJob job = Job(WriteModel({128, 344, 4, 4, 2, 512}), 16, 2);
  job.micro_batch_size = 4;
  job.grad_cache = true;
  PrintHead(job);
  for (const int stage : {0, 2}) Compare(job, stage, false);
}

// Minutes, and up to 6 GB: `PIXELREC_LONG_TESTS=1`.
TEST_F(MemoryTest, OfAHundredMillionParametersOnFourRanks) {
  if (std::getenv("PIXELREC_LONG_TESTS") == nullptr) GTEST_SKIP() << "PIXELREC_LONG_TESTS=1 runs it";
  const ModelSize size{512, 1408, 16, 8, 8, 2000};
  const TrainJob job = Job(WriteModel(size), 4, 4);
  PrintHead(job);
  for (const int stage : {2, 3}) {
    for (const bool checkpointing : {true, false}) Compare(job, stage, checkpointing);
  }
  const dist::UnitLayout layout = LayoutOf(job, 3);
  ASSERT_GE(layout.parameter_count(), 100'000'000);
  // In fp32 weights are their own masters: 4 bytes each, 4 of gradients, 8 of moments.
  const double share = static_cast<double>(layout.parameter_count()) * 16 / 4;
  const double two_units = 2.0 * 4 * static_cast<double>(plan::LargestUnit(layout, 3));
  const double state = static_cast<double>(plan::StateOf(layout, {}).total());
  std::printf("  state at stage 3: %.0f bytes; a quarter of everything and two units: %.0f\n", state, share + two_units);
  EXPECT_NEAR(state / (share + two_units), 1, 0.1);
}

}  // namespace
}  // namespace pixelrec::train
