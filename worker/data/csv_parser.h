// CSV (RFC 4180) read as a stream, columns by header name (rule W6). Quotes, CRLF, a byte-order mark and line breaks inside
// quotes are understood; fields come through exactly as written, spaces included; blank lines are skipped. Anything ambiguous is
// an error, not a guess.
//
// Not for other separators. Threads: one at a time.
//
// Errors: INVALID_ARGUMENT, "FILE:ROW: what is wrong; how to mend it". Row 1 is the header; blank lines count, so that a row is a
// line of the file unless quoted fields hold line breaks.
#pragma once

#include <csv.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::data {

struct CsvColumn {
  std::string name;
  bool required = true;
  // 0: found by its name. n: the n-th column from the right, whatever the header calls it (rule D1).
  size_t from_right = 0;
};

class CsvParser {
 public:
  // Fields in the order of the asked-for columns, valid during the call. An optional column that the file lacks gives empty
  // fields.
  using OnRow = std::function<absl::Status(int64_t row, std::span<const absl::string_view> fields)>;

  static constexpr size_t kMaxRowBytes = 4u << 20;

  // `file` names the source in errors.
  CsvParser(std::string file, std::vector<CsvColumn> columns, OnRow on_row, size_t max_row_bytes = kMaxRowBytes);
  ~CsvParser();
  CsvParser(const CsvParser&) = delete;
  CsvParser& operator=(const CsvParser&) = delete;

  // Bytes in any portions. After an error every call returns it again.
  absl::Status Feed(absl::string_view bytes);
  // The end of the file: delivers a last row without a line end. INVALID_ARGUMENT also if there was no header at all.
  absl::Status Finish();

  // Whether the file has column `i` of the asked-for ones; known once the first row was delivered.
  bool has_column(size_t i) const { return places_[i] != kAbsent; }

  // "FILE:ROW: what" for errors that `on_row` finds.
  absl::Status ErrorAt(int64_t row, absl::string_view what) const;

 private:
  static constexpr size_t kAbsent = ~size_t{0};

  static void FieldCallback(void* text, size_t size, void* self);
  static void RowCallback(int terminator, void* self);
  void EndField(absl::string_view text);
  void EndRow(int terminator);
  absl::Status FindColumns();
  absl::StatusOr<size_t> FindColumn(const CsvColumn& column) const;
  absl::Status DeliverRow();
  void Parse(absl::string_view bytes);
  void Fail(absl::string_view what);
  std::string ColumnList() const;

  const std::string file_;
  const std::vector<CsvColumn> columns_;
  const OnRow on_row_;
  const size_t max_row_bytes_;

  csv_parser parser_;
  absl::Status status_;
  std::string prefix_;  // first bytes, until it is clear whether they are a byte-order mark
  bool prefix_done_ = false;
  int last_terminator_ = 0;

  std::vector<std::string> header_;  // empty until the first row
  std::vector<size_t> places_;       // [columns] where in a row each asked-for column stands
  std::vector<bool> wanted_;         // [header] whether any asked-for column stands there

  int64_t row_ = 1;       // being read
  size_t row_bytes_ = 0;  // of its fields so far
  size_t row_fields_ = 0;
  std::string row_text_;      // the kept fields, one after another
  std::vector<size_t> ends_;  // [row_fields_] where each field ends in row_text_
  std::vector<absl::string_view> fields_;
};

}  // namespace pixelrec::data
