#include "worker/tools/tokenize.h"

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/checkpoint/best_model.h"
#include "worker/tokenizer/tokenizer.h"
#include "worker/tools/trained_model.h"

namespace pixelrec::tools {
namespace {

constexpr int kNotFound = 3;

// A model directory, or anything trained from one.
std::filesystem::path TokenizerFolder(const std::filesystem::path& model) {
  const auto record = RecordOf(model);
  return record.ok() ? *record / checkpoint::kItemModelFolder : model;
}

std::string Line(const tokenizer::Tokenizer& tokenizer, const std::string& text, const std::vector<int32_t>& ids, bool json) {
  if (!json) return absl::StrJoin(ids, " ");
  nlohmann::ordered_json line = {{"text", text}, {"ids", ids}, {"tokens", nlohmann::json::array()}};
  for (const int32_t id : ids) line["tokens"].push_back(tokenizer.TokenText(id));
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

absl::Status Tokenize(const TokenizeOptions& options) {
  const auto tokenizer = tokenizer::LoadTokenizer(TokenizerFolder(options.model));
  if (!tokenizer.ok()) return tokenizer.status();
  std::ifstream file;
  if (!options.file.empty()) {
    file.open(options.file, std::ios::binary);
    if (!file) return absl::NotFoundError(absl::StrCat(options.file, ": can't be read"));
  }
  std::istream& in = options.file.empty() ? std::cin : file;
  int64_t number = 0;
  for (std::string text; std::getline(in, text);) {
    ++number;
    const auto ids = (*tokenizer)->Encode(text);
    if (!ids.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(options.file.empty() ? "standard input" : options.file, ":", number, ": ", ids.status().message()));
    }
    std::cout << Line(**tokenizer, text, *ids, options.format == "json") << "\n";
  }
  if (in.bad()) return absl::DataLossError(absl::StrCat(options.file, ": reading failed after line ", number));
  std::cout.flush();
  return std::cout ? absl::OkStatus() : absl::DataLossError("standard output can't be written to");
}

}  // namespace

std::unique_ptr<TokenizeOptions> AddTokenize(CLI::App& app) {
  auto options = std::make_unique<TokenizeOptions>();
  CLI::App* command = app.add_subcommand("tokenize", "Token ids of lines of text, a line for each");
  command->add_option("--model", options->model, "Model directory, best_model/ or checkpoint")->required();
  command->add_option("FILE", options->file, "Text file; standard input if absent");
  command->add_option("--format", options->format, "ids, or json with the tokens' texts")->check(CLI::IsMember({"ids", "json"}));
  options->command = command;
  return options;
}

int RunTokenize(const TokenizeOptions& options) {
  std::ios::sync_with_stdio(false);
  const absl::Status status = Tokenize(options);
  if (status.ok()) return 0;
  std::cout.flush();
  std::cerr << "error: " << status.message() << "\n";
  return absl::IsNotFound(status) ? kNotFound : 1;
}

}  // namespace pixelrec::tools
