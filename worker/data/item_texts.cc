#include "worker/data/item_texts.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace pixelrec::data {
namespace {

constexpr size_t kTextsPerTask = 64;
// A batch is tokenised when it holds this many texts or bytes: enough work for every thread, little memory.
constexpr size_t kBatchTexts = 16384;
constexpr size_t kBatchBytes = 8u << 20;

// The first error of any thread.
class FirstError {
 public:
  void Set(absl::Status status) {
    const absl::MutexLock lock(&mutex_);
    if (status_.ok()) status_ = std::move(status);
    seen_.store(true, std::memory_order_relaxed);
  }
  bool seen() const { return seen_.load(std::memory_order_relaxed); }
  absl::Status status() const {
    const absl::MutexLock lock(&mutex_);
    return status_;
  }

 private:
  mutable absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> seen_{false};
};

}  // namespace

std::string ItemText(absl::string_view prompt, const std::vector<std::string>& keys, std::span<const absl::string_view> values) {
  std::string text(prompt);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (!values[i].empty()) absl::StrAppend(&text, keys[i], ": ", values[i]);
  }
  return text;
}

std::string ItemTitle(std::span<const absl::string_view> values) {
  std::string title;
  for (absl::string_view value : values) {
    if (!value.empty()) absl::StrAppend(&title, title.empty() ? "" : " | ", value);
  }
  return title;
}

absl::StatusOr<std::vector<std::vector<int32_t>>> TokenizeTexts(std::span<const std::string> texts,
                                                                const tokenizer::Tokenizer& tokenizer, int threads) {
  const size_t tasks = (texts.size() + kTextsPerTask - 1) / kTextsPerTask;
  std::vector<std::vector<int32_t>> ids(texts.size());
  std::atomic<size_t> next{0};
  FirstError error;
  auto work = [&] {
    for (size_t task = next++; task < tasks && !error.seen(); task = next++) {
      const size_t end = std::min(texts.size(), (task + 1) * kTextsPerTask);
      for (size_t i = task * kTextsPerTask; i < end; ++i) {
        if (texts[i].empty()) continue;
        absl::StatusOr<std::vector<int32_t>> encoded = tokenizer.Encode(texts[i]);
        if (!encoded.ok()) return error.Set(encoded.status());
        ids[i] = *std::move(encoded);
      }
    }
  };
  std::vector<std::jthread> others;
  for (int i = 1; i < threads && static_cast<size_t>(i) < tasks; ++i) others.emplace_back(work);
  work();
  others.clear();  // joins
  if (error.seen()) return error.status();
  return ids;
}

absl::Status ItemTextCollector::Add(uint32_t item, std::string text, absl::string_view title) {
  titles_.Set(item, {title.data(), title.size()});
  batch_bytes_ += text.size();
  batch_items_.push_back(item);
  batch_texts_.push_back(std::move(text));
  const bool full = batch_texts_.size() >= kBatchTexts || batch_bytes_ >= kBatchBytes;
  return full ? Finish() : absl::OkStatus();
}

absl::Status ItemTextCollector::Finish() {
  auto ids = TokenizeTexts(batch_texts_, tokenizer_, threads_);
  if (!ids.ok()) return ids.status();
  std::vector<uint32_t> kept;
  for (size_t i = 0; i < batch_items_.size(); ++i) {
    const std::vector<int32_t>& all = (*ids)[i];
    kept.assign(all.begin(), all.begin() + static_cast<ptrdiff_t>(std::min(all.size(), max_length_)));
    tokens_.Set(batch_items_[i], kept);
    if (batch_items_[i] >= lengths_.size()) lengths_.resize(size_t{batch_items_[i]} + 1);
    lengths_[batch_items_[i]] = static_cast<uint32_t>(all.size());
  }
  batch_items_.clear();
  batch_texts_.clear();
  batch_bytes_ = 0;
  return absl::OkStatus();
}

void ItemTextCollector::TakeTokens(size_t items, std::vector<uint64_t>& offsets, std::vector<uint32_t>& tokens) {
  for (size_t item = 0; item < items && !empty_text_.empty(); ++item) {
    const bool no_text = item >= lengths_.size() || lengths_[item] == 0;
    if (no_text) tokens_.Set(item, empty_text_);
  }
  tokens_.Gather(items, offsets, tokens);
}

void ItemTextCollector::TakeTitles(size_t items, std::vector<uint64_t>& offsets, std::vector<char>& bytes) {
  titles_.Gather(items, offsets, bytes);
}

std::vector<uint32_t> ItemTextCollector::TakeLengths(size_t items) {
  lengths_.resize(items);
  return std::move(lengths_);
}

}  // namespace pixelrec::data
