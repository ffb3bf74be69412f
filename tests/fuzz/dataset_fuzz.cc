// Any bytes as dataset.bin, also with every checksum right: refused, or usable to the last entry.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "worker/data/dataset_format.h"
#include "worker/data/dataset_view.h"
#include "xxhash.h"

namespace {

using namespace pixelrec::data;

// What a trainer reads of a dataset.
uint64_t ReadEverything(const DatasetView& view) {
  uint64_t sum = 0;
  for (uint32_t item = 0; item < view.header.items; ++item) {
    for (uint32_t token : view.tokens.row(item)) sum += token;
    for (char c : view.item_names.row(item)) sum += static_cast<unsigned char>(c);
    for (char c : view.item_titles.row(item)) sum += static_cast<unsigned char>(c);
    sum += view.train_counts[item + 1];
  }
  for (uint32_t user = 0; user < view.header.users; ++user) {
    for (uint32_t item : view.history.row(user)) sum += view.tokens.row(item - 1).size();
    for (int64_t time : view.times.row(user)) sum += static_cast<uint64_t>(time);
    for (char c : view.user_names.row(user)) sum += static_cast<unsigned char>(c);
  }
  for (const Sample& sample : view.samples) sum += view.history.row(sample.user).subspan(sample.start, sample.length).back();
  for (uint32_t user : view.eval_users) sum += view.history.row(user)[2];
  return sum;
}

void Try(const std::string& bytes) {
  const auto view = ParseDataset(bytes);
  if (!view.ok()) return;
  volatile uint64_t sum = ReadEverything(*view);
  (void)sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  Try(bytes);
  if (size < sizeof(DatasetHeader)) return 0;
  DatasetHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  std::memcpy(header.magic, kDatasetMagic, sizeof(header.magic));
  header.version = kFormatVersion;
  header.section_count = kSectionCount;
  header.file_bytes = size;
  for (SectionEntry& entry : header.sections) {
    if (entry.offset <= size && entry.bytes <= size - entry.offset)
      entry.xxh3 = XXH3_64bits(bytes.data() + entry.offset, entry.bytes);
  }
  header.header_xxh3 = XXH3_64bits(&header, offsetof(DatasetHeader, header_xxh3));
  std::memcpy(bytes.data(), &header, sizeof(header));
  Try(bytes);
  return 0;
}
