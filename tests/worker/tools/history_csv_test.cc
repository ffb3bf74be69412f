#include "worker/tools/history_csv.h"

#include <stdlib.h>

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pixelrec::tools {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class HistoryCsv : public testing::Test {
 protected:
  HistoryCsv() {
    std::string pattern = (std::filesystem::temp_directory_path() / "pixelrec-history-XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  ~HistoryCsv() override { std::filesystem::remove_all(dir_); }

  absl::StatusOr<std::vector<UserHistory>> Read(const std::string& text) {
    std::ofstream(dir_ / "h.csv") << text;
    static const std::vector<std::string> ids = {"", "a", "b", "c"};
    const auto name = [](uint32_t i) { return absl::string_view(ids[i]); };
    return ReadHistories(dir_ / "h.csv", ItemFinder(3, name, [](uint32_t) { return absl::string_view(); }));
  }

  std::filesystem::path dir_;
};

TEST_F(HistoryCsv, RowsOfAUserInOrderUsersByFirstAppearance) {
  const auto histories = Read("item_id,other,user_id\nb,1,u2\na,2,u1\na,3,u2\n");
  ASSERT_TRUE(histories.ok()) << histories.status();
  ASSERT_EQ(histories->size(), 2u);
  EXPECT_EQ((*histories)[0].user, "u2");
  EXPECT_THAT((*histories)[0].items, ElementsAre(2, 1));
  EXPECT_EQ((*histories)[1].user, "u1");
  EXPECT_THAT((*histories)[1].items, ElementsAre(1));
}

TEST_F(HistoryCsv, BadFilesAreNamedWithTheRow) {
  EXPECT_THAT(std::string(Read("user_id,item_id\nu,a\nu,zzz\n").status().message()), HasSubstr("h.csv:3: no item zzz"));
  EXPECT_THAT(std::string(Read("user_id,item_id\n").status().message()), HasSubstr("h.csv: has a header but no histories"));
  EXPECT_THAT(std::string(Read("user,item_id\nu,a\n").status().message()), HasSubstr("no column \"user_id\""));
  std::filesystem::remove(dir_ / "h.csv");
  EXPECT_EQ(ReadHistories(dir_ / "h.csv", ItemFinder(0, nullptr, nullptr)).status().code(), absl::StatusCode::kNotFound);
}

TEST(RecommendationCsv, QuotesWhatNeedsQuotes) {
  RecommendationCsv csv;
  csv.Add("u,1", 1, "i\"2", "two\nlines", 0.5);
  csv.Add("u", 2, "i", "plain", -0.25);
  EXPECT_EQ(csv.text(),
            "user_id,rank,item_id,title,score\n\"u,1\",1,\"i\"\"2\",\"two\nlines\",0.500000\nu,2,i,plain,-0.250000\n");
}

}  // namespace
}  // namespace pixelrec::tools
