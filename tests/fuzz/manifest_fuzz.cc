// Any bytes as manifest.json or hllm.json: never a crash, no file name that leads out of the folder, and what is read is written
// back alike.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "worker/checkpoint/best_model.h"
#include "worker/checkpoint/manifest.h"

namespace checkpoint = pixelrec::checkpoint;

namespace {

void CheckNames(const std::map<std::string, checkpoint::FileDigest>& files) {
  for (const auto& [name, digest] : files) {
    if (name.empty() || name.front() == '/' || name.find("..") == 0 || name.find("/.") != std::string::npos) abort();
  }
}

// The manifest's own digest would keep every changed input out: give the input the digest that fits it.
std::string Sealed(const std::string& text) {
  auto document = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return text;
  document.erase("manifest_xxh3");
  const std::string compact = document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  checkpoint::Digest digest;
  digest.Add(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(compact.data()), compact.size()));
  document["manifest_xxh3"] = digest.Finish().xxh3;
  return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)checkpoint::ParseManifest(text, "fuzzed");
  if (const auto file = checkpoint::ParseHllmFile(text, "fuzzed"); file.ok()) CheckNames(file->files);
  const auto manifest = checkpoint::ParseManifest(Sealed(text), "fuzzed");
  if (!manifest.ok()) return 0;
  CheckNames(manifest->files);
  const auto written = checkpoint::FormatManifest(*manifest);
  if (!written.ok()) abort();
  const auto again = checkpoint::ParseManifest(*written, "written");
  if (!again.ok() || !(*again == *manifest)) abort();
  return 0;
}
