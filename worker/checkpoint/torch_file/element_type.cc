#include "worker/checkpoint/torch_file/element_type.h"

#include <array>

namespace pixelrec::checkpoint {
namespace {

struct Row {
  absl::string_view dtype;    // of module torch
  absl::string_view storage;  // of module torch; empty: none
  ElementType type;
};

constexpr std::array<Row, 15> kTypes = {{{"float32", "FloatStorage", {"F32", 4}},
                                         {"float64", "DoubleStorage", {"F64", 8}},
                                         {"float16", "HalfStorage", {"F16", 2}},
                                         {"bfloat16", "BFloat16Storage", {"BF16", 2}},
                                         {"int64", "LongStorage", {"I64", 8}},
                                         {"int32", "IntStorage", {"I32", 4}},
                                         {"int16", "ShortStorage", {"I16", 2}},
                                         {"int8", "CharStorage", {"I8", 1}},
                                         {"uint8", "ByteStorage", {"U8", 1}},
                                         {"bool", "BoolStorage", {"BOOL", 1}},
                                         {"uint16", "", {"U16", 2}},
                                         {"uint32", "", {"U32", 4}},
                                         {"uint64", "", {"U64", 8}},
                                         {"float8_e4m3fn", "", {"F8_E4M3", 1}},
                                         {"float8_e5m2", "", {"F8_E5M2", 1}}}};

}  // namespace

std::optional<ElementType> StorageElementType(absl::string_view module, absl::string_view storage) {
  if (module == "torch.storage" && storage == "UntypedStorage") return ElementType{"U8", 1};
  if (module != "torch" && module != "torch.cuda") return std::nullopt;
  for (const Row& row : kTypes) {
    if (!row.storage.empty() && row.storage == storage) return row.type;
  }
  return std::nullopt;
}

std::optional<ElementType> DtypeElementType(absl::string_view dtype) {
  for (const Row& row : kTypes) {
    if (row.dtype == dtype) return row.type;
  }
  return std::nullopt;
}

std::optional<absl::string_view> StorageName(absl::string_view name) {
  for (const Row& row : kTypes) {
    if (row.type.name == name && !row.storage.empty()) return row.storage;
  }
  return std::nullopt;
}

}  // namespace pixelrec::checkpoint
