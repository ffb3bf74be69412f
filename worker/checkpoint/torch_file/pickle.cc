#include "worker/checkpoint/torch_file/pickle.h"

#include <bit>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/checkpoint/torch_file/little_endian.h"
#include "worker/checkpoint/torch_file/pickle_opcodes.h"

namespace pixelrec::checkpoint {

using Kind = PickleValue::Kind;

// The stack machine. Each opcode is one member; the first problem ends the run.
class PickleMachine {
 public:
  PickleMachine(absl::Span<const std::byte> bytes, absl::string_view where) : size_(bytes.size()), in_(bytes), where_(where) {}

  absl::StatusOr<Pickle> Run() {
    if (size_ > std::numeric_limits<uint32_t>::max())
      return absl::InvalidArgumentError(absl::StrCat(where_, ": longer than 4 GiB"));
    while (!stopped_ && status_.ok()) {
      offset_ = static_cast<uint32_t>(size_ - in_.remaining());
      opcode_ = in_.U8();
      if (!in_.ok()) {
        Fail("the pickle ends without STOP");
        break;
      }
      if (!Constant() && !Container() && !Memo() && !Object())
        Fail(absl::StrFormat("opcode 0x%02x is not one that torch.save writes", opcode_));
      if (status_.ok() && !in_.ok()) Fail("the pickle ends in the middle of an opcode");
    }
    if (!status_.ok()) return status_;
    return std::move(pickle_);
  }

 private:
  // --- values and stack

  void Fail(absl::string_view why) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(where_, ": byte ", offset_, ": ", why));
  }

  void Push(uint32_t value) { stack_.push_back(value); }
  void Push(PickleValue value) {
    if (pickle_.values_.size() >= kMaxPickleValues) return Fail(absl::StrCat("more than ", kMaxPickleValues, " values"));
    value.offset = offset_;
    pickle_.values_.push_back(std::move(value));
    Push(static_cast<uint32_t>(pickle_.values_.size() - 1));
  }
  void PushInt(int64_t value) { Push({.kind = Kind::kInt, .integer = value}); }
  void PushText(Kind kind, uint64_t bytes) { Push({.kind = kind, .text = in_.Text(bytes)}); }

  // The newest value above the newest mark; 0 (after Fail) where there is none.
  uint32_t Pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) {
      Fail("takes a value from an empty stack");
      return 0;
    }
    const uint32_t top = stack_.back();
    stack_.pop_back();
    return top;
  }
  std::vector<uint32_t> PopToMark() {
    if (marks_.empty()) {
      Fail("needs a mark, and there is none");
      return {};
    }
    std::vector<uint32_t> values(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return values;
  }
  std::vector<uint32_t> PopTuple(size_t count) {
    std::vector<uint32_t> values(count);
    for (size_t i = count; i-- > 0;) values[i] = Pop();
    return values;
  }
  // The value that the next elements go into.
  PickleValue* Target(Kind kind) {
    const uint32_t target = Pop();
    if (!status_.ok()) return nullptr;
    Push(target);
    PickleValue& value = pickle_.values_[target];
    if (value.kind == kind) return &value;
    if (value.kind != Kind::kCall) Fail("adds elements to a value that holds none");
    return nullptr;
  }
  void Extend(Kind kind, const std::vector<uint32_t>& elements) {
    if (kind == Kind::kDict && elements.size() % 2 != 0) return Fail("sets a key without a value");
    PickleValue* const target = Target(kind);
    if (target != nullptr) target->children.insert(target->children.end(), elements.begin(), elements.end());
  }

  // --- opcodes

  bool Constant() {
    switch (opcode_) {
      case opcode::kNone:
        Push({.kind = Kind::kNone});
        return true;
      case opcode::kNewTrue:
        Push({.kind = Kind::kBool, .integer = 1});
        return true;
      case opcode::kNewFalse:
        Push({.kind = Kind::kBool, .integer = 0});
        return true;
      case opcode::kBinInt:
        PushInt(static_cast<int32_t>(in_.U32()));
        return true;
      case opcode::kBinInt1:
        PushInt(in_.U8());
        return true;
      case opcode::kBinInt2:
        PushInt(in_.U16());
        return true;
      case opcode::kLong1:
        Long(in_.U8());
        return true;
      case opcode::kLong4:
        Long(in_.U32());
        return true;
      case opcode::kBinFloat:
        Float();
        return true;
      case opcode::kBinUnicode:
        PushText(Kind::kText, in_.U32());
        return true;
      case opcode::kShortBinUnicode:
        PushText(Kind::kText, in_.U8());
        return true;
      case opcode::kBinUnicode8:
        PushText(Kind::kText, in_.U64());
        return true;
      case opcode::kBinString:
        PushText(Kind::kText, in_.U32());
        return true;  // Python 2's str
      case opcode::kShortBinString:
        PushText(Kind::kText, in_.U8());
        return true;
      case opcode::kBinBytes:
        PushText(Kind::kBytes, in_.U32());
        return true;
      case opcode::kShortBinBytes:
        PushText(Kind::kBytes, in_.U8());
        return true;
      case opcode::kBinBytes8:
      case opcode::kByteArray8:
        PushText(Kind::kBytes, in_.U64());
        return true;
      default:
        return false;
    }
  }

  // Two's complement of any length; more than 64 bits stay opaque.
  void Long(uint64_t bytes) {
    const auto digits = in_.Bytes(bytes);
    if (digits.size() > 8) return Push({.kind = Kind::kOpaque});
    uint64_t value = !digits.empty() && (digits.back() & std::byte{0x80}) != std::byte{0} ? ~uint64_t{0} : 0;
    for (size_t i = digits.size(); i-- > 0;) value = value << 8 | std::to_integer<uint64_t>(digits[i]);
    PushInt(static_cast<int64_t>(value));
  }
  void Float() {  // the one big-endian number
    uint64_t bits = 0;
    for (const std::byte byte : in_.Bytes(8)) bits = bits << 8 | std::to_integer<uint64_t>(byte);
    Push({.kind = Kind::kFloat, .number = std::bit_cast<double>(bits)});
  }

  bool Container() {
    switch (opcode_) {
      case opcode::kMark:
        marks_.push_back(stack_.size());
        return true;
      case opcode::kPop:
        marks_.empty() || stack_.size() > marks_.back() ? void(Pop()) : marks_.pop_back();
        return true;
      case opcode::kPopMark:
        PopToMark();
        return true;
      case opcode::kEmptyTuple:
        Push({.kind = Kind::kTuple});
        return true;
      case opcode::kTuple1:
        Push({.kind = Kind::kTuple, .children = PopTuple(1)});
        return true;
      case opcode::kTuple2:
        Push({.kind = Kind::kTuple, .children = PopTuple(2)});
        return true;
      case opcode::kTuple3:
        Push({.kind = Kind::kTuple, .children = PopTuple(3)});
        return true;
      case opcode::kTuple:
      case opcode::kFrozenSet:
        Push({.kind = Kind::kTuple, .children = PopToMark()});
        return true;
      case opcode::kEmptyList:
      case opcode::kEmptySet:
        Push({.kind = Kind::kList});
        return true;
      case opcode::kList:
        Push({.kind = Kind::kList, .children = PopToMark()});
        return true;
      case opcode::kEmptyDict:
        Push({.kind = Kind::kDict});
        return true;
      case opcode::kAppend:
        Extend(Kind::kList, PopTuple(1));
        return true;
      case opcode::kAppends:
      case opcode::kAddItems:
        Extend(Kind::kList, PopToMark());
        return true;
      case opcode::kSetItem:
        Extend(Kind::kDict, PopTuple(2));
        return true;
      case opcode::kSetItems:
        Extend(Kind::kDict, PopToMark());
        return true;
      default:
        return false;
    }
  }

  bool Memo() {
    switch (opcode_) {
      case opcode::kBinPut:
        Remember(in_.U8());
        return true;
      case opcode::kLongBinPut:
        Remember(in_.U32());
        return true;
      case opcode::kMemoize:
        Remember(static_cast<uint32_t>(memo_.size()));
        return true;
      case opcode::kBinGet:
        Recall(in_.U8());
        return true;
      case opcode::kLongBinGet:
        Recall(in_.U32());
        return true;
      default:
        return false;
    }
  }
  void Remember(uint32_t slot) {
    const uint32_t top = Pop();
    if (!status_.ok()) return;
    Push(top);
    if (memo_.size() >= kMaxPickleValues) return Fail(absl::StrCat("more than ", kMaxPickleValues, " memo entries"));
    memo_[slot] = top;
  }
  void Recall(uint32_t slot) {
    const auto found = memo_.find(slot);
    if (found == memo_.end()) return Fail(absl::StrCat("memo entry ", slot, " was never written"));
    Push(found->second);
  }

  bool Object() {
    switch (opcode_) {
      case opcode::kProto:
        Protocol(in_.U8());
        return true;
      case opcode::kFrame:
        in_.Skip(8);
        return true;  // a hint for readers of streams
      case opcode::kStop:
        Stop();
        return true;
      case opcode::kGlobal:
        Global();
        return true;
      case opcode::kStackGlobal:
        StackGlobal();
        return true;
      case opcode::kReduce:
      case opcode::kNewObj:
        Call(PopTuple(2));
        return true;
      case opcode::kNewObjEx:
        Call(PopTuple(3));
        return true;
      case opcode::kBuild:
        Build();
        return true;
      case opcode::kBinPersId:
        Push({.kind = Kind::kPersistent, .children = PopTuple(1)});
        return true;
      default:
        return false;
    }
  }
  void Protocol(uint8_t version) {
    if (version < 2 || version > 5) Fail(absl::StrCat("pickle protocol ", version, " is not read"));
  }
  void Stop() {
    const uint32_t root = Pop();
    if (!stack_.empty() || !marks_.empty()) Fail("STOP with values left on the stack");
    if (in_.remaining() != 0) Fail("bytes lie behind STOP");
    pickle_.root_ = root;
    stopped_ = true;
  }
  absl::string_view Line() {
    const absl::string_view rest = in_.Rest();
    const size_t end = rest.find('\n');
    if (end == absl::string_view::npos) {
      in_.Skip(rest.size() + 1);
      return {};
    }
    in_.Skip(end + 1);
    return rest.substr(0, end);
  }
  void Global() {
    const absl::string_view module = Line(), name = Line();
    Push({.kind = Kind::kGlobal, .text = module, .name = name});
  }
  void StackGlobal() {
    const auto names = PopTuple(2);
    if (!status_.ok()) return;
    const PickleValue &module = pickle_.at(names[0]), &name = pickle_.at(names[1]);
    if (module.kind != Kind::kText || name.kind != Kind::kText) return Fail("names a global by something that is no text");
    Push({.kind = Kind::kGlobal, .text = module.text, .name = name.text});
  }
  // callable, arguments[, keyword arguments, which are dropped]
  void Call(std::vector<uint32_t> parts) {
    if (!status_.ok()) return;
    parts.resize(2);
    if (pickle_.at(parts[1]).kind != Kind::kTuple) return Fail("calls something with arguments that are no tuple");
    const bool empty_dict = pickle_.at(parts[0]).IsGlobal("collections", "OrderedDict") && pickle_.at(parts[1]).children.empty();
    Push(empty_dict ? PickleValue{.kind = Kind::kDict} : PickleValue{.kind = Kind::kCall, .children = std::move(parts)});
  }
  // Attributes of an object (an OrderedDict's _metadata): dropped.
  void Build() {
    Pop();
    const uint32_t object = Pop();
    if (!status_.ok()) return;
    const Kind kind = pickle_.at(object).kind;
    if (kind != Kind::kCall && kind != Kind::kDict) return Fail("sets attributes of a value that has none");
    Push(object);
  }

  const size_t size_;
  LittleEndianReader in_;
  const std::string where_;
  uint32_t offset_ = 0;
  uint8_t opcode_ = 0;
  std::vector<uint32_t> stack_;
  std::vector<size_t> marks_;
  absl::flat_hash_map<uint32_t, uint32_t> memo_;
  bool stopped_ = false;
  absl::Status status_;
  Pickle pickle_;
};

absl::StatusOr<Pickle> Pickle::Parse(absl::Span<const std::byte> bytes, absl::string_view where) {
  return PickleMachine(bytes, where).Run();
}

const PickleValue* Pickle::Get(const PickleValue& dict, absl::string_view key) const {
  if (dict.kind != Kind::kDict) return nullptr;
  const PickleValue* found = nullptr;
  for (size_t i = 0; i + 1 < dict.children.size(); i += 2) {
    const PickleValue& candidate = child(dict, i);
    if (candidate.kind == Kind::kText && candidate.text == key) found = &child(dict, i + 1);
  }
  return found;
}

}  // namespace pixelrec::checkpoint
