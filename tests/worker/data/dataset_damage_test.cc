// A damaged dataset.bin is refused by name of file and place; nothing is read beyond it.
#include <algorithm>
#include <cstddef>
#include <cstring>

#include "common/storage/atomic_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/data/small_dataset.h"
#include "worker/data/dataset_format.h"
#include "worker/data/dataset_view.h"
#include "xxhash.h"

namespace pixelrec::data {
namespace {

using testing::HasSubstr;

class DatasetDamage : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(data_.Open(), nullptr);
    file_ = data_.report.path / kDatasetFile;
    sound_ = *storage::ReadFile(file_);
  }

  absl::Status OpenWith(const std::string& content) {
    EXPECT_TRUE(storage::WriteFileAtomically(file_, content).ok());
    return Dataset::Open(data_.report.path).status();
  }

  static DatasetHeader HeaderOf(const std::string& content) {
    DatasetHeader header;
    std::memcpy(&header, content.data(), sizeof(header));
    return header;
  }

  // The file with `change` applied to its header and sections, and every checksum right again: only the checks of content are
  // left.
  template <typename Change>
  std::string Forged(Change change) const {
    std::string content = sound_;
    DatasetHeader header = HeaderOf(content);
    change(header, content);
    for (SectionEntry& entry : header.sections) {
      if (entry.offset <= content.size() && entry.bytes <= content.size() - entry.offset) {
        entry.xxh3 = XXH3_64bits(content.data() + entry.offset, entry.bytes);
      }
    }
    header.header_xxh3 = XXH3_64bits(&header, offsetof(DatasetHeader, header_xxh3));
    std::memcpy(content.data(), &header, sizeof(header));
    return content;
  }

  // Overwrites entry `index` of a section.
  template <typename T>
  static void Put(DatasetHeader& header, std::string& content, Section section, size_t index, T value) {
    ASSERT_LE((index + 1) * sizeof(T), header.sections[section].bytes);
    std::memcpy(content.data() + header.sections[section].offset + index * sizeof(T), &value, sizeof(T));
  }

  void ExpectDataLoss(const std::string& content, const std::string& words) {
    const absl::Status status = OpenWith(content);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
    EXPECT_THAT(std::string(status.message()), HasSubstr("dataset.bin"));
  }

  SmallDataset data_ = Synthetic(12, 40, [](int user) { return 3 + user * 2; });
  std::filesystem::path file_;
  std::string sound_;
};

TEST_F(DatasetDamage, TruncatedAnywhere) {
  for (size_t size = 0; size < sound_.size(); ++size) {
    EXPECT_EQ(ParseDataset(absl::string_view(sound_).substr(0, size)).status().code(), absl::StatusCode::kDataLoss) << size;
  }
  for (size_t size : {size_t{0}, size_t{1}, size_t{4096}, sound_.size() - 1}) {
    EXPECT_EQ(OpenWith(sound_.substr(0, size)).code(), absl::StatusCode::kDataLoss) << size;
  }
  EXPECT_EQ(OpenWith(sound_ + "x").code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(OpenWith(sound_).ok());
}

TEST_F(DatasetDamage, EveryByteOfTheHeaderFlipped) {
  for (size_t at = 0; at < sizeof(DatasetHeader); ++at) {
    std::string content = sound_;
    content[at] = static_cast<char>(content[at] ^ 0x40);
    const auto view = ParseDataset(content);
    ASSERT_FALSE(view.ok()) << at;
    const bool version = at >= 8 && at < 12;
    EXPECT_EQ(view.status().code(), version ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kDataLoss) << at;
  }
}

TEST_F(DatasetDamage, EveryByteOfTheSectionsFlipped) {
  const DatasetHeader header = HeaderOf(sound_);
  for (const SectionEntry& entry : header.sections) {
    for (size_t i = 0; i < entry.bytes; ++i) {
      std::string content = sound_;
      content[entry.offset + i] = static_cast<char>(content[entry.offset + i] ^ 1);
      ASSERT_EQ(ParseDataset(content).status().code(), absl::StatusCode::kDataLoss) << entry.offset + i;
    }
  }
}

TEST_F(DatasetDamage, SectionsOutsideTheFile) {
  for (uint64_t offset : {uint64_t{0}, uint64_t{64}, uint64_t{513}, uint64_t{1} << 40, ~uint64_t{63}}) {
    ExpectDataLoss(Forged([&](DatasetHeader& h, std::string&) { h.sections[kHistory].offset = offset; }),
                   "\"history\" doesn't lie inside");
  }
  for (uint64_t bytes : {~uint64_t{0}, ~uint64_t{3}, uint64_t{1} << 62}) {
    ExpectDataLoss(Forged([&](DatasetHeader& h, std::string&) { h.sections[kTokens].bytes = bytes; }),
                   "\"tokens\" doesn't lie inside");
  }
}

TEST_F(DatasetDamage, CountsThatDoNotFitTheSections) {
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string&) { h.items = 0xFFFFFFF0u; }), "has the wrong size");
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string&) { h.users += 1; }), "\"history offsets\" has the wrong size");
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string&) { h.train_items = h.items + 1; }), "contradict");
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string&) { h.max_seq_length = -1; }), "contradict");
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string&) { h.vocab_size = 3; }), "\"tokens\" has ids beyond the vocabulary");
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string&) { h.train_items = 2; }), "\"history\" names items that don't exist");
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string&) { h.max_seq_length = 2; }), "\"samples\" reaches outside");
}

TEST_F(DatasetDamage, OffsetsThatDoNotAscend) {
  for (Section section : {kTokenOffsets, kHistoryOffsets, kItemNameOffsets, kItemTitleOffsets, kUserNameOffsets}) {
    for (uint64_t value : {uint64_t{0}, ~uint64_t{0}, uint64_t{1} << 33}) {
      ExpectDataLoss(Forged([&](DatasetHeader& h, std::string& c) { Put(h, c, section, value == 0 ? 3 : 2, value); }),
                     "don't ascend");
    }
    ExpectDataLoss(Forged([&](DatasetHeader& h, std::string& c) { Put(h, c, section, 0, uint64_t{1}); }), "don't ascend");
  }
}

TEST_F(DatasetDamage, IndicesThatPointNowhere) {
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string& c) { Put(h, c, kHistory, 5, uint32_t{0}); }), "names items");
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string& c) { Put(h, c, kHistory, 5, ~uint32_t{0}); }), "names items");
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string& c) { Put(h, c, kTokens, 5, ~uint32_t{0}); }), "vocabulary");
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string& c) { Put(h, c, kSamples, 0, ~uint32_t{0}); }), "samples");
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string& c) { Put(h, c, kSamples, 1, ~uint32_t{0}); }), "samples");
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string& c) { Put(h, c, kSamples, 2, uint32_t{1}); }), "samples");
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string& c) { Put(h, c, kEvalUsers, 1, uint32_t{0}); }), "evaluated users");
  ExpectDataLoss(Forged([](DatasetHeader& h, std::string& c) { Put(h, c, kEvalUsers, 1, ~uint32_t{0}); }), "evaluated users");
}

TEST_F(DatasetDamage, AnotherVersionIsNotDamage) {
  const absl::Status status = OpenWith(Forged([](DatasetHeader& h, std::string&) { h.version = 99; }));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("format version 99"));
}

TEST_F(DatasetDamage, MissingFolderAndMissingFile) {
  EXPECT_EQ(Dataset::Open(data_.folder.path() / "nowhere").status().code(), absl::StatusCode::kNotFound);
  std::filesystem::remove(file_);
  EXPECT_EQ(Dataset::Open(data_.report.path).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(DatasetDamage, PrepareMendsADamagedFolder) {
  auto mends = [&] {
    const auto report = Prepare(data_.options);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_FALSE(report->reused);
    EXPECT_EQ(*storage::ReadFile(file_), sound_);
    EXPECT_TRUE(Prepare(data_.options)->reused);
  };
  ASSERT_TRUE(storage::WriteFileAtomically(file_, sound_.substr(0, sound_.size() / 2)).ok());
  mends();
  ASSERT_TRUE(storage::WriteFileAtomically(data_.report.path / kReportFile, "{").ok());
  mends();
  std::filesystem::remove(data_.report.path / kReportFile);
  mends();
  std::filesystem::remove(file_);
  mends();
}

TEST_F(DatasetDamage, AFolderUnderAnotherNameIsNotReused) {
  SmallDataset other = Synthetic(12, 40, [](int) { return 9; });
  ASSERT_NE(other.Open(), nullptr);
  std::filesystem::remove_all(data_.report.path);
  std::filesystem::copy(other.report.path, data_.report.path);
  const auto report = Prepare(data_.options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->reused);
  EXPECT_EQ(*storage::ReadFile(file_), sound_);
}

}  // namespace
}  // namespace pixelrec::data
