#include "common/config/json_tree.h"

#include <cstdint>
#include <iterator>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/config/field.h"
#include "common/config/utf8.h"

namespace pixelrec::config {
namespace {

using nlohmann::json;

// Feeds the parser and knows how far it has read; nlohmann's events carry no position.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

// Offsets into the text as "FILE:LINE:COLUMN"; they must not fall.
class Places {
 public:
  Places(absl::string_view text, absl::string_view file) : text_(text), file_(file) {}

  std::string Of(size_t offset) {
    for (; at_ < offset && at_ < text_.size(); ++at_) {
      if (text_[at_] != '\n') continue;
      ++line_;
      line_start_ = at_ + 1;
    }
    return absl::StrCat(file_, ":", line_, ":", offset - line_start_ + 1);
  }

 private:
  absl::string_view text_;
  absl::string_view file_;
  size_t at_ = 0;
  size_t line_ = 1;
  size_t line_start_ = 0;
};

// The parser's events -> a tree. A handler that returns false ends the parse; `problem` says why.
class TreeBuilder : public nlohmann::json_sax<json> {
 public:
  TreeBuilder(absl::string_view text, absl::string_view file) : text_(text), places_(text, file) {}

  const char** furthest() { return &furthest_; }
  const std::string& problem() const { return problem_; }
  JsonNode Take() { return std::move(root_); }

  bool null() override { return Put(nullptr); }
  bool boolean(bool value) override { return Put(value); }
  bool number_integer(number_integer_t value) override { return Put(value); }
  bool number_unsigned(number_unsigned_t value) override { return Put(value); }
  bool number_float(number_float_t value, const string_t&) override { return Put(value); }
  bool string(string_t& value) override { return Put(std::move(value)); }
  bool binary(binary_t&) override { return Refuse("binary data"); }

  bool start_object(size_t) override {
    if (in_list_) return RefuseInList();
    if (open_.size() >= JsonNode::kMaxDepth) return Refuse(absl::StrCat("nested deeper than ", JsonNode::kMaxDepth, " levels"));
    JsonNode* const node = open_.empty() ? &root_ : &open_.back().node->members.back();
    if (open_.empty()) node->where = places_.Of(Offset() - 1);
    node->is_object = true;
    open_.push_back({node, {}});
    return true;
  }
  bool key(string_t& value) override {
    JsonNode& parent = *open_.back().node;
    const std::string where = places_.Of(KeyStart());
    if (!open_.back().keys.insert(value).second) {
      problem_ = absl::StrCat(where, ": duplicate key ", DisplayValue(value));
      return false;
    }
    parent.members.push_back({.key = std::move(value), .where = where, .is_object = false, .value = nullptr, .members = {}});
    return true;
  }
  bool end_object() override {
    open_.pop_back();
    return true;
  }
  bool start_array(size_t) override {
    if (in_list_) return RefuseInList();
    if (open_.empty()) return RefuseRoot();
    in_list_ = true;
    open_.back().node->members.back().value = json::array();
    return true;
  }
  bool end_array() override {
    in_list_ = false;
    return true;
  }
  bool parse_error(size_t, const std::string&, const json::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 3, column 1: what": the place is said our way.
    absl::string_view what = error.what();
    for (const absl::string_view before : {"] ", "parse error at line ", ": "}) {
      const size_t at = what.find(before);
      if (at == absl::string_view::npos) break;
      what.remove_prefix(at + before.size());
    }
    return Refuse(what);
  }

 private:
  struct Frame {
    JsonNode* node;  // stays where it is: its siblings are only added after it is closed
    std::unordered_set<std::string> keys;
  };

  size_t Offset() const { return furthest_ == nullptr ? 0 : static_cast<size_t>(furthest_ - text_.data()); }

  // Of the quote that opens the key just read; a quote inside a key always follows a backslash.
  size_t KeyStart() const {
    size_t at = Offset() - 2;
    while (at > 0 && (text_[at] != '"' || text_[at - 1] == '\\')) --at;
    return at;
  }

  bool Refuse(absl::string_view why) {
    if (problem_.empty()) problem_ = absl::StrCat(places_.Of(Offset() == 0 ? 0 : Offset() - 1), ": ", why);
    return false;
  }
  bool RefuseInList() { return Refuse("a list holds plain values only"); }
  bool RefuseRoot() { return Refuse("must be a JSON object, {\"key\": value, ...}"); }

  template <typename T>
  bool Put(T&& value) {
    if (open_.empty()) return RefuseRoot();
    json& slot = open_.back().node->members.back().value;
    if (in_list_) {
      slot.push_back(std::forward<T>(value));
    } else {
      slot = std::forward<T>(value);
    }
    return true;
  }

  absl::string_view text_;
  Places places_;
  const char* furthest_ = nullptr;
  std::string problem_;
  JsonNode root_;
  std::vector<Frame> open_;
  bool in_list_ = false;
};

}  // namespace

absl::StatusOr<JsonNode> ParseJsonTree(absl::string_view text, absl::string_view file) {
  if (text.size() > JsonNode::kMaxBytes) {
    return absl::InvalidArgumentError(absl::StrCat(file, ":1:1: larger than ", JsonNode::kMaxBytes / 1024, " KiB"));
  }
  if (const Utf8Check check = FirstInvalidUtf8(text); !check.ok) {
    return absl::InvalidArgumentError(absl::StrCat(file, ":", check.line, ":", check.column, ": not valid UTF-8 text"));
  }
  TreeBuilder builder(text, file);
  const CountingIterator first(text.data(), builder.furthest());
  const CountingIterator last(text.data() + text.size(), builder.furthest());
  if (json::sax_parse(first, last, &builder, json::input_format_t::json, /*strict=*/true, /*ignore_comments=*/true)) {
    return builder.Take();
  }
  return absl::InvalidArgumentError(builder.problem());
}

}  // namespace pixelrec::config
