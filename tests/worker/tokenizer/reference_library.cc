#include "tests/worker/tokenizer/reference_library.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <stdexcept>

namespace pixelrec::reference {

struct SentencePieceLibrary::Impl {
  sentencepiece::SentencePieceProcessor processor;
};

SentencePieceLibrary::SentencePieceLibrary(const std::string& serialized_model) : impl_(std::make_unique<Impl>()) {
  const auto status = impl_->processor.LoadFromSerializedProto(serialized_model);
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

SentencePieceLibrary::~SentencePieceLibrary() = default;

std::vector<int32_t> SentencePieceLibrary::Encode(const std::string& text) const {
  std::vector<int> ids;
  const auto status = impl_->processor.Encode(text, &ids);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  return {ids.begin(), ids.end()};
}

namespace {

class Sentences : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(const std::vector<std::string>& sentences) : sentences_(sentences) {}
  bool done() const override { return at_ == sentences_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return sentences_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& sentences_;
  size_t at_ = 0;
};

}  // namespace

std::string TrainModel(const std::vector<std::string>& sentences, const std::string& flags) {
  std::string serialized;
  Sentences iterator(sentences);
  const auto status = sentencepiece::SentencePieceTrainer::Train(flags + " --minloglevel=2", &iterator, &serialized);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  return serialized;
}

}  // namespace pixelrec::reference
