// Rule X2: a column of the text file as pandas reads it and Python prints it.
//
// Threads: pure functions; a column's kind is found by one thread.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace pixelrec::data {

// pandas' list of what counts as missing by default: "", "NA", "nan", "NULL", "None" and so on.
bool IsMissingToPandas(absl::string_view field);

// What pandas takes a column for, after all its fields: numbers or truth values if every field that isn't missing is one.
class PandasColumn {
 public:
  void See(absl::string_view field);

  // The field as the reference puts it into a text; empty where it leaves the field out: missing, or False, or zero.
  // All-numeric columns print as Python prints floats (5.0, 1e+16).
  std::string Print(absl::string_view field) const;

 private:
  bool numbers_ = true;
  bool booleans_ = true;
};

// Shortest digits that read back as the same number, in Python's layout.
std::string PythonFloat(double value);

}  // namespace pixelrec::data
