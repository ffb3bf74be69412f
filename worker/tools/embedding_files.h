// item_embeddings.npy and item_ids.txt: the matrix that a nearest-neighbour index takes, and whose row is whose.
//
// Threads: call from one thread.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/data/dataset.h"

namespace pixelrec::tools {

// Ids of the dataset's items 1 to num_items().
std::vector<std::string> ItemIds(const data::Dataset& dataset);

// `rows_NH`: fp32; row i belongs to ids[i]. INVALID_ARGUMENT: an id holds a line break.
absl::Status WriteEmbeddings(const std::filesystem::path& dir, const at::Tensor& rows_NH, const std::vector<std::string>& ids);

// `items_NH`: fp32 as eval::EncodeAllItems gives it; row 0, the padding, is left out. Row i of the file is item i + 1.
absl::Status WriteItemEmbeddings(const std::filesystem::path& dir, const at::Tensor& items_NH, const data::Dataset& dataset);

}  // namespace pixelrec::tools
