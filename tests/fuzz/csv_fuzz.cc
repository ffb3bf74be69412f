// Any bytes as a CSV file: never a crash, the same rows however the file is cut into portions, and only clean fields come
// through.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "worker/data/csv_parser.h"
#include "worker/tokenizer/utf8.h"

namespace {

using pixelrec::data::CsvParser;

struct Outcome {
  std::vector<std::string> fields;
  absl::Status status;
};

Outcome Read(absl::string_view file, size_t portion) {
  Outcome outcome;
  CsvParser parser(
      "fuzz.csv", {{"a"}, {"b"}, {"t", false}},
      [&](int64_t row, auto fields) {
        outcome.fields.push_back(std::to_string(row));
        for (absl::string_view field : fields) {
          if (!pixelrec::tokenizer::IsUtf8(field) || field.find('\0') != absl::string_view::npos) abort();
          outcome.fields.emplace_back(field.data() == nullptr ? "" : std::string(field));
        }
        return absl::OkStatus();
      },
      /*max_row_bytes=*/4096);
  for (size_t at = 0; at < file.size() && outcome.status.ok(); at += portion)
    outcome.status = parser.Feed(file.substr(at, portion));
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
  // Where a row is too long, portions decide in which of two sentences that is said.
  if (whole.fields != parts.fields && whole.status.ok()) abort();
  if (whole.status.ok() != parts.status.ok()) abort();
  return 0;
}
