// Element types of torch by the names that stand in its files.
#pragma once

#include <cstddef>
#include <optional>

#include "absl/strings/string_view.h"

namespace pixelrec::checkpoint {

struct ElementType {
  absl::string_view name;  // safetensors': "F32"
  size_t bytes = 0;
};

// torch.FloatStorage, torch.cuda.HalfStorage, torch.storage.UntypedStorage (bytes), ...
std::optional<ElementType> StorageElementType(absl::string_view module, absl::string_view storage);
// float32, bfloat16, ... of module torch.
std::optional<ElementType> DtypeElementType(absl::string_view dtype);
// "F32" -> "FloatStorage"; nothing for a type that torch has no typed storage for.
std::optional<absl::string_view> StorageName(absl::string_view name);

}  // namespace pixelrec::checkpoint
