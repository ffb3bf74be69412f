// What PREPARE tells about a dataset.
#include "common/storage/atomic_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/worker/data/small_dataset.h"
#include "worker/data/common_prefix.h"
#include "worker/data/report/render.h"
#include "worker/data/report/statistics.h"

namespace pixelrec::data {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// u1: a b c d, u2: a b e f, u3: a; texts: a (cut), b without description, c twice, z unknown, d-f none.
SmallDataset Usual() {
  SmallDataset data(
      "user_id,item_id\nu1,a\nu2,a\nu3,a\nu1,b\nu2,b\nu1,c\nu2,e\nu1,d\nu2,f\n",
      "item_id,title,description\na,Alpha <b>&amp;,a long text that goes on and on\nb,Beta,\nc,old,old\nc,Gamma,short\n"
      "z,never,seen\n");
  data.options.text_keys = {"title", "description"};
  data.options.item_prompt = "Prompt: ";
  data.options.max_text_length = 34;
  return data;
}

json Report(SmallDataset& data) {
  EXPECT_NE(data.Open(), nullptr);
  return json::parse(*storage::ReadFile(data.report.path / "report.json"));
}

TEST(Report, CountsWhatTheFilesHold) {
  SmallDataset data = Usual();
  const json report = Report(data);
  const json& s = report["statistics"];
  EXPECT_EQ(report["users"], 3);
  EXPECT_EQ(report["short_users"], 1);
  EXPECT_EQ(s["text_rows"], 5);
  EXPECT_EQ(s["repeated_text_rows"], 1);
  EXPECT_EQ(s["unknown_text_rows"], 1);
  EXPECT_EQ(s["missing_fields"]["title"], 3);        // d, e, f have no row
  EXPECT_EQ(s["missing_fields"]["description"], 4);  // and b's is empty
  EXPECT_EQ(s["history_lengths"]["max"], 4);
  EXPECT_EQ(s["history_lengths"]["p50"], 4);
  EXPECT_EQ(s["history_histogram"],
            json::parse(R"([{"low":1,"high":1,"count":1},{"low":2,"high":2,"count":0},{"low":3,"high":4,"count":2}])"));
  EXPECT_EQ(s["most_popular"][0],
            json::parse(R"({"item":"a","title":"Alpha <b>&amp; | a long text that goes on and on","interactions":3})"));
  EXPECT_EQ(s["most_popular"][1]["item"], "b");
  EXPECT_EQ(s["popularity_curve"][0], json::parse(R"({"rank":1,"interactions":3})"));
  EXPECT_EQ(s["popularity_curve"].back(), json::parse(R"({"rank":6,"interactions":1})"));
  // Train parts: u1 a b, u2 a b.
  EXPECT_EQ(s["train_count_classes"][0]["count"], 4);
  EXPECT_EQ(s["train_count_classes"][1]["count"], 2);
}

TEST(Report, TokenLengthsAreThoseBeforeTheCut) {
  SmallDataset data = Usual();
  const json report = Report(data);
  EXPECT_EQ(report["truncated_items"], 1);
  const auto dataset = Dataset::Open(data.report.path);
  ASSERT_TRUE(dataset.ok());
  EXPECT_EQ((*dataset)->tokens(1).size(), 34u);
  EXPECT_GT(report["statistics"]["token_lengths"]["max"], 34);
  int64_t items = 0;
  for (const json& bin : report["statistics"]["token_histogram"]) items += bin["count"].get<int64_t>();
  EXPECT_EQ(items, 3) << "items without text are no zeros of the histogram";
}

TEST(Report, ARepeatedRowReplacesWhatTheEarlierOneLacked) {
  SmallDataset data("user_id,item_id\nu,a\nu,b\nu,c\nu,d\n", "item_id,title\na,\na,now\nb,was\nb,\n");
  const json report = Report(data);
  EXPECT_EQ(report["statistics"]["missing_fields"]["title"], 3);  // b, c, d
  EXPECT_EQ(report["items_without_text"], 3);
}

TEST(Report, TheCommonPrefixIsThatOfEveryItemWithText) {
  SmallDataset data = Usual();
  const json report = Report(data);
  const auto dataset = Dataset::Open(data.report.path);
  ASSERT_TRUE(dataset.ok());
  const size_t common = (*dataset)->common_prefix();
  EXPECT_EQ(report["statistics"]["common_prefix_tokens"], common);
  ASSERT_GT(common, 3u);  // BOS, the prompt and the first key
  const auto a = (*dataset)->tokens(1);
  bool all_share_one_more = true;
  for (uint32_t item : {2u, 3u}) {
    const auto tokens = (*dataset)->tokens(item);
    EXPECT_TRUE(std::equal(a.begin(), a.begin() + static_cast<ptrdiff_t>(common), tokens.begin()));
    all_share_one_more &= tokens.size() > common && tokens[common] == a[common];
  }
  EXPECT_FALSE(all_share_one_more);
}

TEST(CommonTokenPrefix, ByHand) {
  const std::vector<uint32_t> tokens = {1, 2, 3, 1, 2, 4, 1, 2};
  EXPECT_EQ(CommonTokenPrefix(std::vector<uint64_t>{0, 3, 6, 8}, tokens), 2u);
  EXPECT_EQ(CommonTokenPrefix(std::vector<uint64_t>{0, 0, 3, 3, 6, 8}, tokens), 2u);
  EXPECT_EQ(CommonTokenPrefix(std::vector<uint64_t>{0, 3}, tokens), 3u);
  EXPECT_EQ(CommonTokenPrefix(std::vector<uint64_t>{0, 3, 4, 8}, tokens), 0u);
  EXPECT_EQ(CommonTokenPrefix(std::vector<uint64_t>{0, 0}, {}), 0u);
  EXPECT_EQ(CommonTokenPrefix({}, {}), 0u);
}

TEST(Statistics, QuantilesAndSharesByHand) {
  std::vector<uint32_t> lengths(200);
  for (uint32_t i = 0; i < 200; ++i) lengths[i] = i + 1;
  std::vector<uint32_t> history(100, 1);  // item 1 has half of all interactions
  for (uint32_t i = 0; i < 100; ++i) history.push_back(2 + i);
  const std::vector<uint64_t> offsets = {0, 200};
  const std::vector<uint32_t> train_counts(201, 1);
  DatasetStatistics s;
  const auto best = Summarise({lengths, offsets, history, train_counts}, s);
  EXPECT_EQ(s.token_lengths.p50, 100);
  EXPECT_EQ(s.token_lengths.p99, 198);
  EXPECT_DOUBLE_EQ(s.token_lengths.mean, 100.5);
  EXPECT_EQ(best[0], 0u);
  ASSERT_EQ(s.popularity_shares.size(), 6u);
  EXPECT_DOUBLE_EQ(s.popularity_shares[0].second, 0.5);              // 0.1 % of 200 items, rounded up to one
  EXPECT_DOUBLE_EQ(s.popularity_shares.back().second, 199 / 200.0);  // the first 100 items
  EXPECT_EQ(s.train_count_classes[1].count, 200);
  int64_t all = 0;
  for (size_t i = 0; i < s.token_histogram.size(); ++i) {
    if (i > 0) {
      EXPECT_EQ(s.token_histogram[i].low, s.token_histogram[i - 1].high + 1);
    }
    all += s.token_histogram[i].count;
  }
  EXPECT_EQ(all, 200);
}

TEST(ReportPages, TextSaysEverythingOnceAndKeepsControlCharactersOut) {
  SmallDataset data = Usual();
  data.options.text_data = data.folder.Write("colour.csv", "item_id,title,description\na,\"\x1b[31mred\nline\",x\n");
  ASSERT_NE(data.Open(), nullptr);
  const std::string text = *storage::ReadFile(data.report.path / "report.txt");
  EXPECT_THAT(text, HasSubstr(data.report.data_hash));
  EXPECT_THAT(text, HasSubstr("users with fewer than 3 events, left out"));
  EXPECT_THAT(text, HasSubstr("every text begins with the same"));
  EXPECT_THAT(text, HasSubstr(" [31mred line"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(ReportPages, HtmlStandsAloneAndEscapes) {
  SmallDataset data = Usual();
  ASSERT_NE(data.Open(), nullptr);
  const std::string page = *storage::ReadFile(data.report.path / "report.html");
  EXPECT_THAT(page, HasSubstr("Alpha &lt;b&gt;&amp;amp; | a long"));
  EXPECT_THAT(page, HasSubstr("<svg"));
  for (const char* outside : {"<script", "http:", "https:", "<link", "<img", "@import", "url("})
    EXPECT_THAT(page, Not(HasSubstr(outside)));
  size_t opened = 0, closed = 0;
  for (size_t at = page.find("<svg"); at != std::string::npos; at = page.find("<svg", at + 1)) ++opened;
  for (size_t at = page.find("</svg>"); at != std::string::npos; at = page.find("</svg>", at + 1)) ++closed;
  EXPECT_EQ(opened, 3u);
  EXPECT_EQ(closed, 3u);
  EXPECT_THAT(page, Not(HasSubstr("nan")));
  EXPECT_THAT(page, Not(HasSubstr("inf\"")));
}

TEST(ReportPages, NothingAtAllIsNoAccident) {
  EXPECT_THAT(RenderText({}, {}), HasSubstr("Prepared dataset"));
  DatasetStatistics s;
  EXPECT_TRUE(Summarise({{}, std::vector<uint64_t>{0}, {}, std::vector<uint32_t>{0}}, s).empty());
  EXPECT_THAT(RenderHtml({}, s), Not(HasSubstr("nan")));
}

TEST(Report, ADatasetOfATimeWithoutStatisticsIsPreparedAnew) {
  SmallDataset data = Usual();
  json report = Report(data);
  report.erase("statistics");
  ASSERT_TRUE(storage::WriteFileAtomically(data.report.path / "report.json", report.dump()).ok());
  ASSERT_NE(data.Open(), nullptr);
  EXPECT_FALSE(data.report.reused);
  ASSERT_NE(data.Open(), nullptr);
  EXPECT_TRUE(data.report.reused);
}

}  // namespace
}  // namespace pixelrec::data
