#include "worker/checkpoint/torch_file/torch_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/worker/checkpoint/raw_safetensors.h"
#include "worker/checkpoint/safetensors.h"

namespace pixelrec::checkpoint {
namespace {

using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr char kFixtures[] = PIXELREC_SOURCE_DIR "/tests/worker/checkpoint/fixtures/";
constexpr char kCorpus[] = PIXELREC_SOURCE_DIR "/tests/fuzz/corpus/torch_file/";

// What a file of the corpus is refused with; "" where its tensors are read.
absl::Status Outcome(const std::string& name) {
  auto file = TorchFile::Open(kCorpus + name);
  return file.ok() ? (*file)->Tensors((*file)->pickle().root()).status() : file.status();
}
std::string Refusal(const std::string& name) { return std::string(Outcome(name).message()); }

// tests/reference/torch_file_fixtures.py: torch.save and safetensors wrote the same tensors.
TEST(TorchFileTest, ReadsWhatTorchSaved) {
  auto file = TorchFile::Open(std::string(kFixtures) + "state_dict.bin");
  ASSERT_TRUE(file.ok()) << file.status();
  const auto state = (*file)->Tensors((*file)->pickle().root());
  ASSERT_TRUE(state.ok()) << state.status();
  const auto expected = SafetensorsFile::Open(std::string(kFixtures) + "state_dict.safetensors");
  ASSERT_TRUE(expected.ok()) << expected.status();
  EXPECT_EQ(state->tensors.size(), 16u);
  for (const auto& [name, tensor] : (*expected)->tensors()) {
    ASSERT_THAT(state->tensors, ::testing::Contains(Key(name)));
    const TorchTensor& read = state->tensors.at(name);
    EXPECT_EQ(read.dtype, tensor.dtype) << name;
    EXPECT_EQ(read.shape, tensor.shape) << name;
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(read.data), read.bytes),
              std::string(reinterpret_cast<const char*>(tensor.data), tensor.bytes))
        << name;
  }
}

TEST(TorchFileTest, SaysWhatItDidNotRead) {
  auto file = *TorchFile::Open(std::string(kFixtures) + "state_dict.bin");
  const auto state = *file->Tensors(file->pickle().root());
  EXPECT_THAT(state.skipped,
              UnorderedElementsAre(Pair("complex", HasSubstr("storages of type torch.ComplexFloatStorage are not read")),
                                   Pair("epoch", "not a tensor"), Pair("sparse", "not a tensor"), Pair("big", "not a tensor")));
}

TEST(TorchFileTest, ReadsHandMadeArchives) {
  for (const char* name : {"sound", "real", "zip64", "memo", "parameter", "strided"}) EXPECT_EQ(Refusal(name), "") << name;
  auto zip64 = *TorchFile::Open(std::string(kCorpus) + "zip64");
  const auto state = *zip64->Tensors(zip64->pickle().root());
  EXPECT_EQ(state.tensors.at("w").bytes, 16u);
  auto protocol4 = *TorchFile::Open(std::string(kCorpus) + "protocol4");
  const Pickle& pickle = protocol4->pickle();
  EXPECT_EQ(pickle.Get(pickle.root(), "e")->integer, -5);
  EXPECT_EQ(pickle.Get(pickle.root(), "b")->text, "bytes");
  EXPECT_EQ(pickle.child(pickle.child(*pickle.Get(pickle.root(), "a"), 1), 1).number, 3.5);
  EXPECT_EQ(pickle.Get(pickle.root(), "d")->kind, PickleValue::Kind::kOpaque);
  EXPECT_EQ(pickle.Get(pickle.root(), "f"), nullptr);
}

TEST(TorchFileTest, NeverExecutes) {
  std::filesystem::remove("/tmp/pixelrec-unpickled");
  auto file = *TorchFile::Open(std::string(kCorpus) + "system");
  const Pickle& pickle = file->pickle();
  const PickleValue& call = *pickle.Get(pickle.root(), "w");
  EXPECT_EQ(call.kind, PickleValue::Kind::kCall);
  EXPECT_TRUE(pickle.child(call, 0).IsGlobal("posix", "system"));
  EXPECT_THAT(file->Tensors(pickle.root())->skipped, UnorderedElementsAre(Pair("w", "not a tensor")));
  EXPECT_FALSE(std::filesystem::exists("/tmp/pixelrec-unpickled"));
  // An object of a class from elsewhere is what it is called, no more.
  auto foreign = *TorchFile::Open(std::string(kCorpus) + "foreign");
  EXPECT_TRUE(foreign->pickle().child(foreign->pickle().root(), 0).IsGlobal("deepspeed.runtime.config", "Config"));
}

TEST(TorchFileTest, RefusesTensorsOutsideTheirStorage) {
  EXPECT_THAT(Refusal("outside"), HasSubstr("outside: a/data.pkl: byte "));
  EXPECT_THAT(Refusal("outside"), HasSubstr("reaches to element 4 of a storage of 4 (tensor w)"));
  EXPECT_THAT(Refusal("huge_shape"), HasSubstr("shape leaves 64 bits"));
  EXPECT_THAT(Refusal("huge_stride"), HasSubstr("strides leave 64 bits"));
  EXPECT_THAT(Refusal("negative"), HasSubstr("offset, shape and strides make no sense"));
  EXPECT_THAT(Refusal("negative_offset"), HasSubstr("offset, shape and strides make no sense"));
  EXPECT_THAT(Refusal("short_storage"), HasSubstr("entry data/0, has 16 bytes, not 5 x 4"));
  EXPECT_THAT(Refusal("missing_storage"), HasSubstr("entry data/7, is missing"));
  EXPECT_THAT(Refusal("path_as_key"), HasSubstr("entry data/../0, is missing"));
}

TEST(TorchFileTest, AllocatesNoMoreThanTheFileWarrants) {
  EXPECT_THAT(Refusal("expanded"), HasSubstr("repeats its values (shape and strides ask for 4398046511104 bytes"));
  EXPECT_THAT(Refusal("huge_text"), HasSubstr("ends in the middle of an opcode"));
  EXPECT_THAT(Refusal("huge_slot"), HasSubstr("not a dictionary of tensors"));
  EXPECT_THAT(Refusal("many_entries"), HasSubstr("too short for the entries it announces"));
  // 2^60 elements if it were unfolded; it is walked by nobody.
  EXPECT_TRUE(TorchFile::Open(std::string(kCorpus) + "memo_bomb").ok());
  EXPECT_TRUE(TorchFile::Open(std::string(kCorpus) + "deep").ok());
  std::string many = "\x80\x02";
  for (size_t i = 0; i <= kMaxPickleValues; ++i) many += "]0";
  EXPECT_THAT(std::string(Pickle::Parse(AsBytes(many + "N."), "many").status().message()),
              HasSubstr("many: byte 2000002: more than 1000000 values"));
}

TEST(TorchFileTest, NamesOpcodeAndPlace) {
  EXPECT_THAT(Refusal("no_stop"), HasSubstr("a/data.pkl: byte 3: the pickle ends without STOP"));
  EXPECT_THAT(Refusal("empty_pickle"), HasSubstr("byte 0: the pickle ends without STOP"));
  EXPECT_THAT(Refusal("two_left"), HasSubstr("byte 4: STOP with values left on the stack"));
  EXPECT_THAT(Refusal("underflow"), HasSubstr("byte 2: takes a value from an empty stack"));
  EXPECT_THAT(Refusal("deep_marks"), HasSubstr("byte 302: takes a value from an empty stack"));
  EXPECT_THAT(Refusal("line_without_end"), HasSubstr("byte 2: the pickle ends in the middle of an opcode"));
  EXPECT_THAT(Refusal("protocol0"), HasSubstr("byte 12: opcode 0x53 is not one that torch.save writes"));
}

TEST(TorchFileTest, RefusesArchivesOfAnotherKind) {
  EXPECT_THAT(Refusal("compressed"), HasSubstr("entry a/data.pkl: is compressed (method 8)"));
  EXPECT_THAT(Refusal("encrypted"), HasSubstr("entry a/data.pkl: is encrypted"));
  EXPECT_THAT(Refusal("overlapping"), HasSubstr("overlaps another entry"));
  EXPECT_THAT(Refusal("truncated"), HasSubstr("a ZIP archive without its directory at the end"));
  EXPECT_TRUE(absl::IsDataLoss(Outcome("truncated")));
  EXPECT_THAT(Refusal("nothing"), HasSubstr("nothing: not a ZIP archive"));
  EXPECT_THAT(Refusal("no_pickle"), HasSubstr("without data.pkl"));
  EXPECT_THAT(Refusal("big_endian"), HasSubstr("written on a big-endian machine"));
  EXPECT_THAT(Refusal("legacy"), HasSubstr("before torch 1.6, which is not read; convert it: python -c"));
  EXPECT_TRUE(absl::IsUnimplemented(Outcome("legacy")));
  EXPECT_TRUE(absl::IsNotFound(TorchFile::Open("/nonexistent.bin").status()));
  EXPECT_THAT(std::string(TorchFile::Open("/dev/null").status().message()), HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace pixelrec::checkpoint
