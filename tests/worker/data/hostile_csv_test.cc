// CSV files that nobody meant well with: each is refused by name, or read, in bounded memory.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/data/small_dataset.h"

namespace pixelrec::data {
namespace {

using testing::HasSubstr;

constexpr char kFine[] = "user_id,item_id\nu,a\nu,b\nu,c\nu,d\nu,e\nv,f\n";
constexpr char kTexts[] = "item_id,title\na,A\n";

TEST(HostileCsv, AMillionColumns) {
  std::string header = "item_id,title";
  for (int i = 0; i < 1000000; ++i) absl::StrAppend(&header, ",c", i);
  EXPECT_THAT(SmallDataset(kFine, header + "\na,A\n").Error(), HasSubstr("items.csv:1: the row is longer than 4194304 bytes"));
  // Within the limit: the header is read, the row that doesn't fit it is named.
  const std::string commas = "item_id,title" + std::string(1000000, ',');
  EXPECT_THAT(SmallDataset(kFine, commas + "\na,A\n").Error(),
              HasSubstr("items.csv:2: 2 fields, but the header has 1000002 columns"));
}

TEST(HostileCsv, AFieldOfAHundredMegabytes) {
  for (const char* quote : {"", "\""}) {
    const std::string texts = std::string("item_id,title\na,") + quote + std::string(100 << 20, 'x') + quote + "\n";
    EXPECT_THAT(SmallDataset(kFine, texts).Error(), HasSubstr("items.csv:2: the row is longer than 4194304 bytes"));
  }
}

TEST(HostileCsv, AFieldJustBelowTheLimitIsATextLikeAnyOther) {
  SmallDataset data(kFine, "item_id,title\na," + std::string(4 << 20, 'x').substr(0, (4 << 20) - 64) + "\n");
  data.options.max_text_length = 16;
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  EXPECT_EQ(dataset->tokens(1).size(), 16u);
  EXPECT_EQ(data.report.truncated_items, 1);
}

TEST(HostileCsv, NoLineEndAtTheEndOfTheFile) {
  SmallDataset data("user_id,item_id\nu,a\nu,b\nu,c\nu,d\nu,e", "item_id,title\na,A\nb,B");
  ASSERT_NE(data.Open(), nullptr);
  EXPECT_EQ(data.report.interactions, 5);
  EXPECT_EQ(data.report.items_without_text, 3);
}

TEST(HostileCsv, OnlyLineEndsNulsOrQuotes) {
  EXPECT_THAT(SmallDataset(std::string(1 << 20, '\n'), kTexts).Error(), HasSubstr("interactions.csv:1048577: the file is empty"));
  EXPECT_THAT(SmallDataset(std::string(1 << 20, '\0'), kTexts).Error(),
              HasSubstr("interactions.csv:1: the header is not UTF-8 text"));
  EXPECT_THAT(SmallDataset(std::string(1 << 20, '"'), kTexts).Error(), HasSubstr("interactions.csv:1: no column \"user_id\""));
}

}  // namespace
}  // namespace pixelrec::data
