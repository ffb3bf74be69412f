#include "worker/data/prepare.h"

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/data/small_dataset.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Four events make the smallest trainable user.
constexpr char kInteractions[] =
    "item_id,user_id,timestamp\n"
    "b,u1,20\na,u1,10\nc,u1,30\nd,u1,40\n"
    "e,u2,5\nb,u2,5\na,u2,5\nd,u2,6\nb,u2,7\n"
    "a,u3,1\nb,u3,2\n"
    "a,u4,100\nb,u4,101\nc,u4,102\n";
constexpr char kTexts[] =
    "item_id,title,description\n"
    "a,Alpha,first\n"
    "b,,only described\n"
    "c,,\n"
    "z,Cold,never seen\n"
    "a,Alpha again,\n"
    "e,NA,null\n";

SmallDataset Usual() {
  SmallDataset data(kInteractions, kTexts);
  data.options.text_keys = {"title", "description"};
  data.options.item_prompt = "Prompt: ";
  data.options.max_seq_length = 3;
  return data;
}

std::vector<std::string> Names(const Dataset& dataset) {
  std::vector<std::string> names;
  for (uint32_t item = 1; item <= dataset.num_items(); ++item) {
    const auto name = dataset.item_name(item);
    names.emplace_back(name.data(), name.size());
  }
  return names;
}

std::vector<uint32_t> Ids(const std::string& text) {
  const auto tokenizer = tokenizer::LoadTokenizer(PIXELREC_SOURCE_DIR "/deploy/quickstart/stories260k");
  const auto ids = (*tokenizer)->Encode(text);
  return {ids->begin(), ids->end()};
}

template <typename T>
std::vector<T> List(std::span<const T> span) {
  return {span.begin(), span.end()};
}

TEST(Prepare, VocabularyByFirstAppearanceInTheFile_D3_W15) {
  SmallDataset data = Usual();
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  EXPECT_THAT(Names(*dataset), ElementsAre("b", "a", "c", "d", "e"));
  EXPECT_EQ(dataset->num_train_items(), 5u);
}

TEST(Prepare, HistoriesAndUsersByTime_W1_D5) {
  SmallDataset data = Usual();
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  ASSERT_EQ(dataset->num_users(), 4u);
  EXPECT_EQ(dataset->user_name(0), "u3");
  EXPECT_EQ(dataset->user_name(1), "u2");
  EXPECT_EQ(dataset->user_name(2), "u1");
  EXPECT_THAT(List(dataset->history(1)), ElementsAre(5, 1, 2, 4, 1));  // e b a (all at 5, file order) d b
  EXPECT_THAT(List(dataset->times(1)), ElementsAre(5, 5, 5, 6, 7));
  EXPECT_THAT(List(dataset->history(2)), ElementsAre(2, 1, 3, 4));
}

TEST(Prepare, SamplesAndCounts_D6_D7_W7) {
  SmallDataset data = Usual();
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  ASSERT_EQ(dataset->samples().size(), 2u);
  EXPECT_EQ(dataset->samples()[0].user, 1u);
  EXPECT_EQ(dataset->samples()[0].length, 3u);
  EXPECT_EQ(dataset->samples()[1].user, 2u);
  EXPECT_EQ(dataset->samples()[1].length, 2u);
  EXPECT_THAT(List(dataset->eval_users()), ElementsAre(1, 2, 3));
  // u2: e b a, u1: a b, u4: a; u3 is too short.
  EXPECT_THAT(List(dataset->train_counts()), ElementsAre(0, 2, 3, 0, 0, 1));
  EXPECT_EQ(data.report.users, 4);
  EXPECT_EQ(data.report.items, 5);
  EXPECT_EQ(data.report.interactions, 14);
  EXPECT_EQ(data.report.samples, 2);
  EXPECT_EQ(data.report.short_users, 1);
  EXPECT_EQ(data.report.dropped_chunks, 1);
  EXPECT_EQ(data.report.duplicate_interactions, 1);
  EXPECT_EQ(data.report.items_without_text, 1);  // d
}

TEST(Prepare, Texts_X1_X2_X3_W6_W13) {
  SmallDataset data = Usual();
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  EXPECT_EQ(List(dataset->tokens(2)), Ids("Prompt: title: Alpha again"));           // X3: the last row wins
  EXPECT_EQ(List(dataset->tokens(1)), Ids("Prompt: description: only described"));  // an empty field is skipped
  EXPECT_EQ(List(dataset->tokens(3)), Ids("Prompt: "));                             // all missing: the prompt alone
  EXPECT_TRUE(dataset->tokens(4).empty());                                          // no row: no token at all, no BOS
  EXPECT_EQ(List(dataset->tokens(5)), Ids("Prompt: title: NAdescription: null"));   // only an empty field is missing
  EXPECT_EQ(dataset->item_title(5), "NA | null");
  EXPECT_EQ(dataset->item_title(4), "");
}

TEST(Prepare, EmptyPromptAndEmptyFieldsAreNoText_W13) {
  SmallDataset data = Usual();
  data.options.item_prompt = "";
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  EXPECT_TRUE(dataset->tokens(3).empty());
  EXPECT_EQ(data.report.items_without_text, 2);
}

TEST(Prepare, TextsAreCutAtTheLimitBosIncluded_X4) {
  SmallDataset data = Usual();
  data.options.max_text_length = 7;
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  auto whole = Ids("Prompt: title: Alpha again");
  ASSERT_GT(whole.size(), 7u);
  whole.resize(7);
  EXPECT_EQ(List(dataset->tokens(2)), whole);
  EXPECT_EQ(data.report.truncated_items, 4);
}

TEST(Prepare, ColdItemsComeLastAndAreNoTrainItems_W15) {
  SmallDataset data = Usual();
  data.options.cold_items = true;
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  EXPECT_THAT(Names(*dataset), ElementsAre("b", "a", "c", "d", "e", "z"));
  EXPECT_EQ(dataset->num_train_items(), 5u);
  EXPECT_EQ(List(dataset->tokens(6)), Ids("Prompt: title: Colddescription: never seen"));
  EXPECT_EQ(dataset->train_counts().size(), 7u);
}

TEST(Prepare, ItemDataSeedsTheVocabulary_D2) {
  SmallDataset data = Usual();
  data.options.item_data = data.folder.Write("catalogue.csv", "title,item_id\nx,q\ny,c\n");
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  EXPECT_THAT(Names(*dataset), ElementsAre("q", "c", "b", "a", "d", "e"));
  EXPECT_EQ(dataset->num_train_items(), 6u);
}

TEST(Prepare, WithoutTimestampTheFileOrderCounts_W6) {
  SmallDataset data("user_id,item_id\nu1,a\nu2,c\nu1,b\nu2,a\nu1,c\nu1,d\nu2,b\nu2,d\n", "item_id,title\na,A\n");
  data.options.max_seq_length = 2;
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  EXPECT_THAT(List(dataset->history(0)), ElementsAre(1, 3, 2, 4));
  EXPECT_THAT(List(dataset->times(0)), ElementsAre(2, 4, 6, 7));
}

TEST(Prepare, WithoutSplitOneSamplePerUser_D8) {
  SmallDataset data = Synthetic(10, 40, [](int user) { return 4 + user * 3; });
  data.options.max_seq_length = 4;
  data.options.data_split = false;
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  EXPECT_EQ(dataset->samples().size(), 10u);
}

TEST(Prepare, SamplesNeverHoldTargetsNorMixUsers) {
  SmallDataset data = Synthetic(50, 60, [](int user) { return user; });
  data.options.max_seq_length = 5;
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  std::set<std::pair<uint32_t, uint32_t>> seen;
  for (const Sample& sample : dataset->samples()) {
    EXPECT_LE(sample.start + sample.length + 2, dataset->history(sample.user).size());
    for (uint32_t i = 0; i < sample.length; ++i) EXPECT_TRUE(seen.insert({sample.user, sample.start + i}).second);
  }
}

TEST(Prepare, ThreadsDoNotChangeTheContent) {
  SmallDataset data = Synthetic(30, 700, [](int) { return 30; });
  data.options.threads = 1;
  const auto one = data.Open();
  ASSERT_NE(one, nullptr);
  data.options.threads = 7;
  data.options.cache_dir = data.folder.path() / "other";
  const auto seven = data.Open();
  ASSERT_NE(seven, nullptr);
  EXPECT_FALSE(data.report.reused);
  EXPECT_EQ(one->data_hash(), seven->data_hash());
  for (uint32_t item = 1; item <= one->num_items(); ++item) EXPECT_EQ(List(one->tokens(item)), List(seven->tokens(item)));
}

TEST(Prepare, ProgressRisesThroughTheSections) {
  SmallDataset data = Synthetic(30, 700, [](int) { return 30; });
  std::vector<std::pair<std::string, double>> calls;
  data.options.progress = [&](const std::string& section, double fraction) { calls.emplace_back(section, fraction); };
  ASSERT_NE(data.Open(), nullptr);
  ASSERT_GE(calls.size(), 3u);
  EXPECT_TRUE(std::is_sorted(calls.begin(), calls.end(), [](const auto& a, const auto& b) { return a.second < b.second; }));
  EXPECT_EQ(calls.front().first, "read");
  EXPECT_EQ(calls.back(), (std::pair<std::string, double>("write", 1.0)));
  EXPECT_TRUE(std::any_of(calls.begin(), calls.end(), [](const auto& call) { return call.first == "tokenize"; }));
  EXPECT_LT(calls.size(), 400u);
}

TEST(Prepare, EverythingThatDecidesTheContentChangesTheHash) {
  SmallDataset data = Usual();
  std::set<std::string> hashes;
  auto hash = [&] {
    const auto report = Prepare(data.options);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? report->data_hash : "";
  };
  auto changed = [&](auto change) {
    const PrepareOptions before = data.options;
    change(data.options);
    EXPECT_TRUE(hashes.insert(hash()).second);
    data.options = before;
  };
  hashes.insert(hash());
  changed([&](auto& o) { o.item_prompt += "x"; });
  changed([&](auto& o) { o.text_keys = {"description", "title"}; });
  changed([&](auto& o) { o.text_keys = {"title"}; });
  changed([&](auto& o) { o.max_text_length = 9; });
  changed([&](auto& o) { o.max_seq_length = 2; });
  changed([&](auto& o) { o.data_split = false; });
  changed([&](auto& o) { o.cold_items = true; });
  changed([&](auto& o) { o.item_data = data.folder.Write("items2.csv", "item_id\na\n"); });
  changed([&](auto& o) { o.text_data = data.folder.Write("texts2.csv", std::string(kTexts) + "y,y,y\n"); });
  changed([&](auto& o) { o.interaction_data = data.folder.Write("inter2.csv", std::string(kInteractions) + "a,u9,1\n"); });

  // Neither the names of the files nor the number of threads count.
  data.options.text_data = data.folder.Write("renamed.csv", kTexts);
  data.options.threads = 5;
  EXPECT_FALSE(hashes.insert(hash()).second);
}

}  // namespace
}  // namespace pixelrec::data
