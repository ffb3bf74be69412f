// What lies in a GPU's memory.
#include <thread>
#include <vector>

#include "tests/device/gpu_test.h"
#include "worker/train/session.h"

namespace pixelrec::train {
namespace {

class GpuMemory : public GpuTrainingTest {
 protected:
  int64_t PeakOf(const TrainJob& job) const {
    dist::ResetPeakMemory(FirstGpu());
    Steps(job, 1, 3);
    return dist::PeakMemoryBytes(FirstGpu());
  }

  // Bytes on each rank's GPU with the job opened.
  std::vector<int64_t> BytesWhenOpen(const TrainJob& job, int world_size) const {
    RecordingLink::ForgetStore();
    std::vector<int64_t> bytes(static_cast<size_t>(world_size));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < world_size; ++rank) {
      threads.emplace_back([&, rank, mine = job]() mutable {
        mine.rank = mine.gpu = rank;
        mine.world_size = world_size;
        RecordingLink link;
        const at::Device device(at::kCUDA, static_cast<c10::DeviceIndex>(rank));
        const int64_t before = dist::MemoryBytes(device);
        const auto session = OpenSession(mine, link);
        ASSERT_TRUE(session.ok()) << session.status();
        bytes[static_cast<size_t>(rank)] = dist::MemoryBytes(device) - before;
        (*session)->group.Barrier();
      });
    }
    for (std::thread& t : threads) t.join();
    return bytes;
  }
};

TEST_F(GpuMemory, CheckpointingLowersThePeak) {
  TrainJob job = Job("peak");
  job.global_batch_size = job.micro_batch_size = 64;
  job.output_policy = OutputPolicy::kReplace;
  job.gradient_checkpointing = false;
  const int64_t without = PeakOf(job);
  job.gradient_checkpointing = true;
  const int64_t with = PeakOf(job);
  EXPECT_GT(with, 0);
  EXPECT_LT(with, without);
  EXPECT_EQ(dist::MemoryBytes(FirstGpu()), 0) << "a finished job leaves tensors behind";
}

TEST_F(GpuMemory, MastersOnTheHostLeaveTheGpu) {
  TrainJob job = Job("offload");
  job.output_policy = OutputPolicy::kReplace;
  const int64_t on_gpu = BytesWhenOpen(job, 1)[0];
  job.offload_optimizer = true;
  // Weights and gradients stay; of weights, gradients and two moments that is half.
  EXPECT_LT(static_cast<double>(BytesWhenOpen(job, 1)[0]), 0.6 * static_cast<double>(on_gpu));
}

// With one GPU a rank owns everything at any stage.
TEST_F(GpuMemory, ShardsAreSmallerThanTheWhole) {
  TrainJob job = Job("shards");
  job.output_policy = OutputPolicy::kReplace;
  const std::vector<int64_t> whole = BytesWhenOpen(job, gpus_);
  job.item_zero_stage = job.user_zero_stage = 3;
  const std::vector<int64_t> shards = BytesWhenOpen(job, gpus_);
  for (size_t rank = 0; rank < whole.size(); ++rank) {
    if (gpus_ == 1) {
      EXPECT_EQ(shards[rank], whole[rank]);
    } else {
      EXPECT_LT(shards[rank], whole[rank]) << "rank " << rank;
    }
  }
}

}  // namespace
}  // namespace pixelrec::train
