// Tensors that lie whole in one safetensors file, or cut into ranges of elements over several: the shards of a checkpoint, one
// per rank. Any range of any tensor can be read, so another number of ranks, or another ZeRO stage, finds its own shares again.
//
// Which range of which tensor an entry is stands in its file's metadata under kPiecesKey, as JSON: {NAME: {"begin": first
// element, "shape": of the whole tensor}}; an entry that isn't named there is a whole tensor. Threads: call from one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/checkpoint/safetensors.h"

namespace pixelrec::checkpoint {

inline constexpr char kPiecesKey[] = "pieces";

// An entry to be written: elements [begin, begin + n) of a tensor of this shape; n is info.bytes over the dtype's size.
struct TensorPiece {
  TensorInfo info;
  int64_t begin = 0;
  std::vector<int64_t> whole_shape;
};

// Writes one shard. Errors of WriteTensors.
absl::StatusOr<FileDigest> WritePieces(const std::filesystem::path& path, absl::Span<const TensorPiece> pieces,
                                       storage::FileSystem& files = storage::RealFileSystem());

class PiecedTensors {
 public:
  // The shards of one set. Errors of SafetensorsFile::Open; INVALID_ARGUMENT: entries that contradict each other; DATA_LOSS:
  // elements of a tensor that no shard has.
  static absl::StatusOr<std::unique_ptr<PiecedTensors>> Open(const std::vector<std::filesystem::path>& files);
  // The same of files in memory, which must outlive the result; `title` stands in front of errors.
  static absl::StatusOr<std::unique_ptr<PiecedTensors>> Parse(const std::vector<absl::Span<const std::byte>>& files,
                                                              const std::string& title);

  bool contains(const std::string& name) const { return tensors_.contains(name); }
  std::vector<std::string> names() const;
  // NOT_FOUND: "FILES: no tensor NAME".
  absl::StatusOr<std::vector<int64_t>> Shape(const std::string& name) const;
  // Elements [begin, begin + count) of an F32 tensor. NOT_FOUND; OUT_OF_RANGE; INVALID_ARGUMENT: another dtype.
  absl::Status Read(const std::string& name, int64_t begin, absl::Span<float> out) const;
  // The whole tensor, where it lies: in `parts` if it was cut. Takes no memory. NOT_FOUND.
  absl::StatusOr<TensorInfo> Find(const std::string& name) const;
  // "DIR/model.safetensors", "DIR/model-00001-of-00004.safetensors and 3 more": for errors.
  const std::string& title() const { return title_; }

 private:
  struct Piece {
    int64_t begin;
    int64_t count;
    const std::byte* data;
  };
  struct Tensor {
    std::string dtype;
    std::vector<int64_t> shape;
    std::vector<Piece> pieces;  // ascending, without gaps
  };

  absl::Status Add(const SafetensorsIndex& file, const std::string& file_name);
  absl::Status CheckComplete();

  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, Tensor> tensors_;
  std::string title_;
};

}  // namespace pixelrec::checkpoint
