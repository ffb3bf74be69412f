// Any bytes as the files of a DeepSpeed checkpoint's folder: never a crash, and an accepted checkpoint's tensors can be read to
// their last byte and have the size that their shape says.
//
// An input is a list of files: one byte for the name (kNames), three for the size (little-endian), the content; what is missing
// at the end is cut. tests/reference/deepspeed_corpus.py writes such inputs.
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "worker/checkpoint/deepspeed_checkpoint.h"
#include "worker/checkpoint/dtype.h"

namespace checkpoint = pixelrec::checkpoint;
namespace fs = std::filesystem;

namespace {

constexpr const char* kNames[] = {"latest",
                                  "step/mp_rank_00_model_states.pt",
                                  "step/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",
                                  "step/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt",
                                  "step/zero_pp_rank_0_mp_rank_00_model_states.pt",
                                  "step/zero_pp_rank_1_mp_rank_00_model_states.pt",
                                  "mp_rank_00_model_states.pt",
                                  "step/mp_rank_01_model_states.pt"};
constexpr size_t kHeader = 4;

// Of this process, in memory where the machine has such a place; removed when the process ends.
class Folder {
 public:
  Folder() {
    const fs::path memory = "/dev/shm";
    std::error_code ignored;
    const fs::path parent = fs::is_directory(memory, ignored) ? memory : fs::temp_directory_path();
    path_ = parent / ("pixelrec-deepspeed-fuzz-" + std::to_string(getpid()));
  }
  ~Folder() { Clear(); }
  void Clear() const {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void Unpack(const uint8_t* data, size_t size, const fs::path& folder) {
  fs::create_directories(folder / "step");
  while (size >= kHeader) {
    const fs::path name = kNames[data[0] % std::size(kNames)];
    const size_t wanted = data[1] | size_t{data[2]} << 8 | size_t{data[3]} << 16;
    const size_t bytes = std::min(wanted, size - kHeader);
    std::ofstream(folder / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(data + kHeader), static_cast<std::streamsize>(bytes));
    data += kHeader + bytes;
    size -= kHeader + bytes;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  folder.Clear();
  Unpack(data, size, folder.path());
  const auto opened = checkpoint::OpenDeepSpeedCheckpoint(folder.path());
  if (!opened.ok()) return 0;
  volatile uint8_t sum = 0;
  size_t total = 0;
  for (const auto& [name, tensor] : opened->tensors) {
    const auto element = checkpoint::ElementBytes(tensor.dtype);
    const auto expected = element ? checkpoint::TensorBytes(tensor.shape, *element) : std::nullopt;
    if (!expected || *expected != tensor.bytes) abort();
    // One storage can stand behind many names; reading all of it for each proves nothing new.
    if ((total += tensor.bytes) > (size_t{1} << 20)) break;
    for (size_t i = 0; i < tensor.bytes; ++i) sum = sum + std::to_integer<uint8_t>(tensor.data[i]);
  }
  return 0;
}
