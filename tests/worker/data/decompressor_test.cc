#include "worker/data/decompressor.h"

#include <algorithm>

#include "common/storage/atomic_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/data/compressed_bytes.h"
#include "tests/worker/data/small_dataset.h"

namespace pixelrec::data {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

absl::StatusOr<std::string> Unpack(absl::string_view packed, size_t portion = 1 << 20) {
  std::string plain;
  Decompressor decompressor("data.csv.gz", [&](absl::string_view bytes) {
    plain.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  });
  for (size_t at = 0; at < packed.size(); at += portion) {
    if (absl::Status status = decompressor.Feed(packed.substr(at, portion)); !status.ok()) return status;
  }
  if (absl::Status status = decompressor.Finish(); !status.ok()) return status;
  return plain;
}

std::string Error(absl::string_view packed) {
  const auto plain = Unpack(packed);
  EXPECT_EQ(plain.status().code(), absl::StatusCode::kInvalidArgument) << plain.status();
  return std::string(plain.status().message());
}

std::string Text(int rows) {
  std::string text = "user_id,item_id\n";
  for (int i = 0; i < rows; ++i) absl::StrAppend(&text, "u", i * 7919 % 1009, ",i", i * i % 997, "\n");
  return text;
}

TEST(Decompressor, PlainBytesPassThrough) {
  for (const std::string& text : {Text(10), std::string(), std::string("a"), std::string("\x1f"), std::string("\x28\xb5\x2f")}) {
    EXPECT_EQ(*Unpack(text), text);
    EXPECT_EQ(*Unpack(text, 1), text);
  }
}

TEST(Decompressor, GzipAndZstdHoweverTheyAreCut) {
  const std::string text = Text(20000);
  for (const std::string& packed : {Gzipped(text), Zstandard(text)}) {
    ASSERT_LT(packed.size(), text.size());
    for (size_t portion : {size_t{1}, size_t{2}, size_t{3}, size_t{1000}, packed.size()}) {
      const auto plain = Unpack(packed, portion);
      ASSERT_TRUE(plain.ok()) << plain.status();
      EXPECT_EQ(*plain, text) << portion;
    }
  }
}

TEST(Decompressor, StreamsOneAfterAnotherAndEmptyOnes) {
  const std::string a = Text(100), b = Text(3);
  EXPECT_EQ(*Unpack(Gzipped(a) + Gzipped("") + Gzipped(b)), a + b);
  EXPECT_EQ(*Unpack(Zstandard(a) + Zstandard("") + Zstandard(b), 5), a + b);
  EXPECT_EQ(*Unpack(Gzipped("")), "");
}

TEST(Decompressor, OutputOfExactlyOneBuffer) {
  const std::string text(256 << 10, 'x');
  EXPECT_EQ(*Unpack(Gzipped(text)), text);
  EXPECT_EQ(*Unpack(Zstandard(text)), text);
}

TEST(Decompressor, EveryTruncationIsRefusedWithTheByte) {
  for (const std::string& packed : {Gzipped(Text(50)), Zstandard(Text(50))}) {
    for (size_t length = 4; length < packed.size(); ++length) {
      EXPECT_THAT(Error(absl::string_view(packed).substr(0, length)), HasSubstr("breaks off at the file's end, byte ")) << length;
    }
  }
  const std::string packed = Gzipped(Text(50));
  EXPECT_EQ(
      Error(absl::string_view(packed).substr(0, 100)),
      "data.csv.gz: the gzip stream breaks off at the file's end, byte 100; the file was cut off: copy or compress it again");
}

TEST(Decompressor, DamageIsRefusedWithTheByte) {
  for (std::string packed : {Gzipped(Text(5000)), Zstandard(Text(5000))}) {
    packed[packed.size() - 2] = static_cast<char>(packed[packed.size() - 2] ^ 1);  // in the checksum or the length
    EXPECT_THAT(Error(packed), HasSubstr("stream is damaged at byte ")) << packed.size();
    packed[packed.size() / 2] = static_cast<char>(packed[packed.size() / 2] ^ 0xff);
    EXPECT_FALSE(Unpack(packed).ok());
  }
}

TEST(Decompressor, BytesAfterTheLastStreamAreRefused) {
  EXPECT_THAT(Error(Gzipped("a,b\n") + "rest of something"), HasSubstr("the gzip stream is damaged at byte "));
  EXPECT_THAT(Error(Zstandard("a,b\n") + "rest of something"), HasSubstr("the zstd stream is damaged at byte "));
}

TEST(Decompressor, AZstdWindowThatTakesGigabytesIsRefused) {
  EXPECT_THAT(Error(Zstandard(Text(50), 28)), HasSubstr("requires too much memory"));
  EXPECT_EQ(*Unpack(Zstandard(Text(50), 27)), Text(50));
}

TEST(Decompressor, ABombMeetsTheReceiversLimit) {
  const std::string packed = Gzipped(std::string(64 << 20, 'x'));  // 64 KiB
  size_t largest = 0;
  size_t all = 0;
  Decompressor decompressor("bomb.gz", [&](absl::string_view bytes) {
    largest = std::max(largest, bytes.size());
    all += bytes.size();
    return all > (4u << 20) ? absl::InvalidArgumentError("bomb.gz:1: too long") : absl::OkStatus();
  });
  EXPECT_EQ(decompressor.Feed(packed).message(), "bomb.gz:1: too long");
  EXPECT_EQ(decompressor.Feed(packed).message(), "bomb.gz:1: too long");
  EXPECT_LE(largest, 256u << 10);
  EXPECT_LE(all, 5u << 20);
}

TEST(PrepareCompressed, TheSameDatasetFromPackedFiles) {
  SmallDataset plain = Synthetic(30, 70, [](int) { return 8; });
  const auto expected = plain.Open();
  ASSERT_NE(expected, nullptr);
  const std::string interactions = *storage::ReadFile(plain.options.interaction_data);
  const std::string texts = *storage::ReadFile(plain.options.text_data);
  SmallDataset packed(Gzipped(interactions), Zstandard(texts));
  const auto dataset = packed.Open();
  ASSERT_NE(dataset, nullptr);
  EXPECT_EQ(packed.report.interactions, 240);
  ASSERT_EQ(dataset->num_items(), expected->num_items());
  for (uint32_t item = 1; item <= expected->num_items(); ++item) {
    EXPECT_EQ(dataset->item_name(item), expected->item_name(item));
    EXPECT_TRUE(std::ranges::equal(dataset->tokens(item), expected->tokens(item)));
  }
}

TEST(PrepareCompressed, RefusalsNameTheFileAndTheRowInside) {
  SmallDataset data(Gzipped("user_id,item_id\nu,a\n,b\n"), "item_id,title\na,A\n");
  EXPECT_THAT(data.Error(), HasSubstr("interactions.csv:3: empty user_id"));
  const std::string whole = Gzipped(Text(50));
  SmallDataset cut(whole.substr(0, whole.size() / 2), "item_id,title\na,A\n");
  EXPECT_THAT(cut.Error(), HasSubstr("interactions.csv: the gzip stream breaks off at the file's end"));
}

}  // namespace
}  // namespace pixelrec::data
