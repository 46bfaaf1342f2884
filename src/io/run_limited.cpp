// fork, resource limits, and a pipe from the child to the parent: one byte that says what follows, then a text.
#include "ladle/io/run_limited.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <new>
#include <string_view>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

constexpr char kResult = 'R';
constexpr char kError = 'E';  ///< followed by one byte with the exit code
constexpr const char* kFix = "get it again from its source, or convert it there to safetensors";

rlim_t address_space_bytes() {
    std::ifstream file("/proc/self/statm");
    rlim_t pages = 0;
    file >> pages;
    return pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE));
}

void set_limit(decltype(RLIMIT_AS) resource, rlim_t value) {
    const rlimit limit{value, value};
    ::setrlimit(resource, &limit);
}

void enter_limits(const ChildLimits& limits) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU, SIGXFSZ, SIGPIPE}) {
        std::signal(signal, SIG_DFL);
    }
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_FSIZE, 0);
    // The soft limit alone: the hard one kills without saying why.
    const rlimit cpu{limits.cpu_seconds, limits.cpu_seconds + 1};
    ::setrlimit(RLIMIT_CPU, &cpu);
    set_limit(RLIMIT_AS, address_space_bytes() + limits.memory_bytes);
}

void send(int pipe, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(pipe, text.data(), text.size());
        if (written < 0 && errno != EINTR) {
            return;
        }
        text.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
    }
}

/// The child's whole life; nothing of the parent's is flushed or destroyed at its end.
[[noreturn]] void serve(int pipe, const std::string& what, const ChildLimits& limits,
                        const std::function<std::string()>& work) {
    enter_limits(limits);
    std::string head(1, kError);
    std::string text;
    try {
        text = work();
        head[0] = kResult;
    } catch (const Error& error) {
        head += static_cast<char>(error.exit_code());
        text = error.what();
    } catch (const std::bad_alloc&) {
        head += static_cast<char>(ExitCode::bad_data);
        text = DataError(what, fmt::format("this took more than {} MiB of memory", limits.memory_bytes >> 20U), kFix)
                   .what();
    } catch (const std::exception& error) {
        head += static_cast<char>(ExitCode::internal);
        text = InternalError(what, error.what()).what();
    }
    send(pipe, head);
    send(pipe, text);
    ::_exit(0);
}

/// Everything the child sends; kills it at the limit of time or bytes and then says why.
std::string receive(int pipe, pid_t child, const ChildLimits& limits, std::string& killed) {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + std::chrono::seconds(limits.wall_seconds);
    std::string received;
    std::array<char, 65536> block{};
    while (true) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd wait{pipe, POLLIN, 0};
        const int ready = left <= 0 ? 0 : ::poll(&wait, 1, static_cast<int>(left));
        if (ready == 0) {
            killed = fmt::format("this took longer than {} s", limits.wall_seconds);
        } else if (ready > 0) {
            const ssize_t taken = ::read(pipe, block.data(), block.size());
            if (taken == 0 || (taken < 0 && errno != EINTR)) {
                return received;
            }
            received.append(block.data(), taken < 0 ? 0 : static_cast<std::size_t>(taken));
            if (received.size() > limits.result_bytes) {
                killed = fmt::format("it holds more than {} MiB", limits.result_bytes >> 20U);
            }
        }
        if (!killed.empty()) {
            ::kill(child, SIGKILL);
            return "";
        }
    }
}

std::string take_result(const std::string& what, const std::string& received, int status) {
    if (WIFSIGNALED(status)) {
        const int signal = WTERMSIG(status);
        const char* text = ::strsignal(signal);
        throw DataError(what,
                        signal == SIGXCPU ? "this took too much CPU time"
                                          : fmt::format("the library that reads it crashed ({})", text),
                        kFix);
    }
    if (received.starts_with(kResult)) {
        return received.substr(1);
    }
    if (received.size() < 2 || received[0] != kError) {
        throw DataError(what, "the process that reads it ended without a result", kFix);
    }
    const auto code = static_cast<ExitCode>(received[1]);
    // What the file made of the child must not let this process end as if all were well.
    if (code == ExitCode::usage || code == ExitCode::internal) {
        throw Error(code, received.substr(2));
    }
    throw DataError(received.substr(2));
}

}  // namespace

std::string run_limited(const std::string& what, const ChildLimits& limits, const std::function<std::string()>& work) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        throw DataError(what, fmt::format("no pipe to a child process: {}", std::strerror(errno)),
                        "close other programs, then try again");
    }
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[0]);
        serve(ends[1], what, limits, work);
    }
    const int reason = errno;
    ::close(ends[1]);
    if (child < 0) {
        ::close(ends[0]);
        throw DataError(what, fmt::format("no child process can be started: {}", std::strerror(reason)),
                        "close other programs, then try again");
    }
    std::string killed;
    std::string received;
    int status = 0;
    try {
        received = receive(ends[0], child, limits, killed);
    } catch (...) {
        ::kill(child, SIGKILL);
        ::close(ends[0]);
        ::waitpid(child, &status, 0);
        throw;
    }
    ::close(ends[0]);
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!killed.empty()) {
        throw DataError(what, killed, kFix);
    }
    return take_result(what, received, status);
}

}  // namespace ladle
