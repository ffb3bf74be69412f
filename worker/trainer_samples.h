// pixelrec-trainer samples: which samples a job's steps visit, computed again from the prepared dataset without training. Prints
// JSON, for pixelrecctl audit:
//   {"data_hash": H, "samples": N, "steps_per_epoch": S,
//    "epochs": [{"epoch": 1, "step": S, "samples": n, "distinct": n, "digest": D}, ...],   whole epochs up to the last step
//    "steps": [{"step": 40, "samples": n, "digest": D}, ...]}                              from the start of training to each
//    --step
// A digest is that of EpochResult.sample_digest; `distinct` counts the samples that an epoch visits at least once.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace pixelrec {

struct SamplesOptions {
  CLI::App* command = nullptr;  // owned by the program's CLI::App
  std::string spec;             // file with a JobSpec as JSON
  std::string dataset;          // prepared dataset; empty: `cache`
  std::string cache;            // where the CSV files are prepared again, unless that has been done
  std::vector<int64_t> steps;
};

std::unique_ptr<SamplesOptions> AddSamples(CLI::App& app);
// Exit code: 0, 3 (no such dataset or file), 1 (anything else).
int RunSamples(const SamplesOptions& options);

}  // namespace pixelrec
