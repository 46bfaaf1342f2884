// Main of the stand-in's tests, and their helper that runs code in a child process.
#define BOOST_TEST_MODULE standin
#include <boost/test/unit_test.hpp>

#include "support.hpp"

ChildResult run_in_child(const std::vector<std::string>& environment, const std::function<int()>& function) {
    int ends[2];
    BOOST_REQUIRE(pipe(ends) == 0);
    std::fflush(nullptr);
    const pid_t child = fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
        for (const std::string& setting : environment) {
            putenv(const_cast<char*>(setting.c_str()));
        }
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        for (const int signal_number : {SIGSEGV, SIGABRT, SIGFPE, SIGBUS}) {
            signal(signal_number, SIG_DFL);  // not Boost.Test's handlers
        }
        int code = 3;
        try {
            code = function();
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
        }
        std::fflush(nullptr);
        _exit(code);
    }
    close(ends[1]);
    ChildResult result;
    char buffer[4096];
    for (ssize_t got = 0; (got = read(ends[0], buffer, sizeof buffer)) > 0;) {
        result.text.append(buffer, static_cast<std::size_t>(got));
    }
    close(ends[0]);
    int state = 0;
    waitpid(child, &state, 0);
    result.exit_code = WIFEXITED(state) ? WEXITSTATUS(state) : -1;
    result.signal = WIFSIGNALED(state) ? WTERMSIG(state) : 0;
    return result;
}
