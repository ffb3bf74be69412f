// Prepares datasets of a few lines of CSV with the quickstart's tokenizer.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/common/temporary_folder.h"
#include "worker/data/dataset.h"
#include "worker/data/prepare.h"

namespace pixelrec::data {

class SmallDataset {
 public:
  SmallDataset(const std::string& interactions, const std::string& texts) {
    options.interaction_data = folder.Write("interactions.csv", interactions);
    options.text_data = folder.Write("items.csv", texts);
    options.text_keys = {"title"};
    options.tokenizer_dir = PIXELREC_SOURCE_DIR "/deploy/quickstart/stories260k";
    options.cache_dir = folder.path() / "cache";
  }

  // Prepares and opens; null (and a test failure) if either fails.
  std::unique_ptr<Dataset> Open() {
    const auto prepared = Prepare(options);
    EXPECT_TRUE(prepared.ok()) << prepared.status();
    if (!prepared.ok()) return nullptr;
    report = *prepared;
    auto dataset = Dataset::Open(report.path);
    EXPECT_TRUE(dataset.ok()) << dataset.status();
    return dataset.ok() ? *std::move(dataset) : nullptr;
  }

  std::string Error() {
    const auto prepared = Prepare(options);
    EXPECT_FALSE(prepared.ok());
    return std::string(prepared.status().message());
  }

  TemporaryFolder folder;
  PrepareOptions options;
  PrepareReport report;
};

// `users` users u0, u1 ... with `events(user)` events each, on items i0 .. i(items-1) in a fixed pattern; every item has a title.
template <typename Events>
SmallDataset Synthetic(int users, int items, Events events) {
  std::string interactions = "user_id,item_id\n";
  for (int user = 0; user < users; ++user) {
    for (int event = 0; event < events(user); ++event) {
      absl::StrAppend(&interactions, "u", user, ",i", (user * 7 + event * 3 + event * event) % items, "\n");
    }
  }
  std::string texts = "item_id,title\n";
  for (int item = 0; item < items; ++item) absl::StrAppend(&texts, "i", item, ",title ", item * 37, "\n");
  return SmallDataset(interactions, texts);
}

}  // namespace pixelrec::data
