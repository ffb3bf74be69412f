// Writes a state dict as torch.save does: what Python's torch.load(path, weights_only=True) reads. Format: docs/formats.md.
//
// Threads: call from one thread.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "worker/checkpoint/torch_file/torch_file.h"

namespace pixelrec::checkpoint {

// An OrderedDict of contiguous tensors in this order; tensors of the same bytes share one storage, as tied weights do. The file
// is synced; on an error none stays. INVALID_ARGUMENT: an element type that torch has no typed storage for. RESOURCE_EXHAUSTED:
// no space.
absl::Status WriteTorchFile(const std::filesystem::path& path, absl::Span<const std::pair<std::string, TorchTensor>> tensors);

}  // namespace pixelrec::checkpoint
