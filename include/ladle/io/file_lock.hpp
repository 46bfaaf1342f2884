// A lock on a directory against a second job that would write into it at the same time.
#pragma once

#include <string>

namespace ladle {

/// Holds the file `.ladle-lock` of a directory locked (flock; on NFS the client turns it into a lock at the server) and
/// writes into it who holds it. The operating system gives the lock back when the process ends, however it ends: a
/// killed job blocks nobody. The file itself stays, empty unless its holder was killed.
class DirectoryLock {
public:
    /// `holder` says who asks, e.g. "host node7, process 1234". Throws ConfigError naming the holder if another process
    /// has the lock, and CheckpointError if the file cannot be made.
    DirectoryLock(const std::string& directory, const std::string& holder);
    ~DirectoryLock();
    DirectoryLock(const DirectoryLock&) = delete;
    DirectoryLock& operator=(const DirectoryLock&) = delete;
    /// False where the file system offers no locks: a second job would not be noticed.
    bool is_locked() const { return locked_; }

private:
    int descriptor_ = -1;
    bool locked_ = false;
};

/// Who holds the lock of a directory now; empty if nobody does. Makes nothing.
std::string lock_holder(const std::string& directory);
/// Throws the ConfigError of DirectoryLock if another process has the lock. Makes nothing.
void check_unlocked(const std::string& directory);

}  // namespace ladle
