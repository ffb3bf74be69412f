// What Prepare refuses, and with which words.
#include <sys/stat.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/data/small_dataset.h"

namespace pixelrec::data {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

constexpr char kTexts[] = "item_id,title\na,A\n";
constexpr char kFine[] = "user_id,item_id\nu,a\nu,b\nu,c\nu,d\nu,e\nv,f\n";

TEST(PrepareRefusal, MissingFiles) {
  SmallDataset data(kFine, kTexts);
  data.options.interaction_data = data.folder.path() / "nowhere.csv";
  EXPECT_EQ(Prepare(data.options).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(data.Error(), HasSubstr("nowhere.csv"));
}

TEST(PrepareRefusal, FolderOrFifoInsteadOfAFile) {
  SmallDataset data(kFine, kTexts);
  data.options.text_data = data.folder.path();
  EXPECT_THAT(data.Error(), HasSubstr("not a regular file"));
  data.options.text_data = data.folder.path() / "fifo";
  ASSERT_EQ(mkfifo(data.options.text_data.c_str(), 0600), 0);
  EXPECT_THAT(data.Error(), HasSubstr("not a regular file"));
}

TEST(PrepareRefusal, MissingTextColumnNamesFileRowAndColumns) {
  SmallDataset data(kFine, kTexts);
  data.options.text_keys = {"title", "tag"};
  EXPECT_THAT(data.Error(), HasSubstr("items.csv:1: no column \"tag\" (columns: item_id, title)"));
}

TEST(PrepareRefusal, TimestampThatIsNoInteger) {
  for (const char* bad : {"12.5", "", "2024-01-01", "1e9", "99999999999999999999"}) {
    SmallDataset data(std::string("user_id,item_id,timestamp\nu,a,1\nu,b,") + bad + "\n", kTexts);
    EXPECT_THAT(data.Error(), HasSubstr(std::string("interactions.csv:3: timestamp \"") + bad + "\" is not an integer"));
  }
}

TEST(PrepareRefusal, EmptyIds) {
  EXPECT_THAT(SmallDataset("user_id,item_id\nu,a\n,b\n", kTexts).Error(), EndsWith("interactions.csv:3: empty user_id"));
  EXPECT_THAT(SmallDataset("user_id,item_id\nu,\n", kTexts).Error(), EndsWith("interactions.csv:2: empty item_id"));
  EXPECT_THAT(SmallDataset(kFine, "item_id,title\n,x\n").Error(), EndsWith("items.csv:2: empty item_id"));
}

TEST(PrepareRefusal, EmptyFiles) {
  EXPECT_THAT(SmallDataset("", kTexts).Error(), HasSubstr("interactions.csv:1: the file is empty"));
  EXPECT_THAT(SmallDataset(kFine, "").Error(), HasSubstr("items.csv:1: the file is empty"));
}

TEST(PrepareRefusal, NoSampleLeft) {
  SmallDataset data("user_id,item_id\nu,a\nu,b\nu,c\nv,a\n", kTexts);
  EXPECT_EQ(Prepare(data.options).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(data.Error(),
              HasSubstr("no training sample is left of 4 interactions: 1 of 2 users have fewer than 3 events, 1 have 3"));
  EXPECT_THAT(SmallDataset("user_id,item_id\n", kTexts).Error(), HasSubstr("no training sample is left of 0 interactions"));
}

TEST(PrepareRefusal, ChunkThatHoldsTheWholeCatalogue_W2) {
  SmallDataset data("user_id,item_id\nu,a\nu,b\nu,c\nu,a\nu,b\n", kTexts);
  EXPECT_EQ(Prepare(data.options).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(data.Error(), HasSubstr("a chunk of user \"u\" holds all 3 items"));
  // The validation row may be the one that leaves nothing.
  EXPECT_THAT(SmallDataset("user_id,item_id\nu,a\nu,b\nu,c\nu,a\n", kTexts).Error(), HasSubstr("holds all 3 items"));
  // A cold item is no help: it is never a negative (rule W15).
  SmallDataset cold("user_id,item_id\nu,a\nu,b\nu,c\nu,a\nu,b\n", "item_id,title\na,A\nz,Z\n");
  cold.options.cold_items = true;
  EXPECT_THAT(cold.Error(), HasSubstr("holds all 3 items"));
  EXPECT_NE(SmallDataset("user_id,item_id\nu,a\nu,b\nu,a\nu,b\nu,c\n", kTexts).Open(), nullptr);
}

TEST(PrepareRefusal, Options) {
  SmallDataset data(kFine, kTexts);
  data.options.text_keys.clear();
  EXPECT_THAT(data.Error(), HasSubstr("text_keys"));
  data.options.text_keys = {"title"};
  data.options.max_seq_length = 1;
  EXPECT_THAT(data.Error(), HasSubstr("max_seq_length"));
  data.options.max_seq_length = 3;
  data.options.max_text_length = 0;
  EXPECT_THAT(data.Error(), HasSubstr("max_text_length"));
  data.options.max_text_length = 3;
  data.options.item_prompt = "\xFF";
  EXPECT_THAT(data.Error(), HasSubstr("item_prompt"));
}

TEST(PrepareRefusal, TokenizerFolder) {
  SmallDataset data(kFine, kTexts);
  data.options.tokenizer_dir = data.folder.path();
  EXPECT_THAT(data.Error(), HasSubstr("no tokenizer in it"));
}

TEST(PrepareRefusal, CacheThatCannotBeMade) {
  SmallDataset data(kFine, kTexts);
  data.options.cache_dir = data.folder.Write("file", "x") / "cache";
  EXPECT_THAT(data.Error(), HasSubstr("dataset cache"));
}

}  // namespace
}  // namespace pixelrec::data
