// The reference's data rules, each switch alone against expectations worked out by hand (rules by id).
#include "worker/data/compat.h"

#include <algorithm>
#include <map>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/data/small_dataset.h"
#include "worker/data/batch.h"
#include "worker/data/pandas_values.h"
#include "worker/data/sample_sequence.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::data {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSubsetOf;

std::vector<uint32_t> Ids(const std::string& text) {
  const auto tokenizer = tokenizer::LoadTokenizer(PIXELREC_SOURCE_DIR "/deploy/quickstart/stories260k");
  const auto ids = (*tokenizer)->Encode(text);
  return {ids->begin(), ids->end()};
}

template <typename T>
std::vector<T> List(std::span<const T> span) {
  return {span.begin(), span.end()};
}

// --- columns

TEST(CompatColumns, ByPositionWhateverTheHeaderSays_D1) {
  SmallDataset data("user_id,item_id,timestamp\na,u,4\nb,u,3\nc,u,2\nd,u,1\ne,v,1\n", "item_id,title\na,A\n");
  data.options.compat.columns_by_position = true;
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  ASSERT_EQ(dataset->num_users(), 2u);
  EXPECT_EQ(dataset->user_name(0), "u");
  EXPECT_EQ(dataset->item_name(1), "a");
  EXPECT_THAT(List(dataset->history(0)), ElementsAre(4, 3, 2, 1));
}

TEST(CompatColumns, AFourthColumnShiftsEverything_D1) {
  SmallDataset data("item_id,user_id,timestamp,rating\nx,a,u,4\nx,b,u,3\nx,c,u,2\nx,d,u,1\nx,e,v,1\n", "item_id,title\na,A\n");
  data.options.compat.columns_by_position = true;
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  EXPECT_EQ(dataset->item_name(1), "a");
  EXPECT_EQ(dataset->user_name(0), "u");
}

TEST(CompatColumns, TooFewColumnsAreRefused_D1) {
  SmallDataset data("item_id,user_id\na,u\n", "item_id,title\na,A\n");
  data.options.compat.columns_by_position = true;
  EXPECT_THAT(data.Error(),
              HasSubstr("interactions.csv:1: 2 columns, but \"item_id\" is taken from the 3. column from the right"));
}

// --- item texts

TEST(CompatTexts, PythonPrintsFloats_X2) {
  const std::map<double, std::string> expected = {{5, "5.0"},
                                                  {-0.5, "-0.5"},
                                                  {0.1, "0.1"},
                                                  {1e15, "1000000000000000.0"},
                                                  {1e16, "1e+16"},
                                                  {1.5e300, "1.5e+300"},
                                                  {0.0001, "0.0001"},
                                                  {0.00001, "1e-05"},
                                                  {123456789012345680.0, "1.2345678901234568e+17"}};
  for (const auto& [value, text] : expected) EXPECT_EQ(PythonFloat(value), text);
}

TEST(CompatTexts, PandasListOfMissingValues_X2) {
  for (const char* missing : {"", "NA", "N/A", "n/a", "NULL", "null", "None", "NaN", "nan", "-nan", "-NaN", "#N/A", "#NA",
                              "#N/A N/A", "<NA>", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}) {
    EXPECT_TRUE(IsMissingToPandas(missing)) << missing;
  }
  for (const char* there : {"na", "none", "Null", " NA", "0", "False", "-"}) EXPECT_FALSE(IsMissingToPandas(there)) << there;
}

std::vector<std::string> Printed(const std::vector<std::string>& fields) {
  PandasColumn column;
  for (const auto& field : fields) column.See(field);
  std::vector<std::string> printed;
  for (const auto& field : fields) printed.push_back(column.Print(field));
  return printed;
}

// Expectations as pandas 3.1 gives them for read_csv(...).set_index("item_id").T.to_dict().
TEST(CompatTexts, AColumnIsWhatAllItsFieldsAre_X2) {
  EXPECT_THAT(Printed({"1999", "007", "0"}), ElementsAre("1999", "7", ""));             // whole numbers, none missing
  EXPECT_THAT(Printed({"1999", ""}), ElementsAre("1999.0", ""));                        // a missing one makes floats
  EXPECT_THAT(Printed({"5", "NA", "0", "1e3"}), ElementsAre("5.0", "", "", "1000.0"));  // numbers; zero is left out
  EXPECT_THAT(Printed({"5", "five", "0"}), ElementsAre("5", "five", "0"));              // text, so as written
  EXPECT_THAT(Printed({"True", "false", ""}), ElementsAre("True", "", ""));             // truth values
  EXPECT_THAT(Printed({"True", "no"}), ElementsAre("True", "no"));
  EXPECT_THAT(Printed({"NA", ""}), ElementsAre("", ""));
}

TEST(CompatTexts, ATableOfNumbersHasOneType_X2) {
  auto tokens = [](const std::string& rows) {
    SmallDataset data("user_id,item_id\nu,a\nu,b\nu,c\nu,d\n", "item_id,x,year\n" + rows);
    data.options.text_keys = {"x", "year"};
    data.options.compat.pandas_values = true;
    return List(data.Open()->tokens(1));
  };
  EXPECT_EQ(tokens("a,1,1999\nb,2,2000\n"), Ids("x: 1year: 1999"));
  EXPECT_EQ(tokens("a,1.5,1999\nb,2,2000\n"), Ids("x: 1.5year: 1999.0"));
  EXPECT_EQ(tokens("a,one,1999\nb,two,2000\n"), Ids("x: oneyear: 1999"));
}

SmallDataset Texts() {
  SmallDataset data("user_id,item_id\nu,a\nu,b\nu,c\nu,d\nu,e\n",
                    "item_id,title,year\na,NA,1999\nb,Beta,\nc,null,NaN\nd,0,2001.5\n");
  data.options.text_keys = {"title", "year"};
  data.options.item_prompt = "P: ";
  return data;
}

TEST(CompatTexts, WholeTexts_X2) {
  SmallDataset data = Texts();
  data.options.compat.pandas_values = true;
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  EXPECT_EQ(List(dataset->tokens(1)), Ids("P: year: 1999.0"));
  EXPECT_EQ(List(dataset->tokens(2)), Ids("P: title: Beta"));
  EXPECT_EQ(List(dataset->tokens(3)), Ids("P: "));
  EXPECT_EQ(List(dataset->tokens(4)), Ids("P: title: 0year: 2001.5"));
  EXPECT_TRUE(dataset->tokens(5).empty()) << "X3 is another switch";
}

TEST(CompatTexts, AnAbsentItemIsTheEncodingOfNothing_X3) {
  SmallDataset data = Texts();
  data.options.compat.encode_empty_texts = true;
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  EXPECT_THAT(List(dataset->tokens(5)), ElementsAre(1)) << "BOS alone, without the prompt";
  EXPECT_EQ(List(dataset->tokens(1)), Ids("P: title: NAyear: 1999"));
  EXPECT_EQ(data.report.items_without_text, 1);
}

TEST(CompatTexts, SwitchesOfPreparingAreInTheHashThoseOfDrawingAreNot) {
  SmallDataset data = Texts();
  std::set<std::string> hashes;
  auto hash = [&] { return Prepare(data.options)->data_hash; };
  hashes.insert(hash());
  data.options.compat.pandas_values = true;
  EXPECT_TRUE(hashes.insert(hash()).second);
  data.options.compat.encode_empty_texts = true;
  EXPECT_TRUE(hashes.insert(hash()).second);
  data.options.compat.random_left_slots = data.options.compat.padded_negatives = data.options.compat.reference_sampler = true;
  EXPECT_FALSE(hashes.insert(hash()).second);
}

// --- batches

constexpr int kM = 6;

// Users with 4-23 events on 30 items, so with train parts of 2-21.
std::unique_ptr<Dataset> Twenty(SmallDataset& data, bool split = true) {
  data.options.max_seq_length = kM;
  data.options.data_split = split;
  return data.Open();
}
SmallDataset TwentyUsers() {
  return Synthetic(20, 30, [](int user) { return 4 + user; });
}

std::vector<uint32_t> Row(const RankBatch& batch, const std::vector<int64_t>& list, size_t begin, size_t end) {
  std::vector<uint32_t> items;
  for (size_t i = begin; i < end; ++i) items.push_back(batch.items[static_cast<size_t>(list[i])]);
  return items;
}

std::vector<uint32_t> PositivesOf(const RankBatch& batch, size_t row) {
  return Row(batch, batch.positives, static_cast<size_t>(batch.row_offsets[row]),
             static_cast<size_t>(batch.row_offsets[row + 1]));
}

std::vector<uint32_t> NegativesOf(const RankBatch& batch, size_t row) {
  const auto n = static_cast<size_t>(batch.negatives_per_row);
  return Row(batch, batch.negatives, row * n, (row + 1) * n);
}

TEST(CompatBatch, ExactIsUntouchedByTheSwitchesBeingThere) {
  SmallDataset data = TwentyUsers();
  const auto dataset = Twenty(data);
  ASSERT_NE(dataset, nullptr);
  const RankBatch batch = MakeBatch(*dataset, {.global_batch_size = 8, .micro_batch_size = 8}, 1, 0, 0);
  EXPECT_TRUE(batch.left_slots.empty());
  EXPECT_THAT(batch.row_ranks, Each(0));
  EXPECT_THAT(batch.valid_rows_by_reference_rank, ElementsAre(batch.global_valid_rows));
}

TEST(CompatBatch, LeftSlotsAreRandomItemsOutsideTheSequence_T1) {
  SmallDataset data = TwentyUsers();
  const auto dataset = Twenty(data);
  ASSERT_NE(dataset, nullptr);
  BatchOptions options{.global_batch_size = 40, .micro_batch_size = 40};
  const RankBatch without = MakeBatch(*dataset, options, 1, 0, 0);
  options.compat.random_left_slots = true;
  const RankBatch batch = MakeBatch(*dataset, options, 1, 0, 0);
  size_t at = 0;
  for (size_t row = 0; row < batch.samples.size(); ++row) {
    const auto positives = PositivesOf(batch, row);
    const auto left = Row(batch, batch.left_slots, at, at + kM - positives.size());
    at += left.size();
    for (uint32_t item : left) EXPECT_THAT(positives, testing::Not(Contains(item)));
    EXPECT_EQ(positives, PositivesOf(without, row)) << "the loss sees the same";
    EXPECT_EQ(NegativesOf(batch, row), NegativesOf(without, row));
  }
  EXPECT_EQ(at, batch.left_slots.size());
  EXPECT_GT(at, 0u);
  EXPECT_EQ(batch.valid_rows, without.valid_rows);
}

TEST(CompatBatch, FillersOfShortSequencesMayBeTheUsersOwnPositives_T3) {
  SmallDataset data = Synthetic(400, 9, [](int) { return 5; });  // train parts of three items, of nine in all
  const auto dataset = Twenty(data);
  ASSERT_NE(dataset, nullptr);
  BatchOptions options{.global_batch_size = 400, .micro_batch_size = 400};
  options.compat.padded_negatives = true;
  const RankBatch batch = MakeBatch(*dataset, options, 1, 0, 0);
  ASSERT_EQ(batch.negatives_per_row, kM);
  int own = 0;
  for (size_t row = 0; row < batch.samples.size(); ++row) {
    const auto positives = PositivesOf(batch, row);
    ASSERT_EQ(positives.size(), 3u);
    const auto negatives = NegativesOf(batch, row);
    // Right: length - 1 = 2 draws outside the sequence. Left: four that only avoid those two.
    const std::vector<uint32_t> careful(negatives.end() - 2, negatives.end());
    for (uint32_t item : careful) EXPECT_THAT(positives, testing::Not(Contains(item)));
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_THAT(careful, testing::Not(Contains(negatives[i])));
      own += std::count(positives.begin(), positives.end(), negatives[i]);
    }
  }
  EXPECT_NEAR(own / 1600.0, 3 / 7.2, 0.06) << "uniform over what the careful draws left: 7 items, or 8 where they are one";
}

TEST(CompatBatch, WithoutSplitNegativesAvoidTheWholeTrainPart_T3_D8) {
  SmallDataset data = Synthetic(60, 60, [](int) { return 30; });  // train parts of 28, of which the sample has the last six
  const auto dataset = Twenty(data, /*split=*/false);
  ASSERT_NE(dataset, nullptr);
  BatchOptions options{.global_batch_size = 60, .micro_batch_size = 60, .data_split = false};
  options.compat.padded_negatives = true;
  const RankBatch batch = MakeBatch(*dataset, options, 1, 0, 0);
  for (size_t row = 0; row < batch.samples.size(); ++row) {
    const Sample& sample = dataset->samples()[batch.samples[row]];
    ASSERT_EQ(sample.length, static_cast<uint32_t>(kM));
    const auto history = dataset->history(sample.user);
    const std::vector<uint32_t> train(history.begin(), history.end() - 2);
    for (uint32_t item : NegativesOf(batch, row)) EXPECT_THAT(train, testing::Not(Contains(item)));
  }
}

TEST(CompatBatch, ATrainPartOfTheWholeCatalogueStillEnds_T3_D8) {
  SmallDataset data("user_id,item_id\nu,a\nu,b\nu,c\nu,d\nu,e\nu,f\nu,g\nu,a\nu,b\nu,c\nu,a\n", "item_id,title\na,A\n");
  data.options.max_seq_length = 3;
  data.options.data_split = false;
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);
  BatchOptions options{.data_split = false};
  options.compat.padded_negatives = true;
  EXPECT_EQ(MakeBatch(*dataset, options, 1, 0, 0).negatives.size(), 3u);
}

TEST(CompatBatch, KIsDividedByRanksAndBatchAndRoundedUp_T4) {
  SmallDataset data = TwentyUsers();
  const auto dataset = Twenty(data);
  ASSERT_NE(dataset, nullptr);
  // 2 ranks x batch 4: ceil(20 / 2 / 4) = 3 for each sample, so 24 and not 20 in all.
  BatchOptions options{.global_batch_size = 8, .micro_batch_size = 8, .num_negatives = 20, .reference_ranks = 2};
  options.compat.num_negatives_per_sample = true;
  const RankBatch batch = MakeBatch(*dataset, options, 1, 0, 0);
  EXPECT_EQ(batch.negatives_per_row, 3);
  EXPECT_EQ(batch.negatives.size(), 24u);
  EXPECT_THAT(batch.negatives_by_rank, ElementsAre(24));
  bool any_own = false;  // nothing is avoided
  for (int64_t epoch = 1; epoch <= 30 && !any_own; ++epoch) {
    const RankBatch other = MakeBatch(*dataset, options, epoch, 0, 0);
    for (size_t row = 0; row < other.samples.size(); ++row) {
      const auto positives = PositivesOf(other, row);
      for (uint32_t item : NegativesOf(other, row)) any_own |= std::count(positives.begin(), positives.end(), item) > 0;
    }
  }
  EXPECT_TRUE(any_own);
}

BatchOptions Sampler(int ranks, int64_t batch) {
  BatchOptions options{.global_batch_size = ranks * batch, .micro_batch_size = ranks * batch, .reference_ranks = ranks};
  options.compat.reference_sampler = true;
  return options;
}

TEST(CompatSampler, RanksTakeEveryNthPaddedByRepetition_T5) {
  // 10 samples, 4 ranks, batch 2: padded to 12, three of each rank, so a full micro-step and one of a single sample per rank.
  const BatchOptions options = Sampler(4, 2);
  const SampleSequence sequence(options, 1, 10);
  ASSERT_EQ(sequence.size(), 12u);
  const SampleOrder order(0, 1, 10);
  const std::vector<uint64_t> strided = {0, 4, 1, 5, 2, 6, 3, 7, /* last: */ 8, 9, 0, 1};
  const std::vector<int> ranks = {0, 0, 1, 1, 2, 2, 3, 3, 0, 1, 2, 3};
  for (uint64_t place = 0; place < 12; ++place) {
    EXPECT_EQ(sequence[place], order[strided[place]]) << place;
    EXPECT_EQ(sequence.rank_of(place), ranks[place]) << place;
  }
}

TEST(CompatSampler, TheOrderFollowsTheEpochAndNotTheSeed_T5) {
  BatchOptions options = Sampler(2, 4);
  auto sequence = [&](uint64_t epoch) {
    const SampleSequence s(options, epoch, 30);
    std::vector<uint64_t> samples;
    for (uint64_t place = 0; place < s.size(); ++place) samples.push_back(s[place]);
    return samples;
  };
  const auto first = sequence(1);
  EXPECT_NE(first, sequence(2));
  options.seed = 7;
  EXPECT_EQ(first, sequence(1));
}

TEST(CompatSampler, FewerSamplesThanRanksAreRepeated_T5) {
  const SampleSequence sequence(Sampler(5, 1), 1, 2);
  ASSERT_EQ(sequence.size(), 5u);
  std::map<uint64_t, int> times;
  for (uint64_t place = 0; place < 5; ++place) ++times[sequence[place]];
  EXPECT_EQ(times[sequence[0]], 3);
  EXPECT_EQ(times[sequence[1]], 2);
}

TEST(CompatSampler, StepsCountThePaddingAndTheLastIsShort_T5) {
  SmallDataset data = TwentyUsers();
  const auto dataset = Twenty(data);
  ASSERT_NE(dataset, nullptr);
  const auto samples = static_cast<int64_t>(dataset->samples().size());
  const BatchOptions options = Sampler(3, 2);
  const int64_t per_rank = (samples + 2) / 3;
  const int64_t steps = StepsPerEpoch(*dataset, options);
  EXPECT_EQ(steps, (per_rank + 1) / 2);
  int64_t rows = 0;
  for (int64_t step = 0; step < steps; ++step) {
    const RankBatch batch = MakeBatch(*dataset, options, 1, step, 0);
    rows += static_cast<int64_t>(batch.samples.size());
    int64_t valid = 0;
    for (int64_t of_rank : batch.valid_rows_by_reference_rank) valid += of_rank;
    EXPECT_EQ(valid, batch.global_valid_rows);
    EXPECT_EQ(std::set<int>(batch.row_ranks.begin(), batch.row_ranks.end()).size(), 3u);
  }
  EXPECT_EQ(rows, 3 * per_rank);
}

TEST(CompatSampler, EveryEpochReplaysTheStreamOverAnotherOrder_T5) {
  // No item is ever avoided under T4, so the draws at a place are the stream itself.
  SmallDataset data = TwentyUsers();
  const auto dataset = Twenty(data);
  ASSERT_NE(dataset, nullptr);
  BatchOptions options = Sampler(2, 4);
  options.num_negatives = 32;
  options.compat.num_negatives_per_sample = true;
  const RankBatch first = MakeBatch(*dataset, options, 1, 0, 0);
  const RankBatch second = MakeBatch(*dataset, options, 2, 0, 0);
  EXPECT_NE(first.samples, second.samples);
  for (size_t row = 0; row < 8; ++row) EXPECT_EQ(NegativesOf(first, row), NegativesOf(second, row)) << row;
  options.compat.reference_sampler = false;
  EXPECT_NE(NegativesOf(MakeBatch(*dataset, options, 1, 0, 0), 0), NegativesOf(MakeBatch(*dataset, options, 2, 0, 0), 0));
}

TEST(CompatSampler, TheStreamIsThatOfTheRunAsSubmittedAtAnyWorldSize_T5) {
  SmallDataset data = TwentyUsers();
  const auto dataset = Twenty(data);
  ASSERT_NE(dataset, nullptr);
  BatchOptions options = Sampler(4, 2);
  options.compat = CompatRules::All();
  SampleDigest alone;
  alone.Add(MakeBatch(*dataset, options, 1, 0, 0), 1, 0);
  SampleDigest together;
  options.world_size = 3;
  for (options.rank = 0; options.rank < 3; ++options.rank) {
    SampleDigest mine;
    mine.Add(MakeBatch(*dataset, options, 1, 0, 0), 1, 0);
    together.Merge(mine);
  }
  EXPECT_EQ(alone.Hex(), together.Hex());
}

}  // namespace
}  // namespace pixelrec::data
