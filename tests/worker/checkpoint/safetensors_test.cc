#include "worker/checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "absl/strings/str_cat.h"
#include "tests/worker/checkpoint/raw_safetensors.h"
#include "worker/checkpoint/dtype.h"

namespace pixelrec::checkpoint {
namespace {

using ::testing::HasSubstr;

constexpr char kTwoTensors[] =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"a":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}})";

absl::StatusOr<SafetensorsIndex> Parse(const std::string& header, size_t data_bytes) {
  static std::string kept;  // the index points into it
  kept = RawSafetensors(header, data_bytes);
  return ParseSafetensors(AsBytes(kept), "weights.safetensors");
}

TEST(ParseSafetensors, ReadsNamesShapesBytesAndMetadata) {
  const auto index = Parse(kTwoTensors, 22);
  ASSERT_TRUE(index.ok()) << index.status();
  ASSERT_EQ(index->tensors.size(), 2u);
  const TensorInfo& a = index->tensors.at("a");
  EXPECT_EQ(a.dtype, "BF16");
  EXPECT_EQ(a.shape, std::vector<int64_t>({3}));
  EXPECT_EQ(a.bytes, 6u);
  EXPECT_EQ(a.data - index->tensors.at("b").data, 16);
  EXPECT_EQ(index->metadata.at("format"), "pt");
}

TEST(ParseSafetensors, AcceptsScalarsEmptyTensorsAndPaddedHeaders) {
  const auto index = Parse(
      R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"e":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},"x":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}}     )",
      6);
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_TRUE(index->tensors.at("s").shape.empty());
  EXPECT_EQ(index->tensors.at("e").bytes, 0u);
  EXPECT_TRUE(Parse("{}", 0).ok());
}

TEST(ParseSafetensors, SaysHowManyBytesATruncatedFileLacks) {
  const std::string whole = RawSafetensors(kTwoTensors, 22);
  // Every possible truncation is refused, none is read past its end.
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    const auto index = ParseSafetensors(AsBytes(cut), "weights.safetensors");
    ASSERT_EQ(index.status().code(), absl::StatusCode::kDataLoss) << size;
  }
  const std::string cut = whole.substr(0, whole.size() - 5);
  EXPECT_THAT(std::string(ParseSafetensors(AsBytes(cut), "weights.safetensors").status().message()),
              HasSubstr("weights.safetensors: truncated: its header describes 22 bytes of data, it has 17, 5 are missing"));
}

struct BadHeader {
  const char* header;
  size_t data_bytes;
  const char* says;
};

class RefusedHeader : public ::testing::TestWithParam<BadHeader> {};

TEST_P(RefusedHeader, IsNamed) {
  const auto index = Parse(GetParam().header, GetParam().data_bytes);
  ASSERT_FALSE(index.ok());
  EXPECT_EQ(index.status().code(), absl::StatusCode::kInvalidArgument) << index.status();
  EXPECT_THAT(std::string(index.status().message()), HasSubstr(GetParam().says));
  EXPECT_THAT(std::string(index.status().message()), HasSubstr("weights.safetensors: "));
}

INSTANTIATE_TEST_SUITE_P(
    Structure, RefusedHeader,
    ::testing::Values(
        BadHeader{"", 0, "doesn't start with '{'"}, BadHeader{"[]", 0, "doesn't start with '{'"},
        BadHeader{" {}", 0, "doesn't start with '{'"}, BadHeader{"{", 0, "not valid JSON at byte"},
        BadHeader{R"({"a":7})", 0, "tensor \"a\": a number stands where the format has none"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"extra":1}})", 1, "unknown field \"extra\""},
        BadHeader{R"({"a":{"dtype":"U8","shape":[1]}})", 1, "must all be given"},
        BadHeader{R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, "\"dtype\" occurs twice"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}})", 1, "an array stands where"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, "a negative number"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}})", 1, "not a whole one"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[99999999999999999999999],"data_offsets":[0,1]}})", 1, "not a whole one"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})", 1, "leaves 64 bits"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1, "more than two numbers"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1, "must hold two numbers"},
        BadHeader{R"({"__metadata__":{"k":{}}})", 0, "an object stands where"},
        BadHeader{R"({"__metadata__":{"k":1}})", 0, "a number stands where"},
        BadHeader{R"({"__metadata__":{},"__metadata__":{}})", 0, "occurs twice"},
        BadHeader{"{\"a\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "not valid JSON"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                  2, "tensor \"a\": the name occurs twice"}));

INSTANTIATE_TEST_SUITE_P(
    Offsets, RefusedHeader,
    ::testing::Values(
        BadHeader{R"({"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,1]}})", 1, "unknown dtype \"Q4\""},
        BadHeader{R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "data_offsets [0, 4] don't hold F32 [2]"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1, "don't hold"},
        BadHeader{R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0, "don't hold"},
        BadHeader{R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", 0, "don't hold"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2,
                  "starts at byte 1, but what lies before it ends at 0"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                  3, "starts at byte 1, but another tensor's reaches to 2"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})",
                  5, "starts at byte 3, but what lies before it ends at 2"},
        BadHeader{R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 4, "3 bytes lie after its last tensor"}));

TEST(ParseSafetensors, NeverAllocatesWhatTheFileDoesNotWarrant) {
  // A file of a few bytes that announces huge things is refused without room for them.
  std::string bytes = RawSafetensors("{}", 0);
  bytes[4] = 1;  // 4 GiB of header
  EXPECT_EQ(ParseSafetensors(AsBytes(bytes), "f").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(ParseSafetensors(AsBytes(bytes), "f").status().message()), HasSubstr("not a safetensors file"));
  const auto deep = Parse(std::string(R"({"a":)") + std::string(100000, '['), 0);
  EXPECT_EQ(deep.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SafetensorsFile, NamesWhatItCannotOpen) {
  TemporaryFolder folder;
  EXPECT_EQ(SafetensorsFile::Open(folder.path() / "absent").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(SafetensorsFile::Open(folder.path()).status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(::mkfifo((folder.path() / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(std::string(SafetensorsFile::Open(folder.path() / "pipe").status().message()), HasSubstr("not a regular file"));
  WriteRaw(folder.path() / "empty", "");
  EXPECT_EQ(SafetensorsFile::Open(folder.path() / "empty").status().code(), absl::StatusCode::kDataLoss);
}

TEST(SafetensorsFile, ReadsTheQuickstartModel) {
  const auto file = SafetensorsFile::Open(PIXELREC_SOURCE_DIR "/deploy/quickstart/stories260k/model.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->tensors().size(), 47u);
  EXPECT_EQ((*file)->Find("model.embed_tokens.weight")->shape, std::vector<int64_t>({512, 64}));
  EXPECT_EQ((*file)->Find("nothing").status().code(), absl::StatusCode::kNotFound);
}

TEST(SafetensorsWriter, RoundTrips) {
  TemporaryFolder folder;
  const auto path = folder.path() / "out.safetensors";
  const std::string matrix(16, 'm'), scalar(4, 's');
  auto writer = SafetensorsWriter::Create(path, {{"z.matrix", "F32", {2, 2}}, {"empty", "F32", {0}}, {"a.scalar", "F32", {}}},
                                          {{"format", "pt"}, {"x", "y\"\n"}});
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_TRUE((*writer)->Append("z.matrix", AsBytes(matrix).subspan(0, 5)).ok());
  EXPECT_TRUE((*writer)->Append("z.matrix", AsBytes(matrix).subspan(5)).ok());
  EXPECT_TRUE((*writer)->Append("a.scalar", AsBytes(scalar)).ok());
  const auto digest = (*writer)->Finish();
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_EQ(*digest, *DigestFile(path));
  EXPECT_EQ(digest->bytes, std::filesystem::file_size(path));

  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const TensorInfo read = *(*file)->Find("z.matrix");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(read.data), read.bytes), matrix);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(read.data) % 8, 0u);  // aligned for a map of any element type
  EXPECT_EQ((*file)->metadata().at("x"), "y\"\n");
}

TEST(SafetensorsWriter, RefusesDisorder) {
  TemporaryFolder folder;
  const auto path = folder.path() / "out.safetensors";
  auto writer = SafetensorsWriter::Create(path, {{"a", "U8", {2}}, {"b", "U8", {2}}}, {});
  ASSERT_TRUE(writer.ok());
  EXPECT_THAT(std::string((*writer)->Append("b", AsBytes("xx")).message()), HasSubstr("tensor b is not next, a"));
  EXPECT_THAT(std::string((*writer)->Append("a", AsBytes("xxx")).message()), HasSubstr("has 2 bytes, 3 were given"));
  EXPECT_TRUE((*writer)->Append("a", AsBytes("xx")).ok());
  EXPECT_TRUE((*writer)->Append("b", AsBytes("x")).ok());
  EXPECT_THAT(std::string((*writer)->Finish().status().message()), HasSubstr("tensor b lacks 1 bytes"));
  writer->reset();
  EXPECT_FALSE(std::filesystem::exists(path)) << "an unfinished file must not stay";
  EXPECT_FALSE(SafetensorsWriter::Create(path, {{"a", "U8", {2}}, {"a", "U8", {2}}}, {}).ok());
  EXPECT_FALSE(SafetensorsWriter::Create(path, {{"a", "U9", {2}}}, {}).ok());
  EXPECT_FALSE(SafetensorsWriter::Create(path, {{"a", "F64", {int64_t{1} << 61}}, {"b", "U8", {1}}}, {}).ok());
  EXPECT_EQ(SafetensorsWriter::Create(folder.path() / "no" / "such", {}, {}).status().code(), absl::StatusCode::kNotFound);
}

TEST(SafetensorsWriter, ReportsAFullDisk) {
  // A limit on the file's size stands in for a full disk: write() fails half way.
  TemporaryFolder folder;
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto writer = SafetensorsWriter::Create(folder.path() / "big", {{"a", "U8", {1 << 20}}}, {});
  ASSERT_TRUE(writer.ok());
  const rlimit small{4096, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = (*writer)->Append("a", AsBytes(std::string(1 << 20, 'x')));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot write"));
}

TEST(Digest, IsXxhsumsAndSeesEveryFlippedBit) {
  // `printf 'pixelrec' | xxhsum -H2`
  Digest digest;
  digest.Add(AsBytes("pixel"));
  digest.Add(AsBytes("rec"));
  EXPECT_EQ(digest.Finish(), (FileDigest{8, "5a0ba748397a669eed3343a2930e4a5b"}));
  TemporaryFolder folder;
  std::string bytes(300, 'q');
  WriteRaw(folder.path() / "f", bytes);
  const auto whole = DigestFile(folder.path() / "f");
  for (size_t bit = 0; bit < bytes.size() * 8; bit += 97) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    WriteRaw(folder.path() / "f", flipped);
    EXPECT_NE(*DigestFile(folder.path() / "f"), *whole) << bit;
  }
  EXPECT_EQ(DigestFile(folder.path() / "absent").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace pixelrec::checkpoint
