// Collectives over NCCL, a rank for every GPU of this machine, as threads of this process; and Gloo's beside them.
#include <ATen/ATen.h>

#include <functional>
#include <thread>

#include "tests/device/gpu_test.h"
#include "worker/dist/process_group.h"

namespace pixelrec::dist {
namespace {

constexpr std::chrono::milliseconds kTimeout{60'000};

class GpuCollectives : public GpuTest {
 protected:
  void OnEveryGpu(const std::function<void(const ProcessGroup&, const at::TensorOptions&)>& body) const {
    const auto listening = Rendezvous::Listen("127.0.0.1", kTimeout);
    ASSERT_TRUE(listening.ok()) << listening.status();
    std::vector<std::thread> threads;
    for (int rank = 0; rank < gpus_; ++rank) {
      threads.emplace_back([&, rank] {
        const auto meeting = rank == 0 ? listening : Rendezvous::Connect("127.0.0.1", listening->port(), kTimeout);
        ASSERT_TRUE(meeting.ok()) << meeting.status();
        const at::Device device(at::kCUDA, static_cast<c10::DeviceIndex>(rank));
        const auto group = ProcessGroup::Join(
            *meeting, {.rank = rank, .world_size = gpus_, .prefix = "gpu", .timeout = kTimeout, .device = device});
        ASSERT_TRUE(group.ok()) << group.status();
        body(*group, at::TensorOptions(at::kFloat).device(device));
        group->Barrier();
      });
    }
    for (std::thread& t : threads) t.join();
  }
};

TEST_F(GpuCollectives, SumGatherAndScatter) {
  OnEveryGpu([](const ProcessGroup& group, const at::TensorOptions& options) {
    const int64_t world = group.world_size(), total = world * (world + 1) / 2;
    at::Tensor sum = at::full({1000}, group.rank() + 1.0, options);
    group.AllReduceSum(sum);
    EXPECT_TRUE(at::equal(sum.cpu(), at::full({1000}, static_cast<double>(total))));
    at::Tensor whole = at::zeros({world * 64}, options);
    group.StartAllGather(whole, at::full({64}, static_cast<double>(group.rank()), options)).Wait();
    EXPECT_TRUE(at::equal(whole.cpu(), at::arange(world, at::kFloat).repeat_interleave(64)));
    at::Tensor share = at::zeros({64}, options);
    group.StartReduceScatterSum(share, at::ones({world * 64}, options)).Wait();
    EXPECT_TRUE(at::equal(share.cpu(), at::full({64}, static_cast<double>(world))));
  });
}

TEST_F(GpuCollectives, SmallThingsOfTheHostGoBesideThem) {
  OnEveryGpu([](const ProcessGroup& group, const at::TensorOptions&) {
    const std::vector<std::string> texts = group.AllGatherText(std::to_string(group.rank()));
    for (int rank = 0; rank < group.world_size(); ++rank) EXPECT_EQ(texts[static_cast<size_t>(rank)], std::to_string(rank));
    at::Tensor sums = at::ones({3}, at::kDouble);
    group.AllReduceSum(sums);
    EXPECT_TRUE(at::equal(sums, at::full({3}, static_cast<double>(group.world_size()), at::kDouble)));
  });
}

}  // namespace
}  // namespace pixelrec::dist
