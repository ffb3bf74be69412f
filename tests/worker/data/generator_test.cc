#include "worker/data/synthetic/generator.h"

#include <xxhash.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/storage/atomic_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/data/small_dataset.h"
#include "worker/data/csv_parser.h"

namespace pixelrec::data {
namespace {

using testing::HasSubstr;

SyntheticFiles Generate(const SyntheticOptions& options) {
  const auto files = GenerateDataset(options);
  EXPECT_TRUE(files.ok()) << files.status();
  return files.ok() ? *files : SyntheticFiles{};
}

std::string Digest(const std::filesystem::path& file) {
  const std::string bytes = *storage::ReadFile(file);
  return absl::StrFormat("%016x", XXH3_64bits(bytes.data(), bytes.size()));
}

std::vector<std::vector<std::string>> Rows(const std::filesystem::path& file, std::vector<CsvColumn> columns) {
  std::vector<std::vector<std::string>> rows;
  CsvParser parser(file.string(), std::move(columns), [&](int64_t, std::span<const absl::string_view> fields) {
    rows.emplace_back(fields.begin(), fields.end());
    return absl::OkStatus();
  });
  EXPECT_TRUE(parser.Feed(*storage::ReadFile(file)).ok());
  EXPECT_TRUE(parser.Finish().ok());
  return rows;
}

TEST(Generator, TheSameBytesOnEveryMachine) {
  const TemporaryFolder folder;
  const SyntheticFiles files = Generate({.out = folder.path() / "a", .users = 500, .items = 300});
  EXPECT_EQ(Digest(files.interactions), "3c250646cd44451c");
  EXPECT_EQ(Digest(files.items), "86d22f583b247a9c");
  const SyntheticFiles other = Generate({.out = folder.path() / "b", .users = 500, .items = 300, .seed = 43});
  EXPECT_NE(Digest(other.interactions), Digest(files.interactions));
  EXPECT_NE(Digest(other.items), Digest(files.items));
}

TEST(Generator, HistoriesAreLongTailedFromFiveUpWithTheAskedMean) {
  const TemporaryFolder folder;
  const SyntheticFiles files = Generate({.out = folder.path() / "out", .users = 40000, .items = 9600});
  std::map<std::string, std::set<std::string>> histories;
  std::map<std::string, int64_t> last;
  const auto rows = Rows(files.interactions, {{"user_id"}, {"item_id"}, {"timestamp"}});
  for (const auto& row : rows) {
    EXPECT_TRUE(histories[row[0]].insert(row[1]).second) << "no pair comes twice";
    EXPECT_LT(last[row[0]], std::stoll(row[2]));
    last[row[0]] = std::stoll(row[2]);
  }
  EXPECT_EQ(files.events, static_cast<int64_t>(rows.size()));
  EXPECT_EQ(histories.size(), 40000u);
  std::vector<size_t> lengths;
  for (const auto& [user, items] : histories) lengths.push_back(items.size());
  std::sort(lengths.begin(), lengths.end());
  EXPECT_EQ(lengths.front(), 5u);
  EXPECT_NEAR(static_cast<double>(rows.size()) / 40000, 19.8, 0.6);
  EXPECT_LT(lengths[lengths.size() / 2], 13u) << "the median lies well below the mean";
  EXPECT_GT(lengths.back(), 400u);
}

TEST(Generator, PopularityFallsFlatly) {
  const TemporaryFolder folder;
  const SyntheticFiles files = Generate({.out = folder.path() / "out", .users = 20000, .items = 2000});
  std::map<std::string, int> counts;
  for (const auto& row : Rows(files.interactions, {{"item_id"}})) ++counts[row[0]];
  std::vector<int> sorted;
  for (const auto& [item, count] : counts) sorted.push_back(count);
  std::sort(sorted.rbegin(), sorted.rend());
  ASSERT_EQ(sorted.size(), 2000u) << "every item is seen";
  const double mean = static_cast<double>(files.events) / 2000;
  EXPECT_GT(sorted.front(), 6 * mean);
  EXPECT_LT(sorted.front(), 14 * mean);
  EXPECT_GT(sorted.back(), mean / 4);
}

TEST(Generator, OneItemInTwentyHasNoDescription) {
  const TemporaryFolder folder;
  const SyntheticFiles files = Generate({.out = folder.path() / "out", .users = 10, .items = 8000});
  const auto rows = Rows(files.items, {{"item_id"}, {"title"}, {"description"}, {"tag"}});
  ASSERT_EQ(rows.size(), 8000u);
  const auto without = std::count_if(rows.begin(), rows.end(), [](const auto& row) { return row[2].empty(); });
  EXPECT_NEAR(static_cast<double>(without) / 8000, 0.05, 0.01);
  int64_t words = 0;
  for (const auto& row : rows)
    words += static_cast<int64_t>(std::vector<absl::string_view>(absl::StrSplit(row[1] + " " + row[2], ' ')).size());
  EXPECT_NEAR(static_cast<double>(words) / 8000, 65, 3);
  EXPECT_TRUE(std::none_of(rows.begin(), rows.end(), [](const auto& row) { return row[1].empty() || row[3].empty(); }));
}

TEST(Generator, WhatItMakesCanBePrepared) {
  SmallDataset data("", "");
  const SyntheticFiles files = Generate({.out = data.folder.path() / "made", .users = 300, .items = 200});
  data.options.interaction_data = files.interactions;
  data.options.text_data = files.items;
  data.options.text_keys = {"title", "description"};
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  EXPECT_EQ(data.report.interactions, files.events);
  EXPECT_EQ(data.report.short_users, 0);
  EXPECT_EQ(data.report.duplicate_interactions, 0);
  EXPECT_EQ(data.report.items_without_text, 0);
}

TEST(Generator, SizesAtTheEdge) {
  const TemporaryFolder folder;
  const SyntheticFiles files = Generate({.out = folder.path() / "small", .users = 100, .items = 20, .mean_events = 5});
  EXPECT_EQ(files.events, 500);
  for (const SyntheticOptions& bad :
       {SyntheticOptions{.users = 0}, SyntheticOptions{.items = 19}, SyntheticOptions{.mean_events = 4.9},
        SyntheticOptions{.items = 40, .mean_events = 11}, SyntheticOptions{.mean_events = 1001}}) {
    SyntheticOptions options = bad;
    options.out = folder.path() / "bad";
    EXPECT_EQ(GenerateDataset(options).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_FALSE(std::filesystem::exists(options.out));
  }
}

TEST(Generator, FilesThatAreThereStayUnlessAskedTo) {
  const TemporaryFolder folder;
  folder.Write("items.csv", "precious");
  SyntheticOptions options{.out = folder.path(), .users = 10, .items = 100};
  const auto refused = GenerateDataset(options);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("items.csv: exists"));
  EXPECT_EQ(*storage::ReadFile(folder.path() / "items.csv"), "precious");
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "interactions.csv"));
  options.replace = true;
  EXPECT_EQ(Generate(options).items, folder.path() / "items.csv");
}

}  // namespace
}  // namespace pixelrec::data
