// The child process with limits: what comes back, and what becomes of a child that crashes, loops or eats memory.
#include <unistd.h>

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>
#include <vector>

#include "ladle/io/run_limited.hpp"
#include "names.hpp"
#include "scratch.hpp"

namespace {

using ladle::ChildLimits;
using ladle::DataError;
using ladle::run_limited;

/// Sanitizers take their own memory and turn some crashes into exits.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::string loop_forever() {
    // A loop without effect may be taken away.
    std::atomic<unsigned int> turns = 0;
    while (true) {
        ++turns;
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(child_with_limits)

BOOST_AUTO_TEST_CASE(results_of_any_size_come_back) {
    const std::string large(3000000, '\0');
    BOOST_TEST(run_limited("w", {}, [] { return std::string(); }) == "");
    BOOST_TEST((run_limited("w", {}, [&] { return large; }) == large));
}

BOOST_AUTO_TEST_CASE(the_child_changes_nothing_here) {
    int value = 1;
    run_limited("w", {}, [&] { return std::to_string(++value); });
    BOOST_TEST(value == 1);
}

BOOST_AUTO_TEST_CASE(errors_keep_their_text_and_exit_code) {
    const auto data = []() -> std::string { throw DataError("what", "why", "fix"); };
    BOOST_CHECK_EXCEPTION(run_limited("w", {}, data), DataError, names("what: why\n  fix: fix"));
    const auto config = []() -> std::string { throw ladle::ConfigError("what", "why", "fix"); };
    BOOST_CHECK_EXCEPTION(run_limited("w", {}, config), ladle::Error,
                          [](const ladle::Error& error) { return error.exit_code() == ladle::ExitCode::usage; });
    const auto requeue = []() -> std::string { throw ladle::Error(ladle::ExitCode::requeue, "text"); };
    BOOST_CHECK_EXCEPTION(run_limited("w", {}, requeue), DataError, names("text"));
    const auto other = []() -> std::string { throw std::logic_error("odd"); };
    BOOST_CHECK_EXCEPTION(run_limited("w", {}, other), ladle::Error, names("odd"));
}

BOOST_AUTO_TEST_CASE(a_child_that_crashes_is_named) {
    const auto crash = []() -> std::string {
        std::signal(SIGSEGV, SIG_DFL);
        ::raise(SIGSEGV);
        return "";
    };
    BOOST_CHECK_EXCEPTION(run_limited("cannot read x", {}, crash), DataError, names("crashed (Segmentation fault)"));
    BOOST_CHECK_EXCEPTION(run_limited("cannot read x", {}, crash), DataError, names("cannot read x"));
    const auto leave = []() -> std::string { ::_exit(0); };
    BOOST_CHECK_EXCEPTION(run_limited("cannot read x", {}, leave), DataError, names("without a result"));
}

BOOST_AUTO_TEST_CASE(a_child_that_loops_is_ended) {
    ChildLimits limits;
    limits.cpu_seconds = 1;
    BOOST_CHECK_EXCEPTION(run_limited("cannot read x", limits, loop_forever), DataError, names("CPU time"));
}

BOOST_AUTO_TEST_CASE(a_child_that_waits_is_ended) {
    ChildLimits limits;
    limits.wall_seconds = 1;
    const auto wait = []() -> std::string {
        std::this_thread::sleep_for(std::chrono::hours(1));
        return "";
    };
    BOOST_CHECK_EXCEPTION(run_limited("cannot read x", limits, wait), DataError, names("longer than 1 s"));
}

BOOST_AUTO_TEST_CASE(a_child_that_eats_memory_is_ended, *boost::unit_test::enable_if<!kSanitized>()) {
    ChildLimits limits;
    limits.memory_bytes = std::size_t{64} << 20U;
    const auto eat = []() -> std::string { return std::string(std::size_t{128} << 20U, 'x'); };
    BOOST_CHECK_EXCEPTION(run_limited("cannot read x", limits, eat), DataError, names("more than 64 MiB of memory"));
}

BOOST_AUTO_TEST_CASE(a_result_without_end_is_refused) {
    ChildLimits limits;
    limits.result_bytes = std::size_t{1} << 20U;
    const auto talk = [] { return std::string(std::size_t{2} << 20U, 'x'); };
    BOOST_CHECK_EXCEPTION(run_limited("cannot read x", limits, talk), DataError, names("more than 1 MiB"));
}

BOOST_AUTO_TEST_CASE(the_child_cannot_write_files) {
    const Scratch scratch;
    const auto write = [&] {
        std::ofstream(scratch.path("a")) << "text" << std::flush;
        return std::string("written");
    };
    BOOST_CHECK_EXCEPTION(run_limited("cannot read x", {}, write), DataError, names("File size limit"));
    BOOST_TEST(slurp(scratch.path("a")) == "");
}

BOOST_AUTO_TEST_SUITE_END()
