// What the fuzzing targets share: inputs as texts and files, and the check that ends a run.
#pragma once

#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "ladle/core/tensor.hpp"

namespace ladle_fuzz {

inline std::string_view text_of(const std::uint8_t* bytes, std::size_t count) {
    return {reinterpret_cast<const char*>(bytes), count};
}

/// Ends the process as a finding unless the condition holds.
inline void require(bool condition, const char* what) {
    if (!condition) {
        std::fprintf(stderr, "fuzzing check failed: %s\n", what);
        std::abort();
    }
}

/// Ends the process as a finding if an input takes more than a second of processor time while this lives. libFuzzer's
/// own limit counts the time of a busy machine as well.
class TimeLimit {
public:
    TimeLimit() {
        std::signal(SIGPROF, [](int) { std::abort(); });
        set(1);
    }
    ~TimeLimit() { set(0); }
    TimeLimit(const TimeLimit&) = delete;
    TimeLimit& operator=(const TimeLimit&) = delete;

private:
    static void set(time_t seconds) {
        const itimerval value{{0, 0}, {seconds, 0}};
        require(::setitimer(ITIMER_PROF, &value, nullptr) == 0, "setitimer");
    }
};

inline bool same(const ladle::Tensor& a, const ladle::Tensor& b) {
    return a.dtype == b.dtype && a.shape == b.shape && a.bytes == b.bytes;
}

/// A finding unless both lists or maps hold the same tensors in the same order.
template <class Tensors>
void require_same(const Tensors& a, const Tensors& b) {
    const auto equal = [](const auto& x, const auto& y) { return x.first == y.first && same(x.second, y.second); };
    require(std::equal(a.begin(), a.end(), b.begin(), b.end(), equal), "the tensors come back");
}

/// A file in memory with a path, for parsers that open files.
class MemoryFile {
public:
    MemoryFile() : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) { require(descriptor_ >= 0, "memfd_create"); }
    ~MemoryFile() { ::close(descriptor_); }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;

    void set(std::string_view content) const {
        require(::ftruncate(descriptor_, 0) == 0, "ftruncate");
        require(::pwrite(descriptor_, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()),
                "pwrite");
    }
    std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

private:
    int descriptor_;
};

/// A directory in memory that this process leaves behind empty-handed: it is removed at exit.
class MemoryDirectory {
public:
    MemoryDirectory() { require(::mkdtemp(path_.data()) != nullptr, "mkdtemp in /dev/shm"); }
    ~MemoryDirectory() {
        const std::string command = "rm -rf " + path_;
        require(std::system(command.c_str()) == 0, "rm");
    }
    MemoryDirectory(const MemoryDirectory&) = delete;
    MemoryDirectory& operator=(const MemoryDirectory&) = delete;
    std::string path(const std::string& name) const { return path_ + "/" + name; }
    const std::string& path() const { return path_; }

private:
    std::string path_ = "/dev/shm/ladle-fuzz-XXXXXX";
};

}  // namespace ladle_fuzz
