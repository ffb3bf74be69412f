#include "worker/data/synthetic/generator.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "common/storage/unique_fd.h"
#include "worker/data/batch.h"
#include "worker/data/synthetic/shapes.h"
#include "worker/data/synthetic/words.h"

namespace pixelrec::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFewestEvents = 5;
constexpr uint32_t kMostExtraEvents = 2000;
constexpr int64_t kMost = 4'000'000'000;            // users, items: their numbers are 32 bits
constexpr int64_t kFirstSecond = 1'600'000'000;     // Unix time
constexpr uint32_t kSpanSeconds = 2 * 365 * 86400;  // in which users begin
constexpr uint32_t kLongestGapSeconds = 6 * 86400;  // between two events
constexpr uint32_t kWithoutDescription = 20;        // one in so many

// A file that appears under its name when it is complete.
class OutputFile {
 public:
  static absl::StatusOr<std::unique_ptr<OutputFile>> Create(const fs::path& path) {
    auto file = std::unique_ptr<OutputFile>(new OutputFile(path));
    file->fd_.reset(open(file->temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file->fd_.valid()) return storage::ErrnoStatus(errno, "can't create", file->temporary_);
    return file;
  }
  ~OutputFile() {
    std::error_code ignored;
    if (fd_.valid()) fs::remove(temporary_, ignored);
  }

  // Text goes to the end of this; Flush empties it now and then.
  std::string& buffer() { return buffer_; }
  int64_t bytes() const { return bytes_; }

  absl::Status FlushIfFull() { return buffer_.size() < kBuffer ? absl::OkStatus() : Flush(); }

  absl::Status Commit() {
    if (absl::Status status = Flush(); !status.ok()) return status;
    if (fsync(fd_.get()) != 0) return storage::ErrnoStatus(errno, "can't sync", temporary_);
    std::error_code error;
    fs::rename(temporary_, path_, error);
    if (error) return storage::ErrnoStatus(error.value(), "can't rename to", path_);
    fd_.reset();
    return storage::SyncPath(path_.parent_path());
  }

 private:
  static constexpr size_t kBuffer = 1u << 20;

  explicit OutputFile(const fs::path& path) : path_(path), temporary_(path.string() + ".part") {}

  absl::Status Flush() {
    for (size_t at = 0; at < buffer_.size();) {
      const ssize_t wrote = write(fd_.get(), buffer_.data() + at, buffer_.size() - at);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return storage::ErrnoStatus(errno, "can't write", temporary_);
      at += static_cast<size_t>(wrote);
    }
    bytes_ += static_cast<int64_t>(buffer_.size());
    buffer_.clear();
    return absl::OkStatus();
  }

  const fs::path path_;
  const fs::path temporary_;
  storage::UniqueFd fd_;
  std::string buffer_;
  int64_t bytes_ = 0;
};

// Popularity rank -> item number, and topics. Neighbours in rank have different topics.
class Catalogue {
 public:
  Catalogue(uint64_t seed, uint32_t items) : item_at_(items) {
    const SampleOrder order(seed, /*epoch=*/0, items);
    for (uint32_t rank = 0; rank < items; ++rank) item_at_[rank] = static_cast<uint32_t>(order[rank]);
  }

  uint32_t size() const { return static_cast<uint32_t>(item_at_.size()); }
  uint32_t item(uint32_t rank) const { return item_at_[rank]; }
  static uint32_t TopicOfRank(uint32_t rank) { return rank % kTopics.size(); }
  // The rank nearest to `rank`, and below the end, that has the topic.
  uint32_t WithTopic(uint32_t rank, uint32_t topic) const {
    const uint32_t near = rank - TopicOfRank(rank) + topic;
    return near < size() ? near : rank;
  }
  std::vector<uint32_t> TopicsByItem() const {
    std::vector<uint32_t> topics(size());
    for (uint32_t rank = 0; rank < size(); ++rank) topics[item_at_[rank]] = TopicOfRank(rank);
    return topics;
  }

 private:
  std::vector<uint32_t> item_at_;
};

struct HistoryShape {
  uint32_t fewest;
  uint32_t cap;  // of the events beyond the fewest
  double scale;
};

// Half the events are of the user's topic; no item comes twice.
int64_t WriteUser(uint64_t seed, int64_t user, const HistoryShape& shape, const Catalogue& catalogue,
                  absl::flat_hash_set<uint32_t>& seen, std::string& out) {
  RandomStream random(seed, RandomStream::Kind::kUser, static_cast<uint64_t>(user));
  const uint32_t events = shape.fewest + (shape.cap > 0 ? DrawExtraEvents(random, shape.scale, shape.cap) : 0);
  const uint32_t topic = random.Below(kTopics.size());
  int64_t time = kFirstSecond + random.Below(kSpanSeconds);
  seen.clear();
  while (seen.size() < events) {
    uint32_t rank = DrawRank(random, catalogue.size());
    if (random.Below(2) == 0) rank = catalogue.WithTopic(rank, topic);
    const uint32_t item = catalogue.item(rank);
    if (!seen.insert(item).second) continue;
    absl::StrAppend(&out, "u", user, ",v", item, ",", time, "\n");
    time += 1 + random.Below(kLongestGapSeconds);
  }
  return events;
}

void AppendWords(RandomStream& random, uint32_t count, std::string& out) {
  for (uint32_t i = 0; i < count; ++i) absl::StrAppend(&out, i == 0 ? "" : " ", kWords[random.Below(kWords.size())]);
}

// A title of 4-12 words, every other one with a comma in it, and a description of 30-86.
void WriteItem(uint64_t seed, uint32_t item, uint32_t topic, std::string& out) {
  RandomStream random(seed, RandomStream::Kind::kItem, item);
  absl::StrAppend(&out, "v", item, ",");
  const bool quoted = random.Below(2) == 0;
  if (quoted) absl::StrAppend(&out, "\"", kTopics[topic], ", ");
  AppendWords(random, 4 + random.Below(9), out);
  out.append(quoted ? "\"," : ",");
  if (random.Below(kWithoutDescription) != 0) AppendWords(random, 30 + random.Below(57), out);
  absl::StrAppend(&out, ",", kTopics[topic], "\n");
}

absl::Status CheckOptions(const SyntheticOptions& options) {
  auto refuse = [](auto... what) { return absl::InvalidArgumentError(absl::StrCat(what...)); };
  if (options.users < 1 || options.users > kMost) return refuse("--users: must be 1 to ", kMost, " (got ", options.users, ")");
  if (options.items < 4 * kFewestEvents || options.items > kMost) {
    return refuse("--items: must be ", 4 * kFewestEvents, " to ", kMost, " (got ", options.items, ")");
  }
  const double most = static_cast<double>(options.items) / 4;
  if (!(options.mean_events >= kFewestEvents && options.mean_events <= std::min(most, 1000.0))) {
    return refuse("--mean-events: must be ", kFewestEvents, " to 1000, and at most a quarter of the items (got ",
                  options.mean_events, ")");
  }
  return absl::OkStatus();
}

absl::Status WriteInteractions(const SyntheticOptions& options, const Catalogue& catalogue, OutputFile& file, int64_t& events) {
  // Nobody sees more than half the catalogue, so that a fresh item is quickly drawn.
  const uint32_t cap = std::min<uint32_t>(kMostExtraEvents, catalogue.size() / 2 - static_cast<uint32_t>(kFewestEvents));
  const double extra = options.mean_events - static_cast<double>(kFewestEvents);
  const HistoryShape shape{static_cast<uint32_t>(kFewestEvents), extra > 0 ? cap : 0, LengthScale(extra, cap)};
  absl::flat_hash_set<uint32_t> seen;
  file.buffer() = "user_id,item_id,timestamp\n";
  for (int64_t user = 0; user < options.users; ++user) {
    events += WriteUser(options.seed, user, shape, catalogue, seen, file.buffer());
    if (absl::Status status = file.FlushIfFull(); !status.ok()) return status;
  }
  return file.Commit();
}

absl::Status WriteItems(const SyntheticOptions& options, const Catalogue& catalogue, OutputFile& file) {
  const std::vector<uint32_t> topics = catalogue.TopicsByItem();
  file.buffer() = "item_id,title,description,tag\n";
  for (uint32_t item = 0; item < catalogue.size(); ++item) {
    WriteItem(options.seed, item, topics[item], file.buffer());
    if (absl::Status status = file.FlushIfFull(); !status.ok()) return status;
  }
  return file.Commit();
}

}  // namespace

absl::StatusOr<SyntheticFiles> GenerateDataset(const SyntheticOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  SyntheticFiles files{.interactions = options.out / "interactions.csv", .items = options.out / "items.csv"};
  std::error_code error;
  fs::create_directories(options.out, error);
  if (error) return storage::ErrnoStatus(error.value(), "can't create", options.out);
  for (const fs::path& file : {files.interactions, files.items}) {
    if (options.replace || !fs::exists(file, error)) continue;
    return absl::AlreadyExistsError(absl::StrCat(file.string(), ": exists; write to another folder, or pass --replace"));
  }
  const Catalogue catalogue(options.seed, static_cast<uint32_t>(options.items));
  auto interactions = OutputFile::Create(files.interactions);
  if (!interactions.ok()) return interactions.status();
  auto items = OutputFile::Create(files.items);
  if (!items.ok()) return items.status();
  if (absl::Status status = WriteInteractions(options, catalogue, **interactions, files.events); !status.ok()) return status;
  if (absl::Status status = WriteItems(options, catalogue, **items); !status.ok()) return status;
  files.bytes = (*interactions)->bytes() + (*items)->bytes();
  return files;
}

}  // namespace pixelrec::data
