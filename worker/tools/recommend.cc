#include "worker/tools/recommend.h"

#include <ATen/Parallel.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/storage/atomic_file.h"
#include "worker/dist/process_group.h"
#include "worker/eval/item_matrix.h"
#include "worker/eval/ranking.h"
#include "worker/tools/history_csv.h"
#include "worker/tools/item_finder.h"
#include "worker/tools/trained_model.h"
#include "worker/train/failure.h"

namespace pixelrec::tools {
namespace {

constexpr size_t kShownHistory = 10;
constexpr int kNotFound = 3;

struct Request {
  std::string user;  // empty for a history given by hand
  std::vector<uint32_t> history;
  std::optional<uint32_t> held_out;  // what the user really chose next, where it was kept back
};

std::string ItemName(const data::Dataset& d, uint32_t item) { return std::string(d.item_name(item)); }
std::string ItemTitle(const data::Dataset& d, uint32_t item) { return std::string(d.item_title(item)); }

ItemFinder FinderOf(const data::Dataset& d) {
  return ItemFinder(
      d.num_items(), [&d](uint32_t i) { return d.item_name(i); }, [&d](uint32_t i) { return d.item_title(i); });
}

absl::Status AddUsers(const std::vector<std::string>& names, const data::Dataset& d, std::vector<Request>& requests) {
  std::unordered_map<std::string, uint32_t> users;
  for (uint32_t u = 0; u < d.num_users() && !names.empty(); ++u) users.emplace(d.user_name(u), u);
  for (const std::string& name : names) {
    const auto found = users.find(name);
    if (found == users.end()) return absl::NotFoundError(absl::StrCat("no user ", name, " in the dataset"));
    const auto events = d.history(found->second);
    requests.push_back({.user = name, .history = {events.begin(), events.end()}, .held_out = {}});
  }
  return absl::OkStatus();
}

// A history given by hand, oldest first.
absl::Status AddHistory(const RecommendOptions& options, const data::Dataset& d, std::vector<Request>& requests) {
  if (options.history.empty() && options.items.empty()) return absl::OkStatus();
  const ItemFinder finder = FinderOf(d);
  Request request;
  for (const std::string& id : options.history) {
    const auto item = finder.ById(id);
    if (!item.ok()) return item.status();
    request.history.push_back(*item);
  }
  for (const std::string& text : options.items) {
    const auto item = finder.ByIdOrTitle(text);
    if (!item.ok()) return item.status();
    request.history.push_back(*item);
  }
  requests.push_back(std::move(request));
  return absl::OkStatus();
}

// Users spread evenly over the dataset, their last event kept back (the test split).
void AddSample(int sample_users, const data::Dataset& d, std::vector<Request>& requests) {
  std::vector<uint32_t> eligible;
  for (uint32_t u = 0; u < d.num_users() && sample_users > 0; ++u) {
    if (d.history(u).size() >= 6) eligible.push_back(u);
  }
  const auto wanted = std::min(eligible.size(), static_cast<size_t>(std::max(0, sample_users)));
  for (size_t n = 0; n < wanted; ++n) {
    const uint32_t u = eligible[(2 * n + 1) * eligible.size() / (2 * wanted)];
    const auto events = d.history(u);
    requests.push_back(
        {.user = std::string(d.user_name(u)), .history = {events.begin(), events.end() - 1}, .held_out = events.back()});
  }
}

absl::StatusOr<std::vector<Request>> RequestsOf(const RecommendOptions& options, const data::Dataset& d) {
  std::vector<Request> requests;
  if (!options.input.empty()) {
    const auto histories = ReadHistories(options.input, FinderOf(d));
    if (!histories.ok()) return histories.status();
    for (const UserHistory& history : *histories)
      requests.push_back({.user = history.user, .history = history.items, .held_out = {}});
  }
  if (absl::Status status = AddUsers(options.users, d, requests); !status.ok()) return status;
  if (absl::Status status = AddHistory(options, d, requests); !status.ok()) return status;
  AddSample(options.sample_users, d, requests);
  return requests;
}

// Titles of many scripts and widths: no column follows a title, so nothing has to be measured.
void PrintTable(const data::Dataset& d, const Request& request, const std::vector<eval::ScoredItem>& top) {
  std::cout << (request.user.empty() ? "history given" : absl::StrCat("user ", request.user)) << ": " << request.history.size()
            << " items, the last " << std::min(kShownHistory, request.history.size()) << ":\n";
  const size_t first = request.history.size() - std::min(kShownHistory, request.history.size());
  for (size_t i = first; i < request.history.size(); ++i) {
    std::cout << absl::StreamFormat("      %-12s %s\n", ItemName(d, request.history[i]), ItemTitle(d, request.history[i]));
  }
  std::cout << "  recommended:\n";
  int place = 0;
  for (const eval::ScoredItem& item : top) {
    std::cout << absl::StreamFormat("   %2d %-12s %s  (score %.4f)%s\n", ++place, ItemName(d, item.item), ItemTitle(d, item.item),
                                    item.score, request.held_out == item.item ? "  <- chosen next" : "");
  }
  if (request.held_out) std::cout << "  chosen next: " << ItemTitle(d, *request.held_out) << "\n";
  std::cout << "\n";
}

nlohmann::json ToJson(const data::Dataset& d, const Request& request, const std::vector<eval::ScoredItem>& top) {
  nlohmann::json json = {{"user_id", request.user}, {"history", nlohmann::json::array()}, {"items", nlohmann::json::array()}};
  for (const uint32_t item : request.history)
    json["history"].push_back({{"item_id", ItemName(d, item)}, {"title", ItemTitle(d, item)}});
  for (const auto& item : top) {
    json["items"].push_back({{"item_id", ItemName(d, item.item)}, {"title", ItemTitle(d, item.item)}, {"score", item.score}});
  }
  if (request.held_out)
    json["chosen_next"] = {{"item_id", ItemName(d, *request.held_out)}, {"title", ItemTitle(d, *request.held_out)}};
  return json;
}

class Output {
 public:
  Output(const RecommendOptions& options, const data::Dataset& d) : options_(options), d_(d) {}

  void Add(const Request& request, const std::vector<eval::ScoredItem>& top) {
    if (!options_.out.empty()) {
      int rank = 0;
      for (const auto& item : top) csv_.Add(request.user, ++rank, d_.item_name(item.item), d_.item_title(item.item), item.score);
    } else if (options_.format == "json") {
      all_.push_back(ToJson(d_, request, top));
    } else {
      PrintTable(d_, request, top);
    }
  }

  absl::Status Finish(size_t requests) {
    if (!options_.out.empty()) {
      if (auto status = storage::WriteFileAtomically(options_.out, csv_.text()); !status.ok()) return status;
      std::cout << "wrote recommendations for " << requests << (requests == 1 ? " user to " : " users to ") << options_.out
                << "\n";
    } else if (options_.format == "json") {
      std::cout << all_.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    }
    return absl::OkStatus();
  }

 private:
  const RecommendOptions& options_;
  const data::Dataset& d_;
  nlohmann::json all_ = nlohmann::json::array();
  RecommendationCsv csv_;
};

absl::Status Recommend(const RecommendOptions& options) {
  auto trained = OpenTrainedModel(options.model);
  if (!trained.ok()) return trained.status();
  if (absl::Status status = OpenDatasetOf(options.dataset, *trained); !status.ok()) return status;
  const data::Dataset& d = *trained->dataset;
  const auto requests = RequestsOf(options, d);
  if (!requests.ok()) return requests.status();
  const at::Tensor items = eval::EncodeAllItems(d, *trained->hllm, dist::ProcessGroup::Alone());
  Output output(options, d);
  for (const Request& request : *requests) output.Add(request, eval::TopItems(*trained->hllm, items, request.history, options.k));
  return output.Finish(requests->size());
}

}  // namespace

std::unique_ptr<RecommendOptions> AddRecommend(CLI::App& app) {
  auto options = std::make_unique<RecommendOptions>();
  CLI::App* command =
      app.add_subcommand("recommend", "Top k items for users of a prepared dataset, or for a history given by hand");
  command->add_option("--model", options->model, "best_model/, checkpoint or output_dir of a job")->required();
  command->add_option("--dataset", options->dataset, "Prepared dataset folder it was trained on")->required();
  command->add_option("--user", options->users, "User id; may be repeated");
  command->add_option("--history", options->history, "Item ids, oldest first, separated by commas")->delimiter(',');
  command->add_option("--item", options->items, "One item of a history, by id or title; repeat it, oldest first")
      ->allow_extra_args(false);
  auto* const input =
      command->add_option("--input", options->input, "CSV of histories: user_id,item_id, each user's rows oldest first");
  auto* const out = command->add_option("--out", options->out, "CSV to write: user_id,rank,item_id,title,score");
  input->needs(out);
  out->needs(input);
  command->add_option("--sample-users", options->sample_users, "This many users, their last event kept back")
      ->check(CLI::NonNegativeNumber);
  command->add_option("-k,--k", options->k, "Items to recommend")->check(CLI::Range(1, 100000))->capture_default_str();
  command->add_option("--threads", options->threads, "Compute threads; 0: all")->check(CLI::NonNegativeNumber);
  command->add_option("--format", options->format, "Output")->check(CLI::IsMember({"table", "json"}))->capture_default_str();
  options->command = command;
  return options;
}

int RunRecommend(const RecommendOptions& options) {
  if (options.users.empty() && options.history.empty() && options.items.empty() && options.input.empty() &&
      options.sample_users == 0) {
    std::cerr << "error: nobody to recommend to: give --user, --history, --item, --input or --sample-users\n";
    return 2;
  }
  if (options.threads > 0) at::set_num_threads(options.threads);
  const absl::Status status = train::Fenced([&] { return Recommend(options); });
  if (status.ok()) return 0;
  std::cerr << "error: " << status.message() << "\n";
  return absl::IsNotFound(status) ? kNotFound : 1;
}

}  // namespace pixelrec::tools
