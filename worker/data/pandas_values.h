// Rule X2: a column of the text file as pandas reads it and Python prints it.
//
// Threads: pure functions; a column's kind is found by one thread.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace pixelrec::data {

// pandas' list of what counts as missing by default: "", "NA", "nan", "NULL", "None" and so on.
bool IsMissingToPandas(absl::string_view field);

// What pandas takes a column for, after all its fields: truth values or numbers if every field that isn't missing is one; whole
// numbers become floats as soon as one field is missing, for only floats have a nan.
class PandasColumn {
 public:
  void See(absl::string_view field);

  bool numbers() const { return numbers_ && !booleans_; }
  bool whole_numbers() const { return numbers() && whole_ && !missing_; }
  // Where every column is of numbers and one of them of floats, the transposed table has a single type: float.
  void BecomeFloats() { whole_ = false; }

  // The field as the reference puts it into a text; empty where it leaves the field out: missing, or False, or zero.
  // Floats print as Python prints them (5.0, 1e+16).
  std::string Print(absl::string_view field) const;

 private:
  bool numbers_ = true;
  bool booleans_ = true;
  bool whole_ = true;
  bool missing_ = false;
};

// Shortest digits that read back as the same number, in Python's layout.
std::string PythonFloat(double value);

}  // namespace pixelrec::data
