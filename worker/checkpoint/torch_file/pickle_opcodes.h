// Opcodes of Python's pickle, by the names of its pickletools, as far as torch.save writes them.
#pragma once

#include <cstdint>

namespace pixelrec::checkpoint::opcode {

inline constexpr uint8_t kMark = '(', kStop = '.', kPop = '0', kPopMark = '1';
inline constexpr uint8_t kNone = 'N', kNewTrue = 0x88, kNewFalse = 0x89;
inline constexpr uint8_t kBinInt = 'J', kBinInt1 = 'K', kBinInt2 = 'M', kLong1 = 0x8a, kLong4 = 0x8b, kBinFloat = 'G';
inline constexpr uint8_t kBinUnicode = 'X', kShortBinUnicode = 0x8c, kBinUnicode8 = 0x8d;
inline constexpr uint8_t kBinString = 'T', kShortBinString = 'U';
inline constexpr uint8_t kBinBytes = 'B', kShortBinBytes = 'C', kBinBytes8 = 0x8e, kByteArray8 = 0x96;
inline constexpr uint8_t kEmptyTuple = ')', kTuple = 't', kTuple1 = 0x85, kTuple2 = 0x86, kTuple3 = 0x87;
inline constexpr uint8_t kEmptyList = ']', kList = 'l', kAppend = 'a', kAppends = 'e';
inline constexpr uint8_t kEmptyDict = '}', kSetItem = 's', kSetItems = 'u';
inline constexpr uint8_t kEmptySet = 0x8f, kAddItems = 0x90, kFrozenSet = 0x91;
inline constexpr uint8_t kBinPut = 'q', kLongBinPut = 'r', kMemoize = 0x94, kBinGet = 'h', kLongBinGet = 'j';
inline constexpr uint8_t kGlobal = 'c', kStackGlobal = 0x93, kReduce = 'R', kBuild = 'b', kNewObj = 0x81, kNewObjEx = 0x92;
inline constexpr uint8_t kProto = 0x80, kFrame = 0x95, kBinPersId = 'Q';

}  // namespace pixelrec::checkpoint::opcode
