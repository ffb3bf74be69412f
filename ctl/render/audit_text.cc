#include "ctl/render/audit_text.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "ctl/render/json_output.h"
#include "ctl/render/quantity.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {
namespace {

using Json = nlohmann::ordered_json;

std::string Steps(int64_t first, int64_t last) {
  return last < first ? "-" : first == last ? absl::StrCat(first) : absl::StrCat(first, "-", last);
}

std::string EpochRows(const SampleAudit& audit) {
  Table table({{"EPOCH", Table::Align::kRight},
               {"STEPS"},
               {"EXPECTED", Table::Align::kRight},
               {"VISITED", Table::Align::kRight},
               {"DIGEST"}});
  for (const AuditedEpoch& e : audit.epochs) {
    table.Add({absl::StrCat(e.epoch), absl::StrCat(Steps(e.first_step, e.last_step), e.whole ? "" : " so far"),
               GroupDigits(e.expected), e.recorded ? GroupDigits(e.visited) : "-",
               !e.recorded ? "in the next one's"
               : e.equal   ? "equal"
                           : "differs"});
  }
  return table.Text();
}

std::string GenerationRows(const SampleAudit& audit) {
  Table table({{"GEN", Table::Align::kRight}, {"RANKS", Table::Align::kRight}, {"STEPS"}, {"KEPT"}, {"END"}});
  for (const AuditedGeneration& g : audit.generations) {
    table.Add({absl::StrCat(g.generation), absl::StrCat(g.ranks), Steps(g.from_step + 1, g.last_step),
               Steps(g.from_step + 1, g.kept_step), g.end});
  }
  return table.Text();
}

}  // namespace

std::string AuditText(const SampleAudit& audit) {
  std::string text = absl::StrCat("job ", audit.job_id, ": ", GroupDigits(audit.samples_per_epoch),
                                  " samples; recorded up to step ", GroupDigits(audit.steps), "\n\n", EpochRows(audit));
  if (!audit.generations.empty()) absl::StrAppend(&text, "\n", GenerationRows(audit));
  for (size_t i = 0; i + 1 < audit.generations.size(); ++i) {
    const AuditedGeneration& g = audit.generations[i];
    if (g.last_step <= g.kept_step) continue;
    absl::StrAppend(&text, "steps ", Steps(g.kept_step + 1, g.last_step), " of generation ", g.generation,
                    " were lost; generation ", audit.generations[i + 1].generation,
                    " did them again, and only that is in the weights\n");
  }
  if (audit.problems.empty()) {
    absl::StrAppend(&text, "\nevery sample was visited exactly once per epoch",
                    audit.epochs.back().whole ? "" : ", as far as the newest record goes", "\n");
  }
  return text;
}

std::string AuditData(const SampleAudit& audit, OutputFormat format) {
  Json epochs = Json::array(), generations = Json::array();
  for (const AuditedEpoch& e : audit.epochs) {
    epochs.push_back({{"epoch", e.epoch},
                      {"first_step", e.first_step},
                      {"last_step", e.last_step},
                      {"whole", e.whole},
                      {"expected", e.expected},
                      {"visited", e.visited},
                      {"recorded", e.recorded},
                      {"digest_equal", e.equal}});
  }
  for (const AuditedGeneration& g : audit.generations) {
    generations.push_back({{"generation", g.generation},
                           {"ranks", g.ranks},
                           {"from_step", g.from_step},
                           {"last_step", g.last_step},
                           {"kept_step", g.kept_step},
                           {"end", g.end}});
  }
  return JsonAs(Json{{"job_id", audit.job_id},
                     {"data_hash", audit.data_hash},
                     {"samples_per_epoch", audit.samples_per_epoch},
                     {"steps", audit.steps},
                     {"equal", audit.problems.empty()},
                     {"epochs", std::move(epochs)},
                     {"generations", std::move(generations)},
                     {"problems", audit.problems}},
                format);
}

}  // namespace pixelrec::ctl
