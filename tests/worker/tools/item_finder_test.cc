#include "worker/tools/item_finder.h"

#include <array>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pixelrec::tools {
namespace {

using testing::HasSubstr;

constexpr std::array<const char*, 7> kIds = {"", "m1", "m2", "m3", "m4", "m5", "Alien"};
constexpr std::array<const char*, 7> kTitles = {
    "", "Alien | Horror", "alien | Drama", "Aliens | Action", "Heat | Crime", "Heat | Comedy", ""};

ItemFinder Finder() {
  return ItemFinder(
      6, [](uint32_t i) { return absl::string_view(kIds[i]); }, [](uint32_t i) { return absl::string_view(kTitles[i]); });
}

TEST(ItemFinder, AnIdComesBeforeATitle) {
  EXPECT_EQ(*Finder().ByIdOrTitle("Alien"), 6u);
  EXPECT_EQ(*Finder().ByIdOrTitle("m3"), 3u);
  EXPECT_EQ(*Finder().ById("m3"), 3u);
  EXPECT_EQ(Finder().ById("Aliens").status().code(), absl::StatusCode::kNotFound);
}

TEST(ItemFinder, ATitleWholeOrItsFirstFieldInAnyCase) {
  EXPECT_EQ(*Finder().ByIdOrTitle("Aliens"), 3u);
  EXPECT_EQ(*Finder().ByIdOrTitle("ALIENS | action"), 3u);
  EXPECT_EQ(*Finder().ByIdOrTitle("Heat | Comedy"), 5u);
  // Two differ in case only: the one written so.
  EXPECT_EQ(*Finder().ByIdOrTitle("alien"), 2u);
}

TEST(ItemFinder, AnAmbiguousTitleNamesTheIds) {
  const absl::Status status = Finder().ByIdOrTitle("heat").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("2 items have the title \"heat\"; name one by its id: m4, m5"));
}

TEST(ItemFinder, AnUnknownTitleNamesTheNearest) {
  const absl::Status status = Finder().ByIdOrTitle("Alienz").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no item has the id or title \"Alienz\"; nearest: \"A"));
  EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("Heat")));
  EXPECT_EQ(std::string(Finder().ByIdOrTitle("qqq").status().message()), "no item has the id or title \"qqq\"");
}

}  // namespace
}  // namespace pixelrec::tools
