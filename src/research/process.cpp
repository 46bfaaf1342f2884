// Child processes through posix_spawn.
#include "ladle/research/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "ladle/core/error.hpp"

extern char** environ;

namespace ladle {
namespace {

constexpr std::array<int, 4> kGatedSignals = {SIGINT, SIGTERM, SIGUSR1, SIGCHLD};
constexpr int kShellSignalBase = 128;

void check_call(int result, const std::string& what) {
    if (result != 0) {
        throw DeviceError(what, std::strerror(result), "check that it is installed and in PATH");
    }
}

/// posix_spawn's two descriptions, released at the end.
struct SpawnSetup {
    posix_spawn_file_actions_t files{};
    posix_spawnattr_t attributes{};

    SpawnSetup() {
        posix_spawn_file_actions_init(&files);
        posix_spawnattr_init(&attributes);
        sigset_t none;
        sigset_t all;
        sigemptyset(&none);
        sigemptyset(&all);
        for (const int signal : kGatedSignals) {
            sigaddset(&all, signal);
        }
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    }
    ~SpawnSetup() {
        posix_spawn_file_actions_destroy(&files);
        posix_spawnattr_destroy(&attributes);
    }
    SpawnSetup(const SpawnSetup&) = delete;
    SpawnSetup& operator=(const SpawnSetup&) = delete;
};

/// This process's environment with the given variables in place of its own.
std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& more) {
    std::vector<std::string> all;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text = *entry;
        bool replaced = false;
        for (const auto& [name, value] : more) {
            replaced = replaced || text.starts_with(name + "=");
        }
        if (!replaced) {
            all.push_back(text);
        }
    }
    for (const auto& [name, value] : more) {
        all.push_back(name + "=" + value);
    }
    return all;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
    std::vector<char*> result;
    for (std::string& word : words) {
        result.push_back(word.data());
    }
    result.push_back(nullptr);
    return result;
}

pid_t spawn(const SpawnSetup& setup, std::vector<std::string> words, std::vector<std::string> environment) {
    pid_t process = 0;
    check_call(posix_spawnp(&process, words.front().c_str(), &setup.files, &setup.attributes, pointers(words).data(),
                            pointers(environment).data()),
               "cannot start " + words.front());
    return process;
}

}  // namespace

std::string find_program(const std::string& name) {
    const char* path = std::getenv("PATH");
    std::istringstream directories(path == nullptr ? "" : path);
    if (name.find('/') != std::string::npos) {
        return ::access(name.c_str(), X_OK) == 0 ? name : "";
    }
    for (std::string directory; std::getline(directories, directory, ':');) {
        const std::string candidate = directory + "/" + name;
        std::error_code none;
        if (std::filesystem::is_regular_file(candidate, none) && ::access(candidate.c_str(), X_OK) == 0) {
            return candidate;
        }
    }
    return "";
}

pid_t start_process(const Command& command) {
    SpawnSetup setup;
    posix_spawn_file_actions_addopen(&setup.files, STDOUT_FILENO, command.log_path.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0666);
    posix_spawn_file_actions_adddup2(&setup.files, STDOUT_FILENO, STDERR_FILENO);
    return spawn(setup, command.words, environment_with(command.environment));
}

int exit_code_of(int wait_status) {
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : kShellSignalBase + WTERMSIG(wait_status);
}

int run_process(const std::vector<std::string>& words, std::string& output) {
    std::array<int, 2> pipe_ends{};
    check_call(::pipe2(pipe_ends.data(), O_CLOEXEC) == 0 ? 0 : errno, "cannot make a pipe");
    SpawnSetup setup;
    posix_spawn_file_actions_adddup2(&setup.files, pipe_ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&setup.files, pipe_ends[1], STDERR_FILENO);
    pid_t process = 0;
    try {
        process = spawn(setup, words, environment_with({}));
    } catch (...) {
        ::close(pipe_ends[0]);
        ::close(pipe_ends[1]);
        throw;
    }
    ::close(pipe_ends[1]);
    std::array<char, 4096> piece{};
    ssize_t count = 0;
    while ((count = ::read(pipe_ends[0], piece.data(), piece.size())) > 0 || (count < 0 && errno == EINTR)) {
        output.append(piece.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    }
    ::close(pipe_ends[0]);
    int status = 0;
    while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
    }
    return exit_code_of(status);
}

SignalGate::SignalGate() {
    sigemptyset(&waited_);
    for (const int signal : kGatedSignals) {
        sigaddset(&waited_, signal);
    }
    sigprocmask(SIG_BLOCK, &waited_, &before_);
}

SignalGate::~SignalGate() {
    // What arrived and was not waited for must not end the process now.
    while (wait(0) != 0) {
    }
    sigprocmask(SIG_SETMASK, &before_, nullptr);
}

int SignalGate::wait(int seconds) {
    const timespec limit{seconds, 0};
    const int signal = sigtimedwait(&waited_, nullptr, &limit);
    return signal < 0 ? 0 : signal;
}

}  // namespace ladle
