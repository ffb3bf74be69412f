// pixelrec-golden: compares this program's numbers with those of the plain PyTorch reference, for any folder in the format of
// docs/fidelity.md.
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <string>

#include "absl/strings/str_format.h"
#include "worker/tools/golden/golden_check.h"
#include "worker/train/failure.h"

namespace {

constexpr int kMiss = 1, kMalformed = 3;

int Print(const std::vector<pixelrec::tools::Figure>& figures) {
  size_t width = 0;
  for (const auto& figure : figures) width = std::max(width, figure.name.size());
  for (const auto& f : figures) {
    std::cout << absl::StreamFormat("%-*s  expected %-14.9g got %-14.9g difference %-9.2e tolerance %-7.0e %s\n",
                                    static_cast<int>(width), f.name, f.expected, f.got, f.difference, f.tolerance,
                                    f.ok() ? "ok" : "MISS");
  }
  const auto misses = std::count_if(figures.begin(), figures.end(), [](const auto& f) { return !f.ok(); });
  std::cout << figures.size() << " figures, " << misses << " missed\n";
  return misses == 0 ? 0 : kMiss;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Compares computed numbers with a folder of reference numbers. Exit code: 0 all agree, 1 a miss, 3 malformed folder");
  std::string dir;
  int threads = 1;  // the same numbers on every machine
  app.add_option("DIR", dir, "Folder with case.json and tensors.safetensors")->required();
  app.add_option("--threads", threads, "Compute threads; 0: all")->check(CLI::NonNegativeNumber)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (threads > 0) at::set_num_threads(threads);
  int result = 0;
  const absl::Status status = pixelrec::train::Fenced([&] {
    const auto golden = pixelrec::tools::OpenGoldenCase(dir);
    if (!golden.ok()) return golden.status();
    const auto figures = pixelrec::tools::CheckGolden(*golden, at::get_num_threads());
    if (!figures.ok()) return figures.status();
    result = Print(*figures);
    return absl::OkStatus();
  });
  if (status.ok()) return result;
  std::cerr << "error: " << status.message() << "\n";
  return kMalformed;
}
