// A restricted unpickler: turns a pickle into a tree of plain values and runs nothing.
//
// What a pickle would call (REDUCE, NEWOBJ) becomes a value of kind kCall that names the callable and its arguments: whoever
// reads the values knows a few such names, and everything else stays opaque. Only collections.OrderedDict() is built here, as a
// dictionary. What is appended to, set in, or built into a kCall is dropped. Opcodes: those that Python's pickler writes in
// protocols 2 to 5, without out-of-band buffers, extension codes, and the text opcodes of protocol 0.
//
// Bounds: at most kMaxPickleValues values and memo entries; values are shared by reference and may form a cycle (a list that
// holds itself), so who walks them bounds the depth. Nothing here recurses. Texts are views into the pickle. Threads: immutable
// after Parse.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace pixelrec::checkpoint {

inline constexpr size_t kMaxPickleValues = 1'000'000;

struct PickleValue {
  enum class Kind { kNone, kBool, kInt, kFloat, kText, kBytes, kTuple, kList, kDict, kGlobal, kCall, kPersistent, kOpaque };
  Kind kind = Kind::kNone;
  uint32_t offset = 0;     // of the opcode that made it, in the pickle; for errors
  int64_t integer = 0;     // kBool, kInt
  double number = 0;       // kFloat
  absl::string_view text;  // kText, kBytes; kGlobal: the module
  absl::string_view name;  // kGlobal
  // kTuple, kList (sets too): elements. kDict: key, value, key, value, ... kCall: callable, arguments. kPersistent: the id.
  std::vector<uint32_t> children;

  bool IsGlobal(absl::string_view module, absl::string_view global_name) const {
    return kind == Kind::kGlobal && text == module && name == global_name;
  }
};

class Pickle {
 public:
  // `bytes` must outlive the result. INVALID_ARGUMENT: "WHERE: byte N: what".
  static absl::StatusOr<Pickle> Parse(absl::Span<const std::byte> bytes, absl::string_view where);

  const PickleValue& root() const { return values_[root_]; }
  const PickleValue& at(uint32_t value) const { return values_[value]; }
  // The i-th child.
  const PickleValue& child(const PickleValue& value, size_t i) const { return values_[value.children[i]]; }
  // The value under a text key; nullptr: no such key, or no dictionary. Of equal keys, the last.
  const PickleValue* Get(const PickleValue& dict, absl::string_view key) const;

 private:
  friend class PickleMachine;
  std::vector<PickleValue> values_;
  uint32_t root_ = 0;
};

}  // namespace pixelrec::checkpoint
