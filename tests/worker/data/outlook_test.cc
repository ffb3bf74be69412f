// What can be said of data before it is prepared, and that it agrees with what preparing gives.
#include "worker/data/outlook.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"

namespace pixelrec::data {
namespace {

namespace fs = std::filesystem;

class OutlookTest : public testing::Test {
 protected:
  OutlookTest() {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    options_.interaction_data = dir_ / "i.csv";
    options_.text_data = dir_ / "t.csv";
    options_.text_keys = {"title"};
    options_.max_seq_length = 4;
    options_.tokenizer_dir = fs::path(PIXELREC_SOURCE_DIR) / "deploy/quickstart/stories260k";
    options_.cache_dir = dir_ / "cache";
    std::ofstream interactions(options_.interaction_data), texts(options_.text_data);
    interactions << "user_id,item_id\n";
    // Users of 2 to 21 events, one after another.
    for (int user = 0; user < 20; ++user) {
      for (int event = 0; event < user + 2; ++event) interactions << "u" << user << ",i" << (user + event * 3) % 30 << "\n";
    }
    texts << "item_id,title\n";
    for (int item = 0; item < 30; ++item) texts << "i" << item << ",thing " << item << "\n";
  }
  ~OutlookTest() override { fs::remove_all(dir_); }

  fs::path dir_ = fs::temp_directory_path() / absl::StrCat("pixelrec-outlook-", getpid());
  PrepareOptions options_;
};

TEST_F(OutlookTest, CountsWhatPreparingGives) {
  const auto before = LookAhead(options_, {options_.cache_dir});
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_EQ(before->dataset, nullptr);
  EXPECT_TRUE(before->exact);
  const auto report = Prepare(options_);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(before->data_hash, report->data_hash);
  EXPECT_EQ(before->samples, report->samples);
  EXPECT_EQ(before->items, report->items);

  const auto after = LookAhead(options_, {dir_ / "elsewhere", options_.cache_dir});
  ASSERT_TRUE(after.ok()) << after.status();
  ASSERT_NE(after->dataset, nullptr);
  EXPECT_EQ(after->samples, report->samples);
  EXPECT_EQ(after->items, report->items);
  options_.max_text_length = 5;  // another dataset
  EXPECT_EQ(LookAhead(options_, {options_.cache_dir})->dataset, nullptr);
}

TEST_F(OutlookTest, ExtrapolatesFromTheFirstRows) {
  const auto outlook = LookAhead(options_, {}, 100);
  ASSERT_TRUE(outlook.ok()) << outlook.status();
  EXPECT_FALSE(outlook->exact);
  EXPECT_GT(outlook->samples, 0);
}

TEST_F(OutlookTest, NamesWhatIsMissingOrWrong) {
  std::ofstream(options_.interaction_data) << "user,item\n1,2\n";
  const auto wrong = LookAhead(options_, {});
  EXPECT_TRUE(absl::IsInvalidArgument(wrong.status())) << wrong.status();
  fs::remove(options_.text_data);
  EXPECT_TRUE(absl::IsNotFound(LookAhead(options_, {}).status()));
  options_.tokenizer_dir = dir_;
  EXPECT_FALSE(LookAhead(options_, {}).ok());
}

}  // namespace
}  // namespace pixelrec::data
