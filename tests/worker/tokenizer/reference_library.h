// Debian's libsentencepiece behind a door of plain std types: its header redefines absl::string_view, and the library's own
// protobuf must not share a process with Debian's, so only the test programs of this folder link it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace pixelrec::reference {

class SentencePieceLibrary {
 public:
  explicit SentencePieceLibrary(const std::string& serialized_model);  // throws std::runtime_error
  ~SentencePieceLibrary();
  std::vector<int32_t> Encode(const std::string& text) const;  // no special tokens

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Trains a model on `sentences`; `flags` as of spm_train, for example "--model_type=bpe --vocab_size=200". Returns the serialised
// model.
std::string TrainModel(const std::vector<std::string>& sentences, const std::string& flags);

}  // namespace pixelrec::reference
