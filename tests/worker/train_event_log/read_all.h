// What a test reads of a log.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace pixelrec::train {

inline std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace pixelrec::train
