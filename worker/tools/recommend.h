// pixelrec-trainer recommend: a user's or a given history -> the top k items, with titles and scores; or a CSV of histories -> a
// CSV of recommendations.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

namespace pixelrec::tools {

struct RecommendOptions {
  CLI::App* command = nullptr;  // owned by the program's CLI::App
  std::string model;
  std::string dataset;
  std::vector<std::string> users;
  std::vector<std::string> history;  // item ids
  std::vector<std::string> items;    // ids or titles
  std::string input;                 // CSV: user_id, item_id
  std::string out;                   // CSV: user_id, rank, item_id, title, score
  int sample_users = 0;
  int k = 5;
  int threads = 0;
  std::string format = "table";
};

std::unique_ptr<RecommendOptions> AddRecommend(CLI::App& app);
// Exit code: 0, 3 (no such user, item, model, dataset or file), 2 (usage), 1.
int RunRecommend(const RecommendOptions& options);

}  // namespace pixelrec::tools
