#include "worker/train/event_log/event_file.h"

#include <unistd.h>

#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "worker/train/event_log/event_message.h"
#include "worker/train/event_log/record_file.h"

namespace pixelrec::train {
namespace {

std::string HostName() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

std::string ForFileName(std::string host) {
  for (char& letter : host) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(letter)) && letter != '.' && letter != '-') letter = '-';
  }
  return host;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventFile>> EventFile::Create(Options options) {
  const double now = options.now();
  const std::string host = ForFileName(options.host.empty() ? HostName() : options.host);
  auto file = AppendFile::Open(options.log_dir / absl::StrCat("events.out.tfevents.",
                                                              absl::Dec(static_cast<int64_t>(now), absl::kZeroPad10), ".", host,
                                                              ".", options.generation));
  if (!file.ok()) return file.status();
  const std::string start =
      absl::StrCat(FrameRecord(VersionEvent(now)), FrameRecord(SessionStartEvent(now, options.first_step + 1)));
  if (auto status = (*file)->Append(start); !status.ok()) return status;
  return std::unique_ptr<EventFile>(new EventFile(std::move(options), *std::move(file)));
}

EventFile::EventFile(Options options, std::unique_ptr<AppendFile> file) : options_(std::move(options)), file_(std::move(file)) {}

absl::Status EventFile::AddScalar(absl::string_view tag, int64_t step, double value) {
  return file_->Append(FrameRecord(ScalarEvent(options_.now(), step, tag, static_cast<float>(value))));
}

absl::Status EventFile::AddText(absl::string_view tag, int64_t step, absl::string_view text) {
  return file_->Append(FrameRecord(TextEvent(options_.now(), step, tag, text)));
}

absl::Status EventFile::Sync() { return file_->Sync(); }

}  // namespace pixelrec::train
