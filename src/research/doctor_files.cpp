// Findings about directories, file systems, shared memory and the GPU driver.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "ladle/backends/gpu_choice.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/research/doctor.hpp"
#include "ladle/train/console.hpp"

namespace ladle {
namespace {

constexpr std::uint64_t kLeastBytes = std::uint64_t{1} << 30U;
constexpr std::uint64_t kLeastInodes = 10000;
constexpr double kSlowWriteSeconds = 0.5;

/// Names that OpenMPI, PMIx and ladle's own windows have in /dev/shm.
bool is_segment(const std::string& name) {
    return name.starts_with("vader_segment.") || name.starts_with("sm_segment.") || name.starts_with("osc_rdma.") ||
           name.starts_with("pmix") || name.starts_with("ompi");
}

/// Files that processes have mapped, as far as this user may know.
std::set<std::string> mapped_files(const std::string& processes, const std::string& prefix) {
    std::set<std::string> mapped;
    std::error_code ignored;
    for (const auto& process : std::filesystem::directory_iterator(processes, ignored)) {
        std::ifstream maps(process.path() / "maps");
        for (std::string line; std::getline(maps, line);) {
            const auto at = line.find(prefix);
            if (at != std::string::npos) {
                mapped.insert(line.substr(at));
            }
        }
    }
    return mapped;
}

/// Two openings of one file: the second must not get the lock that the first holds.
Finding check_locks(const std::string& path) {
    const int first = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const int second = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    Finding finding{Health::good, "locks", "an exclusive lock keeps a second opening out", ""};
    if (first < 0 || second < 0) {
        finding = {Health::failure, "locks", fmt::format("cannot open {}: {}", path, std::strerror(errno)),
                   "choose a directory that you may write"};
    } else if (::flock(first, LOCK_EX | LOCK_NB) != 0) {
        finding = {Health::warning, "locks", fmt::format("this file system gives no locks: {}", std::strerror(errno)),
                   "never start two programs on one run directory here; other HDF5 programs may need "
                   "HDF5_USE_FILE_LOCKING=FALSE"};
    } else if (::flock(second, LOCK_EX | LOCK_NB) == 0) {
        finding = {Health::warning, "locks", "a lock is given twice, so it protects nothing",
                   "never start two programs on one run directory here"};
    }
    for (const int file : {first, second}) {
        if (file >= 0) {
            ::close(file);
        }
    }
    ::unlink(path.c_str());
    return finding;
}

}  // namespace

std::vector<Finding> check_files(const std::string& directory) {
    const std::string path = directory + "/.ladle-doctor";
    const auto start = std::chrono::steady_clock::now();
    try {
        // Write, fsync, rename, fsync of the directory: what every checkpoint goes through, and once more over it.
        write_file(path, std::string(1 << 20, 'x'));
        write_file(path, "second");
        const bool replaced = read_file(path) == "second";
        ::unlink(path.c_str());
        if (!replaced) {
            return {{Health::failure, "files", directory + " does not show what was renamed into place",
                     "choose another file system for run.dir"}};
        }
    } catch (const Error& error) {
        ::unlink(path.c_str());
        std::string why = error.what();
        why = why.substr(0, why.find('\n'));
        return {{Health::failure, "files", why, "choose a directory that you may write, with space"}};
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::vector<Finding> findings;
    const std::string text =
        fmt::format("{}: write, fsync and rename work, {:.0f} ms for two files", directory, 1000 * seconds);
    if (seconds > 2 * kSlowWriteSeconds) {
        findings.push_back({Health::warning, "files", text,
                            "checkpoint less often (checkpoint.every_minutes), or use a faster file system"});
    } else {
        findings.push_back({Health::good, "files", text, ""});
    }
    findings.push_back(check_locks(path));
    return findings;
}

std::vector<Finding> check_space(const std::string& directory) {
    struct statvfs system = {};
    if (::statvfs(directory.c_str(), &system) != 0) {
        return {{Health::failure, "space", fmt::format("{}: {}", directory, std::strerror(errno)),
                 "choose a directory that exists"}};
    }
    const std::uint64_t bytes = static_cast<std::uint64_t>(system.f_bavail) * system.f_frsize;
    // File systems without a fixed number of inodes report none at all.
    const bool counts_inodes = system.f_files > 0;
    const std::string text =
        fmt::format("{}: {} free, {}", directory, readable_bytes(bytes),
                    counts_inodes ? fmt::format("{} inodes free", system.f_favail) : "no limit of inodes");
    if (bytes < kLeastBytes || (counts_inodes && system.f_favail < kLeastInodes)) {
        return {{Health::warning, "space", text,
                 "remove old runs, or lower checkpoint.keep; a sweep needs about ten "
                 "files and a few MB per run"}};
    }
    return {{Health::good, "space", text, ""}};
}

std::vector<Finding> check_shared_memory(const std::string& shared_memory, const std::string& processes) {
    const std::set<std::string> mapped = mapped_files(processes, shared_memory + "/");
    std::uint64_t bytes = 0;
    std::vector<std::string> left;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(shared_memory, ignored)) {
        const std::string path = entry.path().string();
        struct stat status = {};
        if (is_segment(entry.path().filename().string()) && !mapped.contains(path) &&
            ::stat(path.c_str(), &status) == 0 && status.st_uid == ::getuid()) {
            left.push_back(path);
            bytes += static_cast<std::uint64_t>(status.st_size);
        }
    }
    struct statvfs system = {};
    const bool known = ::statvfs(shared_memory.c_str(), &system) == 0;
    const std::uint64_t free_bytes = known ? static_cast<std::uint64_t>(system.f_bavail) * system.f_frsize : 0;
    std::vector<Finding> findings;
    if (!left.empty()) {
        findings.push_back({Health::warning, "shared memory",
                            fmt::format("{} segments of ended jobs are left, {}, e.g. {}", left.size(),
                                        readable_bytes(bytes), left.front()),
                            "remove them while no job of yours runs on this node"});
    }
    if (!known || free_bytes < kLeastBytes) {
        findings.push_back({Health::note, "shared memory",
                            known ? fmt::format("{}: {} free", shared_memory, readable_bytes(free_bytes))
                                  : shared_memory + " is not there",
                            "each rank then keeps frozen weights of its own; in a container raise --shm-size"});
    } else if (left.empty()) {
        findings.push_back(
            {Health::good, "shared memory",
             fmt::format("{}: {} free, no segments of ended jobs", shared_memory, readable_bytes(free_bytes)), ""});
    }
    return findings;
}

std::vector<Finding> check_gpus(const std::string& driver_directory) {
    std::size_t count = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(driver_directory, ignored)) {
        count += entry.path().empty() ? 0 : 1;
    }
    if (count == 0) {
        return {{Health::note, "GPUs", "none on this node; ladle computes on CPUs", ""}};
    }
    const std::string found = fmt::format("{} NVIDIA GPU{} on this node", count, count == 1 ? "" : "s");
    try {
        return {{Health::good, "GPUs", fmt::format("{}, {} of them usable here", found, visible_gpus().size()), ""}};
    } catch (const DeviceError& error) {
        return {{Health::note, "GPUs", found + ", not usable here",
                 std::string(error.what()) + ", or train.device = cpu as by default"}};
    }
}

}  // namespace ladle
