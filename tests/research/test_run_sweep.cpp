// The local launcher of a sweep: what it returns after failures and stops.
#include <boost/test/unit_test.hpp>
#include <filesystem>

#include "io/scratch.hpp"
#include "ladle/research/run_sweep.hpp"

namespace ladle {
namespace {

/// Exit code of a sweep of so many runs, one after the other; each is a shell with these words.
int result_of(int runs, bool task_of_array, const std::string& words) {
    const Scratch scratch;
    const auto points = expand_grid({{},
                                     {{"run.seed", "0.." + std::to_string(runs - 1), "command line"},
                                      {"data.dir", "shards", "command line"},
                                      {"model.path", "model", "command line"}}});
    const Sweep sweep = create_sweep(scratch.path("s"), points, std::vector<std::int64_t>(points.size(), 10), false);
    RunnerSettings settings;
    settings.program = scratch.path("program");
    settings.waits_for_owner = task_of_array;
    spill(settings.program, "#!/bin/sh\n" + words + "\n");
    std::filesystem::permissions(settings.program, std::filesystem::perms::owner_all);
    std::vector<int> numbers;
    for (int i = 0; i < runs; ++i) {
        numbers.push_back(i);
    }
    return run_sweep(sweep, numbers, settings, [](const std::string&) {});
}

BOOST_AUTO_TEST_CASE(exit_codes_without_a_stop) {
    BOOST_TEST(result_of(2, false, "exit 0") == 0);
    BOOST_TEST(result_of(2, false, "exit 76") == 76);
    BOOST_TEST(result_of(1, true, "exit 85") == 85);
}

BOOST_AUTO_TEST_CASE(exit_codes_after_a_stop) {
    // The launcher has the signal before the run ends; the run does not mind that it is passed on.
    const std::string stop = "trap '' USR1; kill -USR1 $PPID; exit ";
    for (const bool task : {false, true}) {
        BOOST_TEST(result_of(1, task, stop + "74") == 74);
        BOOST_TEST(result_of(1, task, stop + "85") == 85);
        BOOST_TEST(result_of(1, task, stop + "138") == 138);
        BOOST_TEST(result_of(1, task, stop + "0") == 0);
    }
    // The second run has not been started.
    BOOST_TEST(result_of(2, false, stop + "74") == 85);
    BOOST_TEST(result_of(2, false, stop + "0") == 85);
}

}  // namespace
}  // namespace ladle
