// Directory locks by flock.
#include "ladle/io/file_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

constexpr const char* kName = "/.ladle-lock";
constexpr int kRetries = 20;
constexpr auto kRetryDelay = std::chrono::milliseconds(50);

std::string text_of(int descriptor) {
    std::array<char, 256> text{};
    const ssize_t length = ::pread(descriptor, text.data(), text.size(), 0);
    std::string holder(text.data(), static_cast<std::size_t>(length > 0 ? length : 0));
    while (holder.ends_with('\n')) {
        holder.pop_back();
    }
    return holder.empty() ? "another process" : holder;
}

[[noreturn]] void refuse(const std::string& directory, const std::string& holder) {
    throw ConfigError(directory + " is in use", "it is held by " + holder,
                      "wait for that job or end it; another run takes another run.dir");
}

int try_to_lock(int descriptor, int kind) {
    int result = 0;
    do {
        result = ::flock(descriptor, kind | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    return result;
}

bool is_held_elsewhere(int result) {
    return result != 0 && (errno == EWOULDBLOCK || errno == EACCES);
}

}  // namespace

DirectoryLock::DirectoryLock(const std::string& directory, const std::string& holder) {
    const std::string path = directory + kName;
    // Only a descriptor open for writing can be locked on NFS.
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor_ < 0) {
        throw CheckpointError("cannot make " + path, std::strerror(errno), "check the directory's permissions");
    }
    int result = try_to_lock(descriptor_, LOCK_EX);
    // Somebody may just be looking who works here.
    for (int round = 0; is_held_elsewhere(result) && round < kRetries; ++round) {
        std::this_thread::sleep_for(kRetryDelay);
        result = try_to_lock(descriptor_, LOCK_EX);
    }
    if (is_held_elsewhere(result)) {
        const std::string other = text_of(descriptor_);
        ::close(descriptor_);
        refuse(directory, other);
    }
    locked_ = result == 0;
    const std::string text = holder + "\n";
    // Who holds it is for people: a full disk must not keep a job from the lock itself.
    [[maybe_unused]] const bool noted =
        ::ftruncate(descriptor_, 0) == 0 && ::pwrite(descriptor_, text.data(), text.size(), 0) >= 0;
}

DirectoryLock::~DirectoryLock() {
    [[maybe_unused]] const int emptied = ::ftruncate(descriptor_, 0);
    ::close(descriptor_);
}

std::string lock_holder(const std::string& directory) {
    const int descriptor = ::open((directory + kName).c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return "";
    }
    const std::string holder = is_held_elsewhere(try_to_lock(descriptor, LOCK_SH)) ? text_of(descriptor) : "";
    ::close(descriptor);
    return holder;
}

void check_unlocked(const std::string& directory) {
    if (const std::string holder = lock_holder(directory); !holder.empty()) {
        refuse(directory, holder);
    }
}

}  // namespace ladle
