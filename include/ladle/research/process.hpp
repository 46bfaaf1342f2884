// Child processes and the signals that steer them. Used by jobs that make no MPI call.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <string>
#include <utility>
#include <vector>

namespace ladle {

/// Path of a program as a shell would find it in PATH; empty if there is none.
std::string find_program(const std::string& name);

/// What to start.
struct Command {
    std::vector<std::string> words;                                ///< the program, looked for in PATH, and its words
    std::vector<std::pair<std::string, std::string>> environment;  ///< set beside what this process has
    std::string log_path;                                          ///< standard output and error are added to this file
};

/// Starts a process in a process group of its own, so that Ctrl-C at the terminal reaches only this program, which
/// passes it on. Signals are as a shell would leave them. Throws DeviceError.
pid_t start_process(const Command& command);

/// Exit code of a process, from what waitpid reported; 128 + signal if a signal ended it, as shells say.
int exit_code_of(int wait_status);

/// Runs a program to its end and returns its exit code; `output` receives standard output and error.
int run_process(const std::vector<std::string>& words, std::string& output);

/// While this lives, SIGINT, SIGTERM, SIGUSR1 and SIGCHLD do nothing but wake wait().
class SignalGate {
public:
    SignalGate();
    ~SignalGate();
    SignalGate(const SignalGate&) = delete;
    SignalGate& operator=(const SignalGate&) = delete;
    /// The next of those signals, or 0 after this much time.
    int wait(int seconds);

private:
    sigset_t waited_{};
    sigset_t before_{};
};

}  // namespace ladle
