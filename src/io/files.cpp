// Atomic writing with POSIX calls: the order write, fsync, rename, fsync of the directory survives a crash at any
// point.
#include "ladle/io/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "ladle/core/crash_point.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

constexpr const char* kTemporarySuffix = ".ladle-tmp";

std::filesystem::path parent_of(const std::string& path) {
    const auto parent = std::filesystem::path(path).parent_path();
    return parent.empty() ? std::filesystem::path(".") : parent;
}

std::string temporary_name(const std::string& path) {
    const auto name = std::filesystem::path(path).filename().string();
    return (parent_of(path) / ("." + name + kTemporarySuffix)).string();
}

[[noreturn]] void fail_reading(const std::string& path, const std::string& why) {
    throw DataError("cannot read " + path, why, "check the path and its permissions");
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), temporary_(temporary_name(path_)) {
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor_ < 0) {
        fail("opening a temporary file next to it");
    }
    crash_point("file_opened");
}

AtomicFile::~AtomicFile() {
    discard();
}

void AtomicFile::discard() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);
        descriptor_ = -1;
        ::unlink(temporary_.c_str());
    }
}

void AtomicFile::fail(const char* doing) {
    const std::string reason = std::strerror(errno);
    discard();
    throw CheckpointError("cannot write " + path_, std::string(doing) + " failed: " + reason,
                          "check free space, quota and permissions of the directory");
}

void AtomicFile::add(const void* bytes, std::size_t count) {
    const char* position = static_cast<const char*>(bytes);
    while (count > 0) {
        const ssize_t written = ::write(descriptor_, position, count);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            fail("writing");
        }
        position += written;
        count -= static_cast<std::size_t>(written);
    }
    crash_point("file_added");
}

void AtomicFile::commit() {
    crash_point("file_written");
    if (::fsync(descriptor_) != 0) {
        fail("fsync");
    }
    crash_point("file_synced");
    // Network file systems report a full disk only here.
    const int closed = ::close(descriptor_);
    descriptor_ = -1;
    if (closed != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
        const int reason = errno;
        ::unlink(temporary_.c_str());
        errno = reason;
        fail(closed != 0 ? "close" : "rename");
    }
    crash_point("file_renamed");
    const int directory = ::open(parent_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        fail("opening its directory");
    }
    const int synced = ::fsync(directory);
    const int reason = errno;
    ::close(directory);
    // Some file systems cannot sync a directory and say so with EINVAL; the rename itself has happened.
    if (synced != 0 && reason != EINVAL) {
        errno = reason;
        fail("fsync of its directory");
    }
    crash_point("directory_synced");
}

void write_file(const std::string& path, std::string_view content) {
    AtomicFile file(path);
    file.add(content);
    file.commit();
}

void make_directories(const std::string& path) {
    std::error_code reason;
    std::filesystem::create_directories(path, reason);
    if (!directory_exists(path)) {
        const std::string why = file_exists(path) ? "a file has that name" : reason.message();
        throw CheckpointError("cannot make the directory " + path, why,
                              "check the path and the permissions of its parent");
    }
}

void check_writable(const std::string& directory) {
    std::filesystem::path existing = directory;
    std::error_code ignored;
    while (!std::filesystem::exists(existing, ignored)) {
        existing = existing.has_parent_path() && existing.parent_path() != existing ? existing.parent_path() : ".";
    }
    const bool is_directory = directory_exists(existing.string());
    if (!is_directory || ::access(existing.c_str(), W_OK | X_OK) != 0) {
        const std::string why = is_directory ? std::strerror(errno) : "it is a file";
        throw CheckpointError("cannot write into the directory " + directory, existing.string() + ": " + why,
                              "check the path and its permissions");
    }
}

void remove_temporaries(const std::string& directory) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with(".") && name.ends_with(kTemporarySuffix)) {
            std::filesystem::remove(entry.path(), ignored);
        }
    }
}

bool file_exists(const std::string& path) {
    std::error_code ignored;
    return std::filesystem::is_regular_file(path, ignored);
}

bool directory_exists(const std::string& path) {
    std::error_code ignored;
    return std::filesystem::is_directory(path, ignored);
}

std::vector<std::string> list_files(const std::string& directory) {
    std::error_code reason;
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory, reason)) {
        const std::string name = entry.path().filename().string();
        if (entry.is_regular_file() && !name.starts_with(".")) {
            names.push_back(name);
        }
    }
    if (reason) {
        fail_reading(directory, reason.message());
    }
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace ladle
