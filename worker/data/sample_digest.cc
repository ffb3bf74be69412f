#include <charconv>

#include "absl/strings/str_format.h"
#include "worker/data/batch.h"
#include "worker/data/philox.h"

namespace pixelrec::data {
namespace {

// Folds numbers one by one into 128 bits; the order within one chain counts.
struct Chain {
  uint64_t low = 0x70697865'6C726563u;
  uint64_t high = 0x73616D70'6C657321u;
  void Fold(uint64_t number) {
    const PhiloxCounter bits = Philox(low ^ number, high, 0x5EED);
    low = Low64(bits);
    high = High64(bits);
  }
};

}  // namespace

void SampleDigest::Add(const RankBatch& batch, int64_t epoch, int64_t step_in_epoch) {
  auto chain_of = [&](uint64_t kind, uint64_t number) {
    Chain chain;
    for (uint64_t part : {static_cast<uint64_t>(epoch), static_cast<uint64_t>(step_in_epoch), kind, number}) chain.Fold(part);
    return chain;
  };
  auto item_at = [&](int64_t index) { return batch.items[static_cast<size_t>(index)]; };
  auto close = [&](const Chain& chain) {
    low ^= chain.low;
    high ^= chain.high;
  };
  for (size_t row = 0; row < batch.samples.size(); ++row) {
    Chain chain = chain_of(1, batch.samples[row]);
    for (int64_t i = batch.row_offsets[row]; i < batch.row_offsets[row + 1]; ++i)
      chain.Fold(item_at(batch.positives[static_cast<size_t>(i)]));
    for (int64_t i = 0; i < batch.negatives_per_row; ++i) {
      chain.Fold(item_at(batch.negatives[row * static_cast<size_t>(batch.negatives_per_row) + static_cast<size_t>(i)]));
    }
    close(chain);
  }
  if (batch.negatives_per_row > 0) return;
  for (size_t i = 0; i < batch.negatives.size(); ++i) {
    Chain chain = chain_of(2, static_cast<uint64_t>(batch.first_negative) + i);
    chain.Fold(static_cast<uint64_t>(batch.micro_step));
    chain.Fold(item_at(batch.negatives[i]));
    close(chain);
  }
}

void SampleDigest::Merge(const SampleDigest& other) {
  low ^= other.low;
  high ^= other.high;
}

absl::StatusOr<SampleDigest> SampleDigest::FromHex(const std::string& hex) {
  SampleDigest digest;
  const char* middle = hex.data() + hex.size() / 2;
  const char* end = hex.data() + hex.size();
  const auto high = std::from_chars(hex.data(), middle, digest.high, 16), low = std::from_chars(middle, end, digest.low, 16);
  if (hex.size() != 32 || high.ptr != middle || low.ptr != end) return absl::InvalidArgumentError("not a sample digest: " + hex);
  return digest;
}

std::string SampleDigest::Hex() const { return absl::StrFormat("%016x%016x", high, low); }

}  // namespace pixelrec::data
