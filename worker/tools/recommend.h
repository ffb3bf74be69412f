// pixelrec-trainer recommend: a user's or a given history -> the top k items, with titles and scores.
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
  std::vector<std::string> history;
  int sample_users = 0;
  int k = 5;
  int threads = 0;
  std::string format = "table";
};

std::unique_ptr<RecommendOptions> AddRecommend(CLI::App& app);
// Exit code: 0, 3 (no such user, item, model or dataset), 2 (nothing asked for), 1.
int RunRecommend(const RecommendOptions& options);

}  // namespace pixelrec::tools
