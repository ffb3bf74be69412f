// Writes what a job of two generations writes: event_log_sample DIR. The first reaches step 40, the second goes on from step 20.
#include <cstdio>
#include <string>

#include "worker/train/event_log/event_file.h"
#include "worker/train/event_log/metrics_log.h"

namespace {

using pixelrec::train::EventFile;
using pixelrec::train::MetricsLog;

// Values tell the generation: 100 * generation + step.
absl::Status WriteGeneration(const std::string& dir, uint64_t generation, int64_t first_step, int64_t last_step) {
  double clock = 1.7e9 + 1000.0 * static_cast<double>(generation);
  const auto now = [&clock] { return clock += 0.5; };
  auto events = EventFile::Create({dir, "a host/with odd_letters", generation, first_step, now});
  if (!events.ok()) return events.status();
  auto metrics = MetricsLog::Open({dir + "/metrics.jsonl", generation, first_step, now});
  if (!metrics.ok()) return metrics.status();
  absl::Status status;
  if (first_step == 0) status.Update((*events)->AddText("job", 0, "# quickstart\n\n    learning_rate: 2e-3  # \xc3\xbc\n"));
  for (int64_t step = first_step + 10; step <= last_step; step += 10) {
    const double loss = static_cast<double>(100 * generation) + static_cast<double>(step) + 0.25;
    status.Update((*events)->AddScalar("train/loss", step, loss));
    status.Update((*events)->AddScalar("train/learning_rate", step, 1e-4));
    status.Update((*metrics)->Append({"train", 1, step, {{"loss", loss}}}));
  }
  status.Update((*events)->AddScalar("validation/loss", last_step, 3.5));
  status.Update((*events)->Sync());
  status.Update((*metrics)->Sync());
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  absl::Status status = WriteGeneration(argv[1], 1, 0, 40);
  status.Update(WriteGeneration(argv[1], 2, 20, 60));
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
