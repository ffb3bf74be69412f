// Whether a file may have changed since it was last read, without reading it.
//
// Threads: pure functions of the file system.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>

namespace pixelrec::storage {

struct FileStamp {
  uint64_t device = 0, inode = 0, bytes = 0;
  int64_t modified_ns = 0, changed_ns = 0;  // since the epoch
  bool exists = false;
  // So old that a later change can't carry the same times: clocks of file systems tick every few milliseconds.
  bool settled = false;

  // Whether what was read under this stamp is what lies there under `now`. Two absences are alike.
  bool Covers(const FileStamp& now) const {
    return exists == now.exists && (!exists || settled) && device == now.device && inode == now.inode && bytes == now.bytes &&
           modified_ns == now.modified_ns && changed_ns == now.changed_ns;
  }
};

// Follows links. A file that can't be looked at counts as absent.
FileStamp StampOf(const std::filesystem::path& file);

}  // namespace pixelrec::storage
