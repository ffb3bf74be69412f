// The quickstart's real data: the counts of the specification, and the golden case's token ids.
#include <fstream>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/common/temporary_folder.h"
#include "worker/data/batch.h"
#include "worker/data/dataset.h"
#include "worker/data/prepare.h"

namespace pixelrec::data {
namespace {

const std::filesystem::path kSource = PIXELREC_SOURCE_DIR;

PrepareOptions QuickstartOptions(const std::filesystem::path& cache) {
  PrepareOptions options;
  options.interaction_data = kSource / "deploy/quickstart/movietweetings-100k/interactions.csv";
  options.text_data = kSource / "deploy/quickstart/movietweetings-100k/items.csv";
  options.text_keys = {"title", "tag"};
  options.max_text_length = 48;
  options.tokenizer_dir = kSource / "deploy/quickstart/stories260k";
  options.cache_dir = cache;
  options.threads = 2;
  return options;
}

TEST(QuickstartData, CountsOfTheSpecification) {
  const TemporaryFolder cache;
  const auto report = Prepare(QuickstartOptions(cache.path()));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->users, 4692);
  EXPECT_EQ(report->items, 9674);
  EXPECT_EQ(report->interactions, 80854);
  EXPECT_EQ(report->samples, 7103);
  EXPECT_EQ(report->short_users, 0);
  EXPECT_FALSE(report->reused);

  const auto dataset = Dataset::Open(report->path);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->num_users(), 4692u);
  EXPECT_EQ((*dataset)->num_items(), 9674u);
  EXPECT_EQ((*dataset)->samples().size(), 7103u);
  EXPECT_EQ((*dataset)->eval_users().size(), 4692u);
  EXPECT_EQ((*dataset)->data_hash(), report->data_hash);
  EXPECT_EQ((*dataset)->item_name(1), "tt0385002");
  EXPECT_EQ((*dataset)->item_title(1), "Hooligans (2005) | Crime, Drama, Sport");

  const auto again = Prepare(QuickstartOptions(cache.path()));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->reused);
  EXPECT_EQ(again->data_hash, report->data_hash);
  EXPECT_EQ(again->tokens, report->tokens);
  EXPECT_EQ(again->samples, report->samples);
  EXPECT_LT(again->seconds, 1.0);
  RecordProperty("prepare_seconds", std::to_string(report->seconds));
  RecordProperty("reuse_seconds", std::to_string(again->seconds));
}

TEST(QuickstartData, TokenIdsOfTheGoldenCase) {
  const std::filesystem::path folder = kSource / "tests/golden/stories260k-movietweetings";
  const auto golden = nlohmann::json::parse(std::ifstream(folder / "case.json"));
  const auto& config = golden.at("config");
  const TemporaryFolder cache;
  PrepareOptions options;
  options.interaction_data = folder / config.at("interaction_data").get<std::string>();
  options.text_data = folder / config.at("text_data").get<std::string>();
  options.text_keys = config.at("text_keys").get<std::vector<std::string>>();
  options.item_prompt = config.at("item_prompt").get<std::string>();
  options.max_text_length = config.at("max_text_length").get<int>();
  options.max_seq_length = config.at("max_seq_length").get<int>();
  options.tokenizer_dir = folder / config.at("item_model_dir").get<std::string>();
  options.cache_dir = cache.path();
  const auto report = Prepare(options);
  ASSERT_TRUE(report.ok()) << report.status();
  const auto opened = Dataset::Open(report->path);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const Dataset& dataset = **opened;

  std::map<std::string, uint32_t> numbers;
  for (uint32_t item = 1; item <= dataset.num_items(); ++item) {
    const auto name = dataset.item_name(item);
    numbers[std::string(name.data(), name.size())] = item;
  }
  ASSERT_FALSE(golden.at("items").empty());
  for (const auto& item : golden.at("items")) {
    const auto ids = dataset.tokens(numbers.at(item.at("item_id").get<std::string>()));
    EXPECT_EQ(std::vector<uint32_t>(ids.begin(), ids.end()), item.at("token_ids").get<std::vector<uint32_t>>())
        << item.at("item_id");
  }
}

}  // namespace
}  // namespace pixelrec::data
