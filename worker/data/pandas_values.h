// Rule X2: a column of the text file as pandas reads it and Python prints it.
//
// Threads: pure functions; a column's kind is found by one thread.
#pragma once

#include <span>
#include <string>

#include "absl/strings/string_view.h"

namespace pixelrec::data {

// pandas' list of what counts as missing by default: "", "NA", "nan", "NULL", "None" and so on.
bool IsMissingToPandas(absl::string_view field);

// What pandas takes a column for, after all its fields: truth values or numbers if every field that isn't missing is one; whole
// numbers become floats as soon as one field is missing, for only floats have a nan. Whole numbers beyond 64 bits make it text,
// those between signed and unsigned 64 bits too if a negative or a missing field stands beside them (docs/adr/0008).
class PandasColumn {
 public:
  void See(absl::string_view field);

  bool numbers() const { return kind() == Kind::kWhole || kind() == Kind::kUnsigned || kind() == Kind::kFloat; }
  bool floats() const { return kind() == Kind::kFloat; }
  bool beyond_int64() const { return kind() == Kind::kUnsigned; }
  void BecomeFloats() { as_floats_ = true; }

  // The field as the reference puts it into a text; empty where it leaves the field out: missing, or False, or zero.
  // Floats print as Python prints them (5.0, 1e+16).
  std::string Print(absl::string_view field) const;

 private:
  enum class Kind { kWhole, kUnsigned, kFloat, kBoolean, kText };
  // How far pandas' attempt at whole numbers has come: it gives up at the first field that is none, and is retried unsigned at
  // the first one that is too large.
  enum class Attempt { kSigned, kUnsigned, kNoWhole, kTooLarge };

  Kind kind() const;
  void SeeUnsigned(absl::string_view field);

  Attempt attempt_ = Attempt::kSigned;
  bool negative_ = false;  // seen by the attempt
  bool large_ = false;     // beyond int64_t
  bool numbers_ = true;
  bool booleans_ = true;
  bool missing_ = false;
  bool as_floats_ = false;
};

// A table of numbers alone has one type once it is transposed: floats, if a column is of floats, or if some are unsigned and
// others signed.
void AgreeOnOneType(std::span<PandasColumn> columns);

// Shortest digits that read back as the same number, in Python's layout.
std::string PythonFloat(double value);

}  // namespace pixelrec::data
