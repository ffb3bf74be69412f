// Certificates for tests, made when they run.
//
// Threads: any.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <openssl/types.h>

#include "absl/time/time.h"

namespace pixelrec {

class TestCa {
 public:
  struct Subject {
    std::string uri = {};                                            // "pixelrec://ROLE/NAME"; empty: none
    std::string more_uris = {};                                      // "URI:a,URI:b"
    bool server = false;                                             // for 127.0.0.1, ::1 and localhost
    absl::Duration begins = -absl::Hours(1), ends = absl::Hours(1);  // from now
  };
  // Files NAME.pem and NAME.key.
  struct Files {
    std::filesystem::path cert, key;
  };

  TestCa();
  ~TestCa();

  const std::string& pem() const { return pem_; }
  // Also replaces: each file by a rename.
  Files Issue(const std::filesystem::path& folder, const std::string& name, const Subject& subject) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
  std::string pem_;
};

}  // namespace pixelrec
