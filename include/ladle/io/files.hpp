// Atomic writing and what is in a directory: a file is either complete under its name or not there.
// Every writer of the program (HDF5, safetensors, torch, JSON, README) ends here.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "ladle/core/read_file.hpp"

namespace ladle {

/// A file being written under a hidden temporary name in its own directory. commit() closes, syncs the file, renames
/// it and syncs the directory; without commit() the temporary is removed. One writer per path at a time.
class AtomicFile {
public:
    /// Throws CheckpointError naming path and system error; so do add() and commit(), after removing the temporary.
    explicit AtomicFile(std::string path);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;
    void add(const void* bytes, std::size_t count);
    void add(std::string_view text) { add(text.data(), text.size()); }
    void commit();

private:
    [[noreturn]] void fail(const char* doing);
    void discard();

    std::string path_;
    std::string temporary_;
    int descriptor_ = -1;
};

/// Writes a whole file atomically; throws CheckpointError.
void write_file(const std::string& path, std::string_view content);

/// Makes a directory and its parents; an existing one is fine. Throws CheckpointError.
void make_directories(const std::string& path);

/// Throws CheckpointError if make_directories or writing into the directory would be refused; makes nothing.
void check_writable(const std::string& directory);

/// Removes temporaries that an interrupted writer left in a directory (names ".<name>.ladle-tmp").
void remove_temporaries(const std::string& directory);

bool file_exists(const std::string& path);
bool directory_exists(const std::string& path);

/// Names of the regular files of a directory, sorted, hidden ones left out; throws DataError.
std::vector<std::string> list_files(const std::string& directory);

}  // namespace ladle
