#include "worker/data/csv_parser.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "worker/tokenizer/utf8.h"

namespace pixelrec::data {
namespace {

constexpr absl::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr size_t kListedColumns = 20;

int NoCharacterIsSpace(unsigned char) { return 0; }

}  // namespace

CsvParser::CsvParser(std::string file, std::vector<CsvColumn> columns, OnRow on_row, size_t max_row_bytes)
    : file_(std::move(file)), columns_(std::move(columns)), on_row_(std::move(on_row)), max_row_bytes_(max_row_bytes) {
  // Strict: a quote in the middle of a field is an error, since no two programs agree on what it means.
  csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL);
  csv_set_space_func(&parser_, NoCharacterIsSpace);  // or libcsv would trim fields
  csv_set_blk_size(&parser_, 4096);
  places_.assign(columns_.size(), kAbsent);
  fields_.resize(columns_.size());
}

CsvParser::~CsvParser() { csv_free(&parser_); }

absl::Status CsvParser::ErrorAt(int64_t row, absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(file_, ":", row, ": ", what));
}

void CsvParser::Fail(absl::string_view what) {
  if (status_.ok()) status_ = ErrorAt(row_, what);
}

absl::Status CsvParser::Feed(absl::string_view bytes) {
  if (!status_.ok()) return status_;
  if (!prefix_done_) {
    prefix_.append(bytes.data(), bytes.size());
    if (prefix_.size() < kByteOrderMark.size()) return status_;
    prefix_done_ = true;
    absl::string_view content = prefix_;
    if (absl::StartsWith(content, kByteOrderMark)) content.remove_prefix(kByteOrderMark.size());
    Parse(content);
    return status_;
  }
  Parse(bytes);
  return status_;
}

void CsvParser::Parse(absl::string_view bytes) {
  constexpr size_t kPortion = 64u << 10;  // bounds what is parsed after an error and how far a row may outgrow its limit
  while (status_.ok() && !bytes.empty()) {
    const absl::string_view portion = bytes.substr(0, kPortion);
    bytes.remove_prefix(portion.size());
    const size_t parsed = csv_parse(&parser_, portion.data(), portion.size(), FieldCallback, RowCallback, this);
    if (parsed != portion.size()) {
      Fail(csv_error(&parser_) == CSV_EPARSE ? "a stray double quote; a field with quotes in it must be quoted from its first to "
                                               "its last character, with each quote "
                                               "inside written twice"
                                             : csv_strerror(csv_error(&parser_)));
    }
    if (row_bytes_ + parser_.entry_pos > max_row_bytes_) {
      Fail(absl::StrCat("the row is longer than ", max_row_bytes_, " bytes; is a closing double quote missing?"));
    }
  }
}

absl::Status CsvParser::Finish() {
  if (!status_.ok()) return status_;
  if (!prefix_done_) {
    prefix_done_ = true;
    Parse(prefix_);
  }
  if (status_.ok() && csv_fini(&parser_, FieldCallback, RowCallback, this) != 0) {
    Fail("the file ends inside a quoted field; its closing double quote is missing, or the file was cut off");
  }
  if (status_.ok() && header_.empty()) Fail("the file is empty; the first row must name the columns");
  return status_;
}

void CsvParser::FieldCallback(void* text, size_t size, void* self) {
  static_cast<CsvParser*>(self)->EndField(absl::string_view(static_cast<const char*>(text), size));
}

void CsvParser::RowCallback(int terminator, void* self) { static_cast<CsvParser*>(self)->EndRow(terminator); }

void CsvParser::EndField(absl::string_view text) {
  if (!status_.ok()) return;
  row_bytes_ += text.size() + 1;
  if (header_.empty() || (row_fields_ < wanted_.size() && wanted_[row_fields_])) row_text_.append(text.data(), text.size());
  ends_.push_back(row_text_.size());
  ++row_fields_;
  if (row_bytes_ > max_row_bytes_) Fail(absl::StrCat("the row is longer than ", max_row_bytes_, " bytes"));
}

void CsvParser::EndRow(int terminator) {
  const bool second_half = terminator == '\n' && last_terminator_ == '\r' && row_fields_ == 0;  // of a CRLF
  last_terminator_ = second_half ? 0 : terminator;
  if (!status_.ok() || second_half) return;
  if (row_fields_ > 0) {
    absl::Status status = header_.empty() ? FindColumns() : DeliverRow();
    if (!status.ok()) status_ = std::move(status);
  }
  ++row_;
  row_bytes_ = row_fields_ = 0;
  row_text_.clear();
  ends_.clear();
}

absl::Status CsvParser::FindColumns() {
  if (!tokenizer::IsUtf8(row_text_) || absl::StrContains(row_text_, '\0')) {
    return ErrorAt(row_, "the header is not UTF-8 text; save the file as UTF-8 (a spreadsheet may have written UTF-16)");
  }
  for (size_t i = 0, begin = 0; i < row_fields_; begin = ends_[i++]) header_.push_back(row_text_.substr(begin, ends_[i] - begin));
  wanted_.assign(header_.size(), false);
  for (size_t i = 0; i < columns_.size(); ++i) {
    const absl::StatusOr<size_t> place = FindColumn(columns_[i]);
    if (!place.ok()) return place.status();
    places_[i] = *place;
    if (*place != kAbsent) wanted_[*place] = true;
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> CsvParser::FindColumn(const CsvColumn& column) const {
  if (column.from_right > header_.size()) {
    return ErrorAt(row_, absl::StrCat(header_.size(), " columns, but \"", column.name, "\" is taken from the ", column.from_right,
                                      ". column from the right; add the missing columns, or find columns by name"));
  }
  if (column.from_right > 0) return header_.size() - column.from_right;
  const auto found = std::find(header_.begin(), header_.end(), column.name);
  if (found == header_.end()) {
    if (!column.required) return kAbsent;
    return ErrorAt(row_, absl::StrCat("no column \"", column.name, "\" (columns: ", ColumnList(),
                                      "); name the column in the first row, separated by commas"));
  }
  if (std::find(found + 1, header_.end(), column.name) != header_.end()) {
    return ErrorAt(row_, absl::StrCat("two columns are called \"", column.name, "\"; rename or remove one"));
  }
  return static_cast<size_t>(found - header_.begin());
}

absl::Status CsvParser::DeliverRow() {
  if (row_fields_ != header_.size()) {
    return ErrorAt(row_, absl::StrCat(row_fields_, " fields, but the header has ", header_.size(),
                                      " columns; a field that contains a comma must be in double quotes"));
  }
  const absl::string_view text = row_text_;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (places_[i] == kAbsent) continue;
    const size_t begin = places_[i] == 0 ? 0 : ends_[places_[i] - 1];
    fields_[i] = text.substr(begin, ends_[places_[i]] - begin);
    if (!tokenizer::IsUtf8(fields_[i])) {
      return ErrorAt(row_, absl::StrCat("column \"", columns_[i].name, "\" is not valid UTF-8 at byte ",
                                        tokenizer::ValidUtf8Prefix(fields_[i]) + 1, " of the field; convert the file to UTF-8"));
    }
    if (absl::StrContains(fields_[i], '\0')) {
      return ErrorAt(row_, absl::StrCat("column \"", columns_[i].name, "\" holds a NUL byte; remove it"));
    }
  }
  return on_row_(row_, fields_);
}

std::string CsvParser::ColumnList() const {
  std::string list;
  for (size_t i = 0; i < header_.size() && i < kListedColumns; ++i)
    absl::StrAppend(&list, i == 0 ? "" : ", ", header_[i].substr(0, 64));
  if (header_.size() > kListedColumns) absl::StrAppend(&list, ", ...");
  return list;
}

}  // namespace pixelrec::data
