// A table of text with aligned columns and no lines.
#pragma once

#include <string>
#include <vector>

namespace pixelrec::ctl {

class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // As many cells as columns. Line breaks and other control characters become spaces.
  void Add(std::vector<std::string> cells);

  // With a final line end; columns two spaces apart, nothing after the last character of a line. `indent` goes before every line.
  std::string Text(const std::string& indent = "") const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Terminal columns of UTF-8 text, a character each.
size_t DisplayWidth(const std::string& text);

// Control characters replaced by spaces: what a server or a file name says must not move the cursor.
std::string OneLine(std::string text);

}  // namespace pixelrec::ctl
