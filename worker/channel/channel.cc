#include "worker/channel/channel.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "worker/channel/framing.h"

namespace pixelrec::channel {
namespace {

std::string Words(int error) { return std::generic_category().message(error); }

// The socket blocks, so a full buffer waits for its reader.
absl::Status SendAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    // MSG_NOSIGNAL: a dead peer is an error to handle, not a SIGPIPE.
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return absl::UnavailableError("the other end of the channel is gone");
    } else if (errno != EINTR) {
      return absl::InternalError(absl::StrCat("can't write to the channel: ", Words(errno)));
    }
  }
  return absl::OkStatus();
}

// Fills `size` bytes. Returns how many came before the end of the stream.
absl::StatusOr<size_t> ReceiveAll(int fd, char* into, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t got = recv(fd, into + done, size - done, 0);
    if (got == 0 || (got < 0 && errno == ECONNRESET)) return done;
    if (got > 0) {
      done += static_cast<size_t>(got);
    } else if (errno != EINTR) {
      return absl::InternalError(absl::StrCat("can't read from the channel: ", Words(errno)));
    }
  }
  return done;
}

}  // namespace

struct Channel::Sync {
  absl::Mutex write_mutex;  // held over one whole frame
};

Channel::Channel(int fd) : fd_(fd), sync_(std::make_unique<Sync>()) {}

Channel::~Channel() { close(fd_); }

absl::Status Channel::Write(const google::protobuf::MessageLite& message) {
  absl::StatusOr<std::string> frame = EncodeFrame(message);
  if (!frame.ok()) return frame.status();
  absl::MutexLock lock(&sync_->write_mutex);
  return SendAll(fd_, *frame);
}

absl::Status Channel::Read(google::protobuf::MessageLite& message) {
  std::array<char, kFrameHeaderBytes> header;
  absl::StatusOr<size_t> got = ReceiveAll(fd_, header.data(), header.size());
  if (!got.ok()) return got.status();
  if (*got == 0) return absl::UnavailableError("the other end closed the channel");
  if (*got < header.size()) return absl::DataLossError("the channel closed inside the header of a message");

  const absl::StatusOr<uint32_t> size = DecodeFrameSize(absl::string_view(header.data(), header.size()));
  if (!size.ok()) return size.status();
  std::string body;
  // Grows with what really arrives: a length alone must not make us allocate.
  constexpr size_t kPiece = 64 << 10;
  while (body.size() < *size) {
    const size_t before = body.size();
    const size_t piece = std::min<size_t>(kPiece, *size - before);
    body.resize(before + piece);
    got = ReceiveAll(fd_, body.data() + before, piece);
    if (!got.ok()) return got.status();
    if (*got < piece) {
      return absl::DataLossError(
          absl::StrCat("the channel closed after ", before + *got, " of the ", *size, " bytes of a message"));
    }
  }
  return ParseFrameBody(body, message);
}

void Channel::Shutdown() { shutdown(fd_, SHUT_RDWR); }

}  // namespace pixelrec::channel
