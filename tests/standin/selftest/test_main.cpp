// Main of the stand-in's tests, and their helper that runs code in a child process.
#define BOOST_TEST_MODULE standin
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/results_collector.hpp>
#include <boost/test/unit_test.hpp>

#include "support.hpp"

namespace {

constexpr const char* kChildVariable = "STANDIN_TEST_CHILD";

/// How many times run_in_child was called before in this test case.
int count_call() {
    static std::string last_name;
    static int calls = 0;
    const std::string name = boost::unit_test::framework::current_test_case().full_name();
    calls = name == last_name ? calls + 1 : 0;
    last_name = name;
    return calls;
}

[[noreturn]] void run_as_child(const std::function<int()>& function) {
    int code = 3;
    const unsigned long failed_before = failed_checks();
    try {
        code = function();
        code = code == 0 && failed_checks() != failed_before ? 4 : code;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
    }
    std::fflush(nullptr);
    _exit(code);
}

[[noreturn]] void become_child(int call, const std::vector<std::string>& environment, int error_output) {
    for (const std::string& setting : environment) {
        putenv(const_cast<char*>(setting.c_str()));
    }
    setenv(kChildVariable, std::to_string(call).c_str(), 1);
    dup2(error_output, STDERR_FILENO);
    dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
    const std::string test = "--run_test=" + boost::unit_test::framework::current_test_case().full_name();
    execl("/proc/self/exe", "standin_selftest", test.c_str(), "--catch_system_errors=no", "--log_level=nothing",
          static_cast<char*>(nullptr));
    _exit(127);
}

}  // namespace

unsigned long failed_checks() {
    const auto id = boost::unit_test::framework::current_test_case().p_id;
    return boost::unit_test::results_collector.results(id).p_assertions_failed;
}

// A forked child has no worker thread, so the child is this program again, in the same test case, up to the same call.
ChildResult run_in_child(const std::vector<std::string>& environment, const std::function<int()>& function) {
    const int call = count_call();
    if (const char* wanted = std::getenv(kChildVariable)) {
        if (std::stoi(wanted) != call) {
            return {};
        }
        run_as_child(function);
    }
    int ends[2];
    BOOST_REQUIRE(pipe(ends) == 0);
    std::fflush(nullptr);
    const pid_t child = fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
        close(ends[0]);
        become_child(call, environment, ends[1]);
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
