#include "worker/checkpoint/pieced_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/worker/checkpoint/raw_safetensors.h"

namespace pixelrec::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PiecedTensorsTest : public ::testing::Test {
 protected:
  // Elements [begin, end) of a [2, 3] tensor of 0, 1, 2, ...
  TensorPiece Piece(int64_t begin, int64_t end) const {
    const auto count = static_cast<size_t>(end - begin);
    return {{"w", "F32", {end - begin}, reinterpret_cast<const std::byte*>(values_.data() + begin), count * sizeof(float)},
            begin,
            {2, 3}};
  }
  std::filesystem::path Write(const std::string& name, const std::vector<TensorPiece>& pieces) const {
    const auto path = folder_.path() / name;
    EXPECT_TRUE(WritePieces(path, pieces).ok());
    return path;
  }
  std::filesystem::path WriteWithMetadata(const std::string& name, const std::string& pieces) const {
    const auto path = folder_.path() / name;
    EXPECT_TRUE(WriteTensors(path, {Piece(0, 3).info}, {{kPiecesKey, pieces}}).ok());
    return path;
  }
  static std::string ErrorOf(const std::vector<std::filesystem::path>& files) {
    return std::string(PiecedTensors::Open(files).status().message());
  }

 private:
  TemporaryFolder folder_;
  std::vector<float> values_ = {0, 1, 2, 3, 4, 5};
};

TEST_F(PiecedTensorsTest, RangesAreReadWhereverTheyLie) {
  // In any order of files; the borders fall inside a row.
  auto tensors = PiecedTensors::Open({Write("b", {Piece(2, 5)}), Write("c", {Piece(5, 6)}), Write("a", {Piece(0, 2)})});
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  std::vector<float> range(4);
  ASSERT_TRUE((*tensors)->Read("w", 1, absl::MakeSpan(range)).ok());
  EXPECT_THAT(range, ElementsAre(1, 2, 3, 4));
  const auto whole = (*tensors)->Find("w");
  ASSERT_TRUE(whole.ok());
  EXPECT_THAT(whole->shape, ElementsAre(2, 3));
  // Where it lies: nothing is put together in memory.
  EXPECT_EQ(whole->data, nullptr);
  EXPECT_EQ(whole->bytes, 6 * sizeof(float));
  std::vector<float> values;
  for (const auto& part : PartsOf(*whole)) {
    const size_t before = values.size();
    values.resize(before + part.size() / sizeof(float));
    std::memcpy(values.data() + before, part.data(), part.size());
  }
  EXPECT_THAT(values, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ((*tensors)->Read("w", 3, absl::MakeSpan(range)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ((*tensors)->Find("v").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(PiecedTensorsTest, RefusesShardsThatDoNotMakeUpTheTensor) {
  const auto first = Write("first", {Piece(0, 3)});
  EXPECT_THAT(ErrorOf({first, Write("late", {Piece(4, 6)})}), HasSubstr("element 3 of w is in no shard"));
  EXPECT_THAT(ErrorOf({first}), HasSubstr("element 3 of w is in no shard"));
  EXPECT_THAT(ErrorOf({first, Write("overlap", {Piece(2, 6)})}), HasSubstr("element 2 of w is in two shards"));
}

TEST_F(PiecedTensorsTest, RefusesMetadataThatContradictsTheFile) {
  EXPECT_THAT(ErrorOf({WriteWithMetadata("a", "[")}), HasSubstr("metadata pieces: not a JSON object"));
  EXPECT_THAT(ErrorOf({WriteWithMetadata("b", R"({"w": 1})")}), HasSubstr("w: expected {\"begin\": N, \"shape\": [...]}"));
  EXPECT_THAT(ErrorOf({WriteWithMetadata("c", R"({"v": {"begin": 0, "shape": [3]}})")}), HasSubstr("tensor v has a place"));
  EXPECT_THAT(ErrorOf({WriteWithMetadata("d", R"({"w": {"begin": -1, "shape": [6]}})")}), HasSubstr("begins at element -1"));
  EXPECT_THAT(ErrorOf({WriteWithMetadata("e", R"({"w": {"begin": 9223372036854775807, "shape": [6]}})")}),
              HasSubstr("begins at element 9223372036854775807 with 3 elements, of 6"));
  EXPECT_THAT(ErrorOf({WriteWithMetadata("f", R"({"w": {"begin": 0, "shape": [4294967296, 4294967296]}})")}),
              HasSubstr("negative or too large"));
}

}  // namespace
}  // namespace pixelrec::checkpoint
