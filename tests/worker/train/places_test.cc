// Where ranks say that they are, for the detection of hangs.
#include <gtest/gtest.h>

#include <set>

#include "tests/worker/train/small_job.h"
#include "worker/train/trainer.h"

namespace pixelrec::train {
namespace {

using dist::Section;

TEST(Places, RanksPassEverySectionAndComeToTheSameCollectives) {
  const TestFolder folder("places");
  TrainJob job = SmallJob(PrepareSmallData(folder.path(), 600), folder.path() / "out");
  job.epochs = 2;
  job.checkpoint_every_steps = 5;
  std::vector<RecordingLink> links;
  for (const absl::Status& status : RunGang(job, 2, links)) ASSERT_TRUE(status.ok()) << status;

  for (const RecordingLink& link : links) {
    std::set<Section> sections;
    uint64_t collective = 0;
    int64_t step = 0;
    bool waited = false;
    for (const dist::Whereabouts::Place& place : link.places) {
      sections.insert(place.section);
      waited = waited || place.waits;
      EXPECT_GE(place.collective, collective);
      EXPECT_GE(place.step, step);
      collective = place.collective;
      step = place.step;
    }
    EXPECT_EQ(sections,
              (std::set<Section>{Section::kLoad, Section::kData, Section::kForward, Section::kBackward, Section::kReduce,
                                 Section::kOptimize, Section::kCopyCheckpoint, Section::kWriteCheckpoint, Section::kWriteModel,
                                 Section::kAwaitCommit, Section::kEncode, Section::kValidate, Section::kRank, Section::kReport}));
    EXPECT_TRUE(waited);
    EXPECT_FALSE(link.places.back().waits);
    EXPECT_EQ(step + 1, static_cast<int64_t>(link.steps.size()));
    EXPECT_EQ(collective, links[0].places.back().collective);
    EXPECT_TRUE(link.places.back().typical.has_value() || link.places.back().section == Section::kReport);
  }
  EXPECT_GT(links[0].places.back().collective, links[0].steps.size());
}

}  // namespace
}  // namespace pixelrec::train
