// item_embeddings.npy and item_ids.txt: the matrix that a nearest-neighbour index takes, and whose row is whose.
//
// Threads: call from one thread.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

#include "absl/status/status.h"
#include "worker/data/dataset.h"

namespace pixelrec::tools {

// `items_NH`: fp32 as eval::EncodeAllItems gives it; row 0, the padding, is left out. Row i of the file is item i + 1.
absl::Status WriteItemEmbeddings(const std::filesystem::path& dir, const at::Tensor& items_NH, const data::Dataset& dataset);

}  // namespace pixelrec::tools
