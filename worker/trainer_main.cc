// pixelrec-trainer: one rank of one generation, spawned by pixelrec-worker; or, without a worker, a tool that reads a trained
// model or makes synthetic data.
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "worker/tools/encode.h"
#include "worker/tools/export.h"
#include "worker/tools/generate_dataset.h"
#include "worker/tools/inspect.h"
#include "worker/tools/recommend.h"
#include "worker/tools/tokenize.h"
#include "worker/trainer_job_plan.h"
#include "worker/trainer_plan.h"
#include "worker/trainer_samples.h"

int main(int argc, char** argv) {
  // Activations are tens of megabytes that come and go each step: keep them in the heap instead of mapping and unmapping pages.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2047 << 20);
  CLI::App app(
      "Trains one rank of a PixelRec job. Started by pixelrec-worker; the subcommands read a trained model or make data.");
  int channel_fd = -1;
  app.add_option("--channel-fd", channel_fd, "Connected socket to the worker that spawned this process")
      ->check(CLI::NonNegativeNumber);
  int position_fd = -1;
  app.add_option("--position-fd", position_fd, "Page of memory that says to that worker where this rank is in its work")
      ->check(CLI::NonNegativeNumber);
  const auto recommend = pixelrec::tools::AddRecommend(app);
  const auto encode = pixelrec::tools::AddEncode(app);
  const auto generate = pixelrec::tools::AddGenerateDataset(app);
  const auto exported = pixelrec::tools::AddExport(app);
  const auto inspected = pixelrec::tools::AddInspect(app);
  const auto tokenize = pixelrec::tools::AddTokenize(app);
  const auto planned = pixelrec::AddJobPlan(app);
  const auto samples = pixelrec::AddSamples(app);
  app.require_subcommand(0, 1);
  CLI11_PARSE(app, argc, argv);
  if (recommend->command->parsed()) return pixelrec::tools::RunRecommend(*recommend);
  if (encode->command->parsed()) return pixelrec::tools::RunEncode(*encode);
  if (generate->command->parsed()) return pixelrec::tools::RunGenerateDataset(*generate);
  if (exported->command->parsed()) return pixelrec::tools::RunExport(*exported);
  if (inspected->command->parsed()) return pixelrec::tools::RunInspect(*inspected);
  if (tokenize->command->parsed()) return pixelrec::tools::RunTokenize(*tokenize);
  if (planned->command->parsed()) return pixelrec::RunJobPlan(*planned);
  if (samples->command->parsed()) return pixelrec::RunSamples(*samples);
  if (channel_fd < 0) {
    std::cerr
        << "error: pixelrec-trainer is started by pixelrec-worker (--channel-fd); by hand only with a subcommand: see --help\n";
    return 2;
  }
  return pixelrec::RunPlan(channel_fd, position_fd);
}
