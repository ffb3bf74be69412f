// Any bytes as a packed CSV file: never a crash, a bounded memory, and the same rows however the file is cut into portions.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "worker/data/csv_parser.h"
#include "worker/data/decompressor.h"

namespace {

using pixelrec::data::CsvParser;
using pixelrec::data::Decompressor;

constexpr size_t kMostUnpacked = 4u << 20;  // a bomb would only cost time

struct Outcome {
  std::vector<std::string> fields;
  absl::Status status;
  bool too_much = false;
};

Outcome Read(absl::string_view file, size_t portion) {
  Outcome outcome;
  size_t unpacked = 0;
  CsvParser parser(
      "fuzz.csv", {{"a"}, {"b", false}},
      [&](int64_t, auto fields) {
        for (absl::string_view field : fields) outcome.fields.emplace_back(field.data() == nullptr ? "" : std::string(field));
        return absl::OkStatus();
      },
      /*max_row_bytes=*/4096);
  Decompressor decompressor("fuzz.csv", [&](absl::string_view bytes) {
    unpacked += bytes.size();
    outcome.too_much = unpacked > kMostUnpacked;
    return outcome.too_much ? absl::ResourceExhaustedError("enough") : parser.Feed(bytes);
  });
  for (size_t at = 0; at < file.size() && outcome.status.ok(); at += portion)
    outcome.status = decompressor.Feed(file.substr(at, portion));
  if (outcome.status.ok()) outcome.status = decompressor.Finish();
  if (outcome.status.ok()) outcome.status = parser.Finish();
  return outcome;
}

}  // namespace

// The first byte decides the size of the portions.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view file(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = Read(file, file.size() + 1);
  const Outcome parts = Read(file, 1 + data[0] % 64);
  if (whole.too_much || parts.too_much) return 0;  // how far each got is a matter of portions
  if (whole.status.ok() != parts.status.ok()) abort();
  if (whole.status.ok() && whole.fields != parts.fields) abort();
  return 0;
}
