#include "worker/data/dataset.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "common/storage/unique_fd.h"
#include "worker/data/dataset_format.h"
#include "worker/data/dataset_view.h"

namespace pixelrec::data {
namespace {

// A file mapped for reading; unmapped with the object.
class Mapping {
 public:
  static absl::StatusOr<Mapping> Open(const std::filesystem::path& file) {
    storage::UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return storage::ErrnoStatus(errno, "can't open", file);
    struct stat info;
    if (fstat(fd.get(), &info) != 0) return storage::ErrnoStatus(errno, "can't stat", file);
    if (!S_ISREG(info.st_mode) || info.st_size == 0)
      return absl::DataLossError(absl::StrCat(file.string(), ": empty or not a file"));
    const auto size = static_cast<size_t>(info.st_size);
    void* address = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
    if (address == MAP_FAILED) return storage::ErrnoStatus(errno, "can't map", file);
    return Mapping(static_cast<const char*>(address), size);
  }

  ~Mapping() {
    if (address_ != nullptr) munmap(const_cast<char*>(address_), size_);
  }
  Mapping(Mapping&& other) noexcept : address_(std::exchange(other.address_, nullptr)), size_(other.size_) {}
  Mapping& operator=(Mapping&&) = delete;

  absl::string_view bytes() const { return {address_, size_}; }

 private:
  Mapping(const char* address, size_t size) : address_(address), size_(size) {}

  const char* address_;
  size_t size_;
};

}  // namespace

struct Dataset::Impl {
  explicit Impl(Mapping m) : mapping(std::move(m)) {}

  Mapping mapping;
  DatasetView view;
  std::string data_hash;
};

absl::StatusOr<std::unique_ptr<Dataset>> Dataset::Open(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error))
    return absl::NotFoundError(absl::StrCat(path.string(), ": no prepared dataset"));
  const std::filesystem::path file = path / kDatasetFile;
  absl::StatusOr<Mapping> mapping = Mapping::Open(file);
  if (!mapping.ok()) return mapping.status();
  auto impl = std::make_unique<Impl>(*std::move(mapping));
  absl::StatusOr<DatasetView> view = ParseDataset(impl->mapping.bytes());
  if (!view.ok()) return absl::Status(view.status().code(), absl::StrCat(file.string(), ": ", view.status().message()));
  impl->view = *view;
  impl->data_hash.assign(view->header.data_hash, sizeof(view->header.data_hash));
  return std::unique_ptr<Dataset>(new Dataset(std::move(impl)));
}

Dataset::Dataset(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Dataset::~Dataset() = default;

const std::string& Dataset::data_hash() const { return impl_->data_hash; }
uint32_t Dataset::num_items() const { return impl_->view.header.items; }
uint32_t Dataset::num_train_items() const { return impl_->view.header.train_items; }
uint32_t Dataset::num_users() const { return impl_->view.header.users; }
int32_t Dataset::vocab_size() const { return impl_->view.header.vocab_size; }
int Dataset::max_seq_length() const { return impl_->view.header.max_seq_length; }
int Dataset::max_text_length() const { return impl_->view.header.max_text_length; }

// Row i of item-wise sections belongs to item i + 1.
std::span<const uint32_t> Dataset::tokens(uint32_t item) const { return impl_->view.tokens.row(item - 1); }
size_t Dataset::common_prefix() const { return impl_->view.common_prefix; }
std::span<const uint32_t> Dataset::history(uint32_t user) const { return impl_->view.history.row(user); }
std::span<const int64_t> Dataset::times(uint32_t user) const { return impl_->view.times.row(user); }
std::span<const Sample> Dataset::samples() const { return impl_->view.samples; }
std::span<const uint32_t> Dataset::eval_users() const { return impl_->view.eval_users; }
std::span<const uint32_t> Dataset::train_counts() const { return impl_->view.train_counts; }

namespace {
absl::string_view Text(std::span<const char> bytes) { return {bytes.data(), bytes.size()}; }
}  // namespace

absl::string_view Dataset::item_name(uint32_t item) const { return Text(impl_->view.item_names.row(item - 1)); }
absl::string_view Dataset::item_title(uint32_t item) const { return Text(impl_->view.item_titles.row(item - 1)); }
absl::string_view Dataset::user_name(uint32_t user) const { return Text(impl_->view.user_names.row(user)); }

}  // namespace pixelrec::data
