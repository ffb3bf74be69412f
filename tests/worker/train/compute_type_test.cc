// Which type a job computes in: a pure function of what was asked for and what the ranks' hardware has.
#include "worker/train/compute_type.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixelrec::train {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TrainJob Asking(bool bf16, int world_size, const std::string& instructions) {
  TrainJob job;
  job.bf16 = bf16;
  job.world_size = world_size;
  job.hardware.bf16_instructions = instructions;
  return job;
}

TEST(ComputeType, Bf16WhereEveryRankHasIt) {
  const ComputeChoice choice = ChooseComputeType(Asking(true, 2, "amx_bf16"), 2);
  EXPECT_EQ(choice.type, ComputeType::kBf16);
  EXPECT_THAT(choice.notice, HasSubstr("computing in bf16 (amx_bf16)"));
}

TEST(ComputeType, Fp32WithoutInstructionsAndSaysWhy) {
  const ComputeChoice choice = ChooseComputeType(Asking(true, 1, ""), 0);
  EXPECT_EQ(choice.type, ComputeType::kFp32);
  EXPECT_EQ(choice.notice,
            "bf16: true was asked for; this rank's CPU has no bf16 instructions (amx_bf16 or avx512_bf16), without which bf16 is "
            "slower: training in fp32");
}

TEST(ComputeType, OneRankWithoutInstructionsDecidesForAll) {
  const ComputeChoice choice = ChooseComputeType(Asking(true, 3, "avx512_bf16"), 2);
  EXPECT_EQ(choice.type, ComputeType::kFp32);
  EXPECT_THAT(choice.notice, HasSubstr("1 of 3 ranks' CPUs have no bf16 instructions"));
}

TEST(ComputeType, Fp32AsAskedNeedsNoWord) {
  const ComputeChoice choice = ChooseComputeType(Asking(false, 1, "amx_bf16"), 1);
  EXPECT_EQ(choice.type, ComputeType::kFp32);
  EXPECT_THAT(choice.notice, IsEmpty());
}

TEST(ComputeType, AnEvaluationReadsTheMastersRuleW4) {
  TrainJob job = Asking(true, 1, "amx_bf16");
  job.evaluate_only = true;
  EXPECT_EQ(ChooseComputeType(job, 1).type, ComputeType::kFp32);
}

TEST(ComputeType, CompatRoundsWhateverTheHardwareRuleP1) {
  TrainJob job = Asking(true, 1, "");
  job.compat.bf16_rounding = true;
  EXPECT_EQ(ChooseComputeType(job, 0).type, ComputeType::kBf16);
  EXPECT_THAT(ChooseComputeType(job, 0).notice, HasSubstr("compat"));
}

}  // namespace
}  // namespace pixelrec::train
