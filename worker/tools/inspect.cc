#include "worker/tools/inspect.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "worker/checkpoint/inspection.h"

namespace pixelrec::tools {
namespace {

using checkpoint::InspectedPart;
using checkpoint::Inspection;

InspectedPart Total(const Inspection& inspection) {
  InspectedPart total;
  for (const auto& [name, part] : inspection.parts) {
    total.tensors += part.tensors;
    total.parameters += part.parameters;
    total.bytes += part.bytes;
    total.dtypes.insert(part.dtypes.begin(), part.dtypes.end());
  }
  return total;
}

nlohmann::ordered_json ToJson(const InspectedPart& part) {
  return {{"tensors", part.tensors}, {"parameters", part.parameters}, {"bytes", part.bytes}, {"dtypes", part.dtypes}};
}

nlohmann::ordered_json ToJson(const std::string& path, const Inspection& inspection) {
  nlohmann::ordered_json json = {{"path", path}, {"kind", inspection.kind}, {"facts", nlohmann::ordered_json::object()}};
  for (const auto& [name, value] : inspection.facts) json["facts"][name] = value;
  json["verified_files"] = inspection.verified_files;
  json["tokenizer_files"] = inspection.tokenizer_files;
  json["parts"] = nlohmann::ordered_json::object();
  for (const auto& [name, part] : inspection.parts) json["parts"][name] = ToJson(part);
  json["total"] = ToJson(Total(inspection));
  json["ignored"] = inspection.ignored;
  return json;
}

void PrintPart(const std::string& name, const InspectedPart& part) {
  std::cout << absl::StreamFormat("  %-24s %8d %16d %16d  %s\n", name, part.tensors, part.parameters, part.bytes,
                                  absl::StrJoin(part.dtypes, ","));
}

void PrintTable(const std::string& path, const Inspection& inspection) {
  std::cout << path << ": " << inspection.kind << "\n";
  for (const auto& [name, value] : inspection.facts) std::cout << absl::StreamFormat("  %-22s %s\n", name, value);
  if (!inspection.tokenizer_files.empty())
    std::cout << absl::StreamFormat("  %-22s %s\n", "tokenizer", absl::StrJoin(inspection.tokenizer_files, ", "));
  std::cout << absl::StreamFormat("  %-22s %s\n\n", "files",
                                  inspection.verified_files > 0
                                      ? absl::StrFormat("%d verified by size and digest", inspection.verified_files)
                                      : "no digests are recorded");
  std::cout << absl::StreamFormat("  %-24s %8s %16s %16s  %s\n", "PART", "TENSORS", "PARAMETERS", "BYTES", "TYPES");
  for (const auto& [name, part] : inspection.parts) PrintPart(name, part);
  PrintPart("total", Total(inspection));
  for (const auto& [name, why] : inspection.ignored) std::cout << "  ignored: " << name << ": " << why << "\n";
}

}  // namespace

std::unique_ptr<InspectOptions> AddInspect(CLI::App& app) {
  auto options = std::make_unique<InspectOptions>();
  CLI::App* command = app.add_subcommand("inspect", "What is in a checkpoint, a model directory or a file of tensors");
  command->add_option("path", options->path, "Folder or file")->required();
  command->add_option("--format", options->format, "Output")->check(CLI::IsMember({"table", "json"}))->capture_default_str();
  options->command = command;
  return options;
}

int RunInspect(const InspectOptions& options) {
  const auto inspection = checkpoint::Inspect(options.path);
  if (!inspection.ok()) {
    std::cerr << "error: " << inspection.status().message() << "\n";
    return absl::IsNotFound(inspection.status()) ? 3 : 1;
  }
  if (options.format == "json") {
    std::cout << ToJson(options.path, *inspection).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    PrintTable(options.path, *inspection);
  }
  return 0;
}

}  // namespace pixelrec::tools
