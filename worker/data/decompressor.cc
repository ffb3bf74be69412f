#include "worker/data/decompressor.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace pixelrec::data {
namespace {

constexpr absl::string_view kGzipMagic = "\x1f\x8b";
constexpr absl::string_view kZstdMagic = "\x28\xb5\x2f\xfd";
constexpr size_t kOutputBytes = 256u << 10;
constexpr int kGzipOnly = 16 + MAX_WBITS;
// Limits the decoder's memory to 128 MiB: what every level of the zstd program writes, without --long=28 and above.
constexpr int kMaxWindowLog = 27;

}  // namespace

class Decompressor::Codec {
 public:
  virtual ~Codec() = default;
  virtual const char* name() const = 0;
  // Decodes from the front of `bytes` and removes what it took; output goes to output()[0, *produced). An empty text: no error;
  // else what is wrong with the stream at the byte where `bytes` then starts.
  virtual std::string Step(absl::string_view& bytes, size_t* produced) = 0;
  // Whether all streams begun so far are complete.
  virtual bool complete() const = 0;
  // Whether Step may have more output without more input.
  virtual bool output_was_full() const = 0;

  char* output() { return output_.data(); }

 protected:
  std::vector<char> output_ = std::vector<char>(kOutputBytes);
};

namespace {

class Gzip : public Decompressor::Codec {
 public:
  Gzip() { ready_ = inflateInit2(&stream_, kGzipOnly) == Z_OK; }
  ~Gzip() override {
    if (ready_) inflateEnd(&stream_);
  }
  const char* name() const override { return "gzip"; }
  bool complete() const override { return complete_; }
  bool output_was_full() const override { return full_; }

  std::string Step(absl::string_view& bytes, size_t* produced) override {
    if (!ready_) return "not enough memory to unpack it";
    full_ = false;
    if (complete_) {  // another stream follows
      if (inflateReset(&stream_) != Z_OK) return "can't be unpacked";
      complete_ = false;
    }
    const auto offered = static_cast<uInt>(std::min<size_t>(bytes.size(), 1u << 30));
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // zlib doesn't write to it
    stream_.avail_in = offered;
    stream_.next_out = reinterpret_cast<Bytef*>(output());
    stream_.avail_out = kOutputBytes;
    const int result = inflate(&stream_, Z_NO_FLUSH);
    bytes.remove_prefix(offered - stream_.avail_in);
    *produced = kOutputBytes - stream_.avail_out;
    complete_ = result == Z_STREAM_END;
    full_ = stream_.avail_out == 0 && !complete_;
    if (result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR) return "";
    return stream_.msg != nullptr ? stream_.msg : "damaged";
  }

 private:
  z_stream stream_ = {};
  bool ready_ = false;
  bool complete_ = false;
  bool full_ = false;
};

class Zstd : public Decompressor::Codec {
 public:
  Zstd() : stream_(ZSTD_createDStream()) {
    if (stream_ != nullptr) ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kMaxWindowLog);
  }
  ~Zstd() override { ZSTD_freeDStream(stream_); }
  const char* name() const override { return "zstd"; }
  bool complete() const override { return complete_; }
  bool output_was_full() const override { return full_; }

  std::string Step(absl::string_view& bytes, size_t* produced) override {
    if (stream_ == nullptr) return "not enough memory to unpack it";
    ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
    ZSTD_outBuffer output{this->output(), kOutputBytes, 0};
    const size_t result = ZSTD_decompressStream(stream_, &output, &input);
    bytes.remove_prefix(input.pos);
    *produced = output.pos;
    if (ZSTD_isError(result)) return ZSTD_getErrorName(result);
    complete_ = result == 0;
    full_ = output.pos == kOutputBytes && !complete_;
    return "";
  }

 private:
  ZSTD_DStream* const stream_;
  bool complete_ = false;
  bool full_ = false;
};

}  // namespace

Decompressor::Decompressor(std::string file, OnPortion on_portion) : file_(std::move(file)), on_portion_(std::move(on_portion)) {}
Decompressor::~Decompressor() = default;

absl::Status Decompressor::Feed(absl::string_view bytes) {
  if (!status_.ok()) return status_;
  if (decided_) return status_ = Pass(bytes);
  prefix_.append(bytes.data(), bytes.size());
  return status_ = Decide(/*at_end=*/false);
}

absl::Status Decompressor::Finish() {
  if (status_.ok() && !decided_) status_ = Decide(/*at_end=*/true);
  if (status_.ok() && codec_ != nullptr && !codec_->complete()) {
    status_ =
        absl::InvalidArgumentError(absl::StrCat(file_, ": the ", codec_->name(), " stream breaks off at the file's end, byte ",
                                                position_, "; the file was cut off: copy or compress it again"));
  }
  return status_;
}

absl::Status Decompressor::Decide(bool at_end) {
  const bool undecided = prefix_.size() < kZstdMagic.size() && !at_end;
  if (undecided) return absl::OkStatus();
  decided_ = true;
  if (absl::StartsWith(prefix_, kGzipMagic)) codec_ = std::make_unique<Gzip>();
  if (absl::StartsWith(prefix_, kZstdMagic)) codec_ = std::make_unique<Zstd>();
  return Pass(std::exchange(prefix_, {}));
}

absl::Status Decompressor::Pass(absl::string_view bytes) {
  if (codec_ == nullptr) return bytes.empty() ? absl::OkStatus() : on_portion_(bytes);
  bool more = false;
  while (!bytes.empty() || more) {
    const size_t before = bytes.size();
    size_t produced = 0;
    const std::string wrong = codec_->Step(bytes, &produced);
    position_ += before - bytes.size();
    if (!wrong.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(file_, ": the ", codec_->name(), " stream is damaged at byte ", position_,
                                                     " (", wrong, "); copy or compress the file again"));
    }
    if (produced > 0) {
      if (absl::Status status = on_portion_({codec_->output(), produced}); !status.ok()) return status;
    }
    more = codec_->output_was_full();
  }
  return absl::OkStatus();
}

}  // namespace pixelrec::data
