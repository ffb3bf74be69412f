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

constexpr size_t kItemsPerTask = 64;

// Items [first, first + lengths.size()) of one task.
struct TaskResult {
  std::vector<uint32_t> tokens;
  std::vector<uint32_t> lengths;
  int64_t truncated = 0;
};

absl::Status TokenizeTask(std::span<const std::string> texts, const tokenizer::Tokenizer& tokenizer, int max_length,
                          TaskResult& result) {
  for (const std::string& text : texts) {
    if (text.empty()) {
      result.lengths.push_back(0);
      continue;
    }
    absl::StatusOr<std::vector<int32_t>> ids = tokenizer.Encode(text);
    if (!ids.ok()) return ids.status();
    const size_t kept = std::min(ids->size(), static_cast<size_t>(max_length));
    result.truncated += kept < ids->size();
    result.tokens.insert(result.tokens.end(), ids->begin(), ids->begin() + static_cast<ptrdiff_t>(kept));
    result.lengths.push_back(static_cast<uint32_t>(kept));
  }
  return absl::OkStatus();
}

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

absl::StatusOr<TokenizedItems> TokenizeItems(const std::vector<std::string>& texts, const tokenizer::Tokenizer& tokenizer,
                                             int max_length, int threads, const std::function<void(size_t)>& on_items) {
  const size_t tasks = (texts.size() + kItemsPerTask - 1) / kItemsPerTask;
  std::vector<TaskResult> results(tasks);
  std::atomic<size_t> next{0};
  std::atomic<size_t> done{0};
  FirstError error;
  auto work = [&](bool report) {
    for (size_t task = next++; task < tasks && !error.seen(); task = next++) {
      const size_t first = task * kItemsPerTask;
      const size_t count = std::min(kItemsPerTask, texts.size() - first);
      absl::Status status = TokenizeTask(std::span(texts).subspan(first, count), tokenizer, max_length, results[task]);
      if (!status.ok()) error.Set(std::move(status));
      const size_t so_far = done.fetch_add(count) + count;
      if (report) on_items(so_far);
    }
  };
  std::vector<std::jthread> others;
  for (int i = 1; i < threads && static_cast<size_t>(i) < tasks; ++i) others.emplace_back(work, false);
  work(true);
  others.clear();  // joins
  if (error.seen()) return error.status();

  TokenizedItems items;
  items.offsets.reserve(texts.size() + 1);
  items.offsets.push_back(0);
  for (TaskResult& result : results) {
    items.tokens.insert(items.tokens.end(), result.tokens.begin(), result.tokens.end());
    for (uint32_t length : result.lengths) items.offsets.push_back(items.offsets.back() + length);
    items.truncated += result.truncated;
    result = TaskResult();
  }
  on_items(texts.size());
  return items;
}

}  // namespace pixelrec::data
