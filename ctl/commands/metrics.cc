// pixelrecctl metrics: the curves of a job as numbers.
#include <memory>
#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "ctl/client/interrupt.h"
#include "ctl/client/metrics_reader.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/render/metrics_text.h"
#include "google/protobuf/util/json_util.h"

namespace pixelrec::ctl {
namespace {

struct MetricsOptions {
  MetricsQuery query;
  OutputFormat format = OutputFormat::kTable;
};

std::string JsonLine(const v1::MetricPoint& point) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string line;
  return google::protobuf::util::MessageToJsonString(point, &line, options).ok() ? line + "\n" : "{}\n";
}

// A point of a series that is still growing.
std::string Grown(const v1::MetricPoint& point, OutputFormat format) {
  switch (format) {
    case OutputFormat::kJson:
      return JsonLine(point);
    case OutputFormat::kYaml:
      return absl::StrCat("---\n", ToYaml(point));
    default:
      return MetricPointText(point);
  }
}

int Metrics(const Session& session, MetricsOptions options) {
  auto interrupt = Interrupt::Install();
  if (!interrupt.ok()) return session.Fail(interrupt.status());
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  const absl::StatusOr<v1::Job> job = (*client)->Get(options.query.job);
  if (!job.ok()) return session.Fail(job.status());
  options.query.job = job->job_id();
  const bool table = options.format == OutputFormat::kTable;
  const bool whole = !table && !options.query.follow;  // one document
  v1::StreamMetricsResponse document;
  if (table) session.out << MetricsHeader() << std::flush;
  const auto take = [&](const v1::MetricPoint& point) {
    if (whole) {
      *document.add_points() = point;
    } else {
      session.out << Grown(point, options.format) << std::flush;
    }
  };
  const absl::Status status = ReadMetrics(**client, options.query, take, (*interrupt)->token());
  if (!status.ok() && !absl::IsCancelled(status)) return session.Fail(status);
  if (whole) session.out << ToData(document, options.format) << std::flush;
  return kExitOk;
}

}  // namespace

void AddMetrics(CLI::App& app, Session& session) {
  auto options = std::make_shared<MetricsOptions>();
  CLI::App* const command =
      app.add_subcommand("metrics", "Print the series of a job's metrics: loss, speed, evaluations; for plots, -o json");
  command->add_option("job", options->query.job, "Job id, the beginning of one, or a job's name")->required();
  command->add_flag("-f,--follow", options->query.follow,
                    "Go on until the job ends, with -o json one line a point; Ctrl-C stops");
  command->add_option("--after", options->query.after_sequence, "Only points behind this sequence number")
      ->check(CLI::NonNegativeNumber);
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return Metrics(session, *options); }; });
}

}  // namespace pixelrec::ctl
