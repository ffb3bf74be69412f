// The real pixelrecctl as a child of the test.
//
// Threads: one.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "common/process/child.h"

namespace pixelrec::ctl {

struct CtlRun {
  int exit_code = -1;
  std::string output;  // stdout and stderr
};

class CtlProcess : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::path(testing::TempDir()) / ("ctl." + std::to_string(getpid()));
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::vector<std::string> Environment() const {
    std::vector<std::string> environment = process::AllowedEnvironment({"PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"});
    environment.push_back("HOME=" + dir_.string());
    environment.push_back("TZ=UTC");
    environment.push_back("PIXELREC_LOCAL_DIR=" + (dir_ / "local").string());
    environment.push_back("PIXELREC_CACHE=" + (dir_ / "cache").string());
    environment.insert(environment.end(), extra_environment_.begin(), extra_environment_.end());
    return environment;
  }

  std::unique_ptr<process::Child> Start(const std::vector<std::string>& arguments,
                                        const std::filesystem::path& program = std::filesystem::path(PIXELREC_BIN_DIR) /
                                                                               "pixelrecctl") {
    std::filesystem::remove(OutputFile());
    auto child =
        process::Child::Spawn({.program = program, .arguments = arguments, .environment = Environment(), .output = OutputFile()});
    EXPECT_TRUE(child.ok()) << child.status();
    return child.ok() ? *std::move(child) : nullptr;
  }
  CtlRun Finish(process::Child& child) {
    pollfd fd = {child.pidfd(), POLLIN, 0};
    EXPECT_EQ(poll(&fd, 1, 50000), 1) << "pixelrecctl does not end";
    const auto exit = child.Reap();
    return {exit ? exit->code : -1, Output()};
  }
  CtlRun Run(const std::vector<std::string>& arguments) {
    const auto child = Start(arguments);
    return child == nullptr ? CtlRun() : Finish(*child);
  }

  CtlRun RunProgram(const std::filesystem::path& program, const std::vector<std::string>& arguments) {
    const auto child = Start(arguments, program);
    return child == nullptr ? CtlRun() : Finish(*child);
  }

  std::filesystem::path OutputFile() const { return dir_ / "output"; }
  std::string Output() const {
    std::ifstream in(OutputFile(), std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  }
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(dir_ / name) << text;
    return (dir_ / name).string();
  }
  // A job whose files exist.
  std::string JobFile(const std::string& extra = "") {
    Write("i.csv", "user_id,item_id\n");
    Write("t.csv", "item_id,title\n");
    std::filesystem::create_directories(dir_ / "m");
    Write("m/config.json", "{}");
    return Write("job.yaml",
                 "metadata: {name: demo}\nspec:\n  data: {interaction_data: i.csv, text_data: t.csv}\n"
                 "  model: {item_model_dir: m, user_model_dir: m}\n  output_dir: out\n" +
                     extra);
  }

  std::filesystem::path dir_;
  std::vector<std::string> extra_environment_;
};

}  // namespace pixelrec::ctl
