#include "worker/data/csv_parser.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pixelrec::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Row = std::vector<std::string>;

struct Result {
  absl::Status status;
  std::vector<Row> rows;
  std::vector<int64_t> numbers;
  bool has_last = false;
};

// Reads `text` in portions of `portion` bytes; the last column is optional if `optional_last`.
Result Read(absl::string_view text, std::vector<std::string> names, size_t portion = 1 << 20, bool optional_last = false,
            size_t max_row = CsvParser::kMaxRowBytes) {
  std::vector<CsvColumn> columns;
  for (auto& name : names) columns.push_back({name});
  if (optional_last) columns.back().required = false;
  Result result;
  CsvParser parser(
      "data.csv", columns,
      [&](int64_t row, std::span<const absl::string_view> fields) {
        result.rows.emplace_back(fields.begin(), fields.end());
        result.numbers.push_back(row);
        return absl::OkStatus();
      },
      max_row);
  for (size_t at = 0; at < text.size() && result.status.ok(); at += portion)
    result.status = parser.Feed(text.substr(at, portion));
  if (result.status.ok()) result.status = parser.Finish();
  result.has_last = parser.has_column(names.size() - 1);
  return result;
}

std::string Error(absl::string_view text, std::vector<std::string> names = {"a", "b"}) {
  const Result result = Read(text, std::move(names));
  EXPECT_EQ(result.status.code(), absl::StatusCode::kInvalidArgument) << result.status;
  return std::string(result.status.message());
}

TEST(CsvParser, ColumnsByNameWhateverTheirOrder_W6) {
  const Result result = Read("c,b,a\n1,2,3\n4,5,6\n", {"a", "b"});
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_THAT(result.rows, ElementsAre(Row{"3", "2"}, Row{"6", "5"}));
  EXPECT_THAT(result.numbers, ElementsAre(2, 3));
}

TEST(CsvParser, FieldsExactlyAsWritten_W6) {
  const Result result = Read("a,b\n  x ,\ty\n\"q\"\"uoted, \r\nline\",NA\n5.0,nan\n", {"a", "b"});
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_THAT(result.rows, ElementsAre(Row{"  x ", "\ty"}, Row{"q\"uoted, \r\nline", "NA"}, Row{"5.0", "nan"}));
}

TEST(CsvParser, EmptyFieldsQuotedOrNot) {
  const Result result = Read("a,b\n,\n\"\",x\n", {"a", "b"});
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_THAT(result.rows, ElementsAre(Row{"", ""}, Row{"", "x"}));
}

TEST(CsvParser, LineEndsByteOrderMarkAndLastLine) {
  for (const char* text : {"a,b\n1,2\n3,4\n", "a,b\n1,2\n3,4", "a,b\r\n1,2\r\n3,4\r\n",
                           "\xEF\xBB\xBF"
                           "a,b\r\n1,2\r\n3,4",
                           "a,b\r1,2\r3,4\r"}) {
    const Result result = Read(text, {"a", "b"});
    ASSERT_TRUE(result.status.ok()) << result.status;
    EXPECT_THAT(result.rows, ElementsAre(Row{"1", "2"}, Row{"3", "4"})) << text;
    EXPECT_THAT(result.numbers, ElementsAre(2, 3)) << text;
  }
}

TEST(CsvParser, BlankLinesAreSkippedButCounted) {
  const Result result = Read("a,b\r\n\r\n1,2\r\n\r\n\r\n3,4\r\n", {"a", "b"});
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_THAT(result.numbers, ElementsAre(3, 6));
  EXPECT_THAT(Read("\n\na,b\n\n1,2\n", {"a"}).numbers, ElementsAre(5));
}

TEST(CsvParser, SamePortionsOrNot) {
  const std::string text =
      "\xEF\xBB\xBF"
      "a,b,c\r\n\"x\r\ny\",\"\"\"\",z\r\n\r\n1,2,3\r\n\xC3\xA9,\xE2\x96\x81,\xF0\x9F\x98\x80";
  const Result whole = Read(text, {"c", "a", "b"});
  ASSERT_TRUE(whole.status.ok()) << whole.status;
  for (size_t portion = 1; portion < text.size(); ++portion) {
    const Result parts = Read(text, {"c", "a", "b"}, portion);
    ASSERT_TRUE(parts.status.ok()) << parts.status;
    EXPECT_EQ(parts.rows, whole.rows) << portion;
    EXPECT_EQ(parts.numbers, whole.numbers) << portion;
  }
}

TEST(CsvParser, OptionalColumn) {
  const Result with = Read("a,t\n1,2\n", {"a", "t"}, 100, true);
  EXPECT_TRUE(with.has_last);
  EXPECT_THAT(with.rows, ElementsAre(Row{"1", "2"}));
  const Result without = Read("a\n1\n", {"a", "t"}, 100, true);
  ASSERT_TRUE(without.status.ok()) << without.status;
  EXPECT_FALSE(without.has_last);
  EXPECT_THAT(without.rows, ElementsAre(Row{"1", ""}));
}

TEST(CsvParser, MissingColumnNamesThoseThereAre) {
  EXPECT_EQ(Error("b;a\n1;2\n"),
            "data.csv:1: no column \"a\" (columns: b;a); name the column in the first row, separated by commas");
  EXPECT_THAT(Error("A,b\n"), HasSubstr("no column \"a\" (columns: A, b)"));
}

TEST(CsvParser, DuplicateColumn) {
  EXPECT_EQ(Error("a,b,a\n1,2,3\n"), "data.csv:1: two columns are called \"a\"; rename or remove one");
}

TEST(CsvParser, DuplicateColumnNobodyAsksForIsFine) { EXPECT_TRUE(Read("a,x,x\n1,2,3\n", {"a"}).status.ok()); }

TEST(CsvParser, RaggedRows) {
  EXPECT_THAT(Error("a,b\n1,2\n3\n"), HasSubstr("data.csv:3: 1 fields, but the header has 2 columns"));
  EXPECT_THAT(Error("a,b\n1,2,\n"), HasSubstr("data.csv:2: 3 fields, but the header has 2 columns"));
}

TEST(CsvParser, BadUtf8) {
  EXPECT_THAT(Error("a,b\nok,caf\xE9\n"), HasSubstr("data.csv:2: column \"b\" is not valid UTF-8 at byte 4"));
  EXPECT_THAT(Error("a,b\n\xC0\xAF,\n"), HasSubstr("not valid UTF-8"));          // overlong
  EXPECT_THAT(Error("a,b\n\xED\xA0\x80,\n"), HasSubstr("not valid UTF-8"));      // surrogate
  EXPECT_THAT(Error("a,b\n\xF4\x90\x80\x80,\n"), HasSubstr("not valid UTF-8"));  // above U+10FFFF
  EXPECT_THAT(Error("a,b\n\xE2\x82,\n"), HasSubstr("not valid UTF-8"));          // cut off
  EXPECT_TRUE(Read("a,x\n1,\xFF\n", {"a"}).status.ok()) << "a column nobody asks for may hold anything";
}

TEST(CsvParser, Utf16IsNamed) {
  EXPECT_THAT(Error(absl::string_view("\xFF\xFE"
                                      "a\0,\0b\0\n\0",
                                      10)),
              HasSubstr("UTF-16"));
}

TEST(CsvParser, NulByte) {
  EXPECT_THAT(Error(absl::string_view("a,b\n1,x\0y\n", 10)), HasSubstr("data.csv:2: column \"b\" holds a NUL byte"));
}

TEST(CsvParser, EmptyFile) {
  for (const char* text : {"", "\n", "\r\n\r\n", "\xEF\xBB\xBF", "\xEF\xBB"}) EXPECT_FALSE(Read(text, {"a"}).status.ok());
  EXPECT_THAT(Error(""), HasSubstr("data.csv:1: the file is empty"));
  EXPECT_TRUE(Read("a,b\n", {"a"}).status.ok()) << "a header alone is the caller's business";
}

TEST(CsvParser, StrayAndUnclosedQuotes) {
  EXPECT_THAT(Error("a,b\n1,5\" disk\n"), HasSubstr("data.csv:2: a stray double quote"));
  EXPECT_THAT(Error("a,b\n1,\"x\"y\n"), HasSubstr("data.csv:2: a stray double quote"));
  EXPECT_THAT(Error("a,b\n1,2\n3,\"x\n5,6\n7,8\n"), HasSubstr("data.csv:3: the file ends inside a quoted field"));
}

TEST(CsvParser, RowsHaveALimit) {
  const std::string row = "a,b\n1," + std::string(1000, 'x') + "\n";
  EXPECT_TRUE(Read(row, {"a", "b"}, 64, false, 2000).status.ok());
  EXPECT_THAT(std::string(Read(row, {"a", "b"}, 64, false, 500).status.message()),
              HasSubstr("data.csv:2: the row is longer than 500 bytes"));
  // A row of many small fields, and a header, have it too.
  EXPECT_FALSE(Read("a,b\n" + std::string(1000, ',') + "\n", {"a", "b"}, 64, false, 500).status.ok());
  EXPECT_FALSE(Read(std::string(1000, 'h') + ",a,b\n", {"a", "b"}, 64, false, 500).status.ok());
}

TEST(CsvParser, AnUnclosedQuoteDoesNotReadAHugeFileIntoMemory) {
  CsvParser parser("data.csv", {{"a"}}, [](int64_t, auto) { return absl::OkStatus(); });
  ASSERT_TRUE(parser.Feed("a\n\"").ok());
  const std::string portion(1 << 20, 'x');
  int fed = 0;
  while (parser.Feed(portion).ok()) ASSERT_LT(++fed, 6);
  EXPECT_THAT(std::string(parser.Finish().message()), HasSubstr("closing double quote missing"));
}

TEST(CsvParser, ErrorsOfTheReceiverStopTheReading) {
  int calls = 0;
  CsvParser parser("data.csv", {{"a"}}, [&](int64_t row, auto) {
    ++calls;
    return absl::InvalidArgumentError("row " + std::to_string(row));
  });
  EXPECT_EQ(parser.Feed("a\n1\n2\n3\n").message(), "row 2");
  EXPECT_EQ(parser.Feed("4\n").message(), "row 2");
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace pixelrec::data
