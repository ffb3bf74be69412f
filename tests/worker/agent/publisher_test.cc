#include "worker/agent/publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "common/storage/atomic_file.h"
#include "tests/common/temporary_folder.h"

namespace pixelrec::agent {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class PublisherTest : public testing::Test {
 protected:
  v1::CommitArtifact Staged(const std::string& name, const std::string& content) {
    const fs::path staging = dir_ / ".staging" / ("g1-" + name);
    fs::create_directories(staging);
    EXPECT_TRUE(storage::WriteFileAtomically(staging / "manifest.json", content).ok());
    v1::CommitArtifact order;
    order.mutable_artifact()->set_staging_path(staging.string());
    order.mutable_artifact()->set_path((dir_ / name).string());
    return order;
  }

  const TemporaryFolder folder_;
  const fs::path dir_ = folder_.path();
  const AllowedPaths anywhere_{{}};
};

TEST_F(PublisherTest, PublishesOnceHoweverOften) {
  const v1::CommitArtifact order = Staged("checkpoint-epoch-1", "one");
  for (int i = 0; i < 3; ++i) {
    const Publication publication = Publish(order, anywhere_);
    EXPECT_TRUE(publication.status.ok()) << publication.status;
    EXPECT_EQ(*storage::ReadFile(dir_ / "checkpoint-epoch-1" / "manifest.json"), "one");
  }
}

TEST_F(PublisherTest, ReapsOldRecoveryCheckpointsAndNothingElse) {
  fs::create_directories(dir_ / "recovery" / "step-100");
  fs::create_directories(dir_ / "best_model");
  v1::CommitArtifact order = Staged("recovery/step-300", "x");
  for (const char* path : {"recovery/step-100", "recovery/step-99", "best_model", "recovery/step-1/../../best_model"}) {
    order.add_reap((dir_ / path).string());
  }
  const Publication publication = Publish(order, anywhere_);
  EXPECT_TRUE(publication.status.ok()) << publication.status;
  EXPECT_FALSE(fs::exists(dir_ / "recovery" / "step-100"));
  EXPECT_TRUE(fs::exists(dir_ / "recovery" / "step-300"));
  EXPECT_TRUE(fs::exists(dir_ / "best_model"));
  EXPECT_EQ(publication.complaints.size(), 2u);
}

TEST_F(PublisherTest, AFailedRenameReapsNothing) {
  fs::create_directories(dir_ / "recovery" / "step-100");
  v1::CommitArtifact order;
  order.mutable_artifact()->set_staging_path((dir_ / "gone").string());
  order.mutable_artifact()->set_path((dir_ / "checkpoint-epoch-1").string());
  order.add_reap((dir_ / "recovery" / "step-100").string());
  const Publication publication = Publish(order, anywhere_);
  EXPECT_EQ(publication.status.code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(fs::exists(dir_ / "recovery" / "step-100"));
  EXPECT_EQ(CheckpointFailureReason(publication.status), "missing");
  EXPECT_EQ(PublishFailure(publication.status).cause(), v1::FAILURE_CAUSE_OUTPUT_UNWRITABLE);
}

TEST_F(PublisherTest, FailuresAreTyped) {
  EXPECT_EQ(PublishFailure(absl::ResourceExhaustedError("full")).cause(), v1::FAILURE_CAUSE_DISK_FULL);
  EXPECT_EQ(CheckpointFailureReason(absl::ResourceExhaustedError("full")), "disk_full");
  EXPECT_EQ(CheckpointFailureReason(absl::PermissionDeniedError("no")), "unwritable");
  EXPECT_EQ(PublishFailure(absl::InternalError("EIO")).cause(), v1::FAILURE_CAUSE_INTERNAL);
}

TEST_F(PublisherTest, OutsideTheRootsNothingHappens) {
  const v1::CommitArtifact order = Staged("checkpoint-epoch-1", "one");
  fs::create_directories(dir_ / "root");
  const Publication publication = Publish(order, AllowedPaths({dir_ / "root"}));
  EXPECT_EQ(publication.status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_FALSE(fs::exists(dir_ / "checkpoint-epoch-1"));
}

TEST_F(PublisherTest, RootsHoldAgainstLinksAndDots) {
  fs::create_directories(dir_ / "root" / "in");
  fs::create_directories(dir_ / "outside");
  fs::create_symlink(dir_ / "outside", dir_ / "root" / "link");
  const AllowedPaths allowed({dir_ / "root"});
  EXPECT_TRUE(allowed.Check(dir_ / "root").ok());
  EXPECT_TRUE(allowed.Check(dir_ / "root" / "in" / "new").ok());
  EXPECT_FALSE(allowed.Check(dir_ / "root" / "link" / "x").ok());
  EXPECT_FALSE(allowed.Check(dir_ / "root" / ".." / "outside").ok());
  EXPECT_FALSE(allowed.Check(dir_ / "rooted").ok());
  EXPECT_FALSE(allowed.Check("relative").ok());
}

TEST_F(PublisherTest, APlanOutsideTheRootsNamesItsField) {
  v1::TrainerPlan plan;
  plan.mutable_spec()->mutable_data()->set_interaction_data((dir_ / "root" / "a.csv").string());
  plan.mutable_spec()->mutable_data()->set_text_data("/etc/passwd");
  const absl::Status status = AllowedPaths({dir_ / "root"}).CheckPlan(plan);
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("spec.data.text_data: /etc/passwd lies outside"));
  EXPECT_TRUE(anywhere_.CheckPlan(plan).ok());
}

// The disk has room again, and the coordinator has sent the order once more before it heard of the failure.
TEST_F(PublisherTest, AFailedOrderIsFailedForItsGeneration) {
  FailedOrders failed;
  v1::CommitArtifact order = Staged("recovery/step-50", "x");
  order.set_job_id("flow-1");
  order.set_generation(3);
  EXPECT_FALSE(failed.Contains(order));
  failed.Add(order);
  EXPECT_TRUE(failed.Contains(order));
  v1::CommitArtifact other = order;
  other.mutable_artifact()->set_path((dir_ / "recovery/step-55").string());
  EXPECT_FALSE(failed.Contains(other));
  failed.Add(other);
  EXPECT_TRUE(failed.Contains(order) && failed.Contains(other));
  v1::CommitArtifact newer = order;
  newer.set_generation(4);
  EXPECT_FALSE(failed.Contains(newer));
  failed.Add(newer);
  EXPECT_FALSE(failed.Contains(order));
}

}  // namespace
}  // namespace pixelrec::agent
