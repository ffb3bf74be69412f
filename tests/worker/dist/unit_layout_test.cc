#include "worker/dist/unit_layout.h"

#include <gtest/gtest.h>

#include <vector>

namespace pixelrec::dist {
namespace {

std::vector<Unit> TwoUnits(int stage) {
  return {{"layer", {{"fused", {{"q", {3, 40}}, {"k", {1, 40}}}}, {"norm", {{"norm", {40}}}}}, stage},
          {"head", {{"scale", {{"scale", {}}}}}, 0}};
}

TEST(UnitLayout, EverythingIsOwnedWithoutSharding) {
  const UnitLayout layout(TwoUnits(0), 1, 2);
  // q and k behind each other (160), filled up to 192; the norm (40) up to 256; the scalar up to 320.
  EXPECT_EQ(layout.owned(), 320);
  EXPECT_EQ(layout.parameter_count(), 201);
  EXPECT_EQ(layout.ranges().at("k").offset, 120);
  EXPECT_EQ(layout.ranges().at("norm").offset, 192);
  EXPECT_EQ(layout.ranges().at("scale").offset, 256);
  for (const auto& [name, range] : layout.ranges()) EXPECT_TRUE(range.whole()) << name;
}

// The ranks' ranges of each tensor lie behind each other and make it up, at any world size.
TEST(UnitLayout, RangesOfAllRanksMakeUpEveryTensor) {
  for (const int world_size : {2, 3, 4, 7}) {
    std::map<std::string, int64_t> seen;
    for (int rank = 0; rank < world_size; ++rank) {
      const UnitLayout layout(TwoUnits(2), rank, world_size);
      const UnitPlace& unit = layout.units()[0];
      EXPECT_EQ(unit.numel % (world_size * UnitLayout::kAlignment), 0);
      EXPECT_EQ(unit.owned * world_size, unit.numel);
      for (const auto& [name, range] : layout.ranges()) {
        if (name == "scale") continue;
        EXPECT_EQ(range.begin, seen[name]) << name << " on rank " << rank << " of " << world_size;
        seen[name] += range.numel;
        EXPECT_LE(range.offset + range.numel, layout.owned());
      }
    }
    EXPECT_EQ(seen, (std::map<std::string, int64_t>{{"q", 120}, {"k", 40}, {"norm", 40}})) << world_size;
  }
}

TEST(UnitLayout, OneRankShardsNothing) {
  const UnitLayout layout(TwoUnits(3), 0, 1);
  EXPECT_EQ(layout.units()[0].stage, 0);
  EXPECT_EQ(layout.units()[0].owned, layout.units()[0].numel);
}

}  // namespace
}  // namespace pixelrec::dist
