// Where runs start and how: places, ranks, launcher words, Slurm arrays, child processes.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <cstdlib>

#include "io/scratch.hpp"
#include "ladle/core/error.hpp"
#include "ladle/research/launch.hpp"
#include "ladle/research/process.hpp"
#include "ladle/research/slurm_array.hpp"

namespace ladle {
namespace {

using Words = std::vector<std::string>;

/// An environment variable for the length of a test.
class Variable {
public:
    Variable(const char* name, const char* value) : name_(name) {
        const char* before = std::getenv(name);
        was_set_ = before != nullptr;
        before_ = was_set_ ? before : "";
        setenv(name, value, 1);
    }
    ~Variable() { was_set_ ? setenv(name_, before_.c_str(), 1) : unsetenv(name_); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

private:
    const char* name_;
    std::string before_;
    bool was_set_ = false;
};

bool contains(const Words& words, const std::string& word) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

BOOST_AUTO_TEST_CASE(an_allocation_tells_its_nodes) {
    BOOST_TEST(!find_place().allocation);
    const Variable job("SLURM_JOB_ID", "17");
    const Variable cpus("SLURM_JOB_CPUS_PER_NODE", "16(x2),8");
    const Place place = find_place();
    BOOST_TEST(place.allocation);
    BOOST_TEST(place.nodes == 3);
    BOOST_TEST(place.cores_per_node == 8);
    BOOST_TEST(slurm_job() == "17");
    const Variable array("SLURM_ARRAY_JOB_ID", "12");
    const Variable task("SLURM_ARRAY_TASK_ID", "3");
    BOOST_TEST(slurm_job() == "12_3");
    const Variable strange("SLURM_JOB_CPUS_PER_NODE", "16(y2)");
    BOOST_CHECK_THROW(find_place(), DeviceError);
}

BOOST_AUTO_TEST_CASE(ranks_by_cores_runs_and_batch) {
    const Place place{false, 1, 16};
    BOOST_TEST(recommended_ranks(16, place, 1, 32, 4) == 1);
    BOOST_TEST(recommended_ranks(100, place, 1, 32, 4) == 1);
    BOOST_TEST(recommended_ranks(4, place, 1, 32, 4) == 4);
    BOOST_TEST(recommended_ranks(4, place, 2, 32, 4) == 2);
    BOOST_TEST(recommended_ranks(1, place, 1, 32, 4) == 8);   // 8 leaves
    BOOST_TEST(recommended_ranks(1, place, 1, 64, 1) == 16);  // a node
    BOOST_TEST(recommended_ranks(1, {true, 4, 16}, 1, 256, 4) == 16);
    BOOST_TEST(runs_at_once(place, {4, 2}) == 2);
    BOOST_TEST(runs_at_once(place, {3, 1}) == 5);
    BOOST_TEST(runs_at_once({true, 4, 16}, {3, 1}) == 20);
    BOOST_TEST(runs_at_once({true, 4, 16}, {32, 1}) == 2);
    BOOST_TEST(runs_at_once(place, {64, 1}) == 1);
}

BOOST_AUTO_TEST_CASE(words_of_a_launch) {
    BOOST_TEST(launch_words({false, 1, 4}, {1, 1}, "").empty());
    BOOST_TEST(launch_words({false, 1, 4}, {3, 1}, "") == (Words{"mpirun", "-n", "3"}),
               boost::test_tools::per_element());
    const Words step = launch_words({true, 2, 16}, {24, 1}, "");
    BOOST_TEST(step.front() == "srun");
    for (const char* word : {"--mpi=pmix", "--exact", "--mem=0", "--nodes=2", "--ntasks=24", "--cpus-per-task=1"}) {
        BOOST_TEST(contains(step, word), word);
    }
    BOOST_TEST(
        launch_words({true, 2, 16}, {2, 1}, "mpiexec -np {ranks} wrap") == (Words{"mpiexec", "-np", "2", "wrap"}),
        boost::test_tools::per_element());
    BOOST_TEST(batch_launch_words("").front() == "srun");
    BOOST_TEST(batch_launch_words("mpirun") == Words{"mpirun"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(words_of_an_array) {
    BOOST_TEST(array_indices({0, 1, 2, 3, 7, 9, 10}, 4) == "0-3,7,9-10%4");
    BOOST_TEST(array_indices({5}, 0) == "5");
    Sweep sweep;
    sweep.directory = "/s";
    ArrayRequest request;
    request.numbers = {0, 1};
    request.size = {4, 2};
    request.program = "/bin/ladle";
    request.words = {"--account=x"};
    request.excluded = {"n1", "n2"};
    request.switches = {"--launch", "mpirun"};
    const Words expected = {"sbatch",
                            "--parsable",
                            "--array=0-1",
                            "--nodes=1",
                            "--ntasks=4",
                            "--cpus-per-task=2",
                            "--output=/s/logs/slurm-%A_%a.out",
                            "--exclude=n1,n2",
                            "--dependency=afterany:17",
                            "--account=x",
                            "/s/slurm/sweep.sbatch",
                            "/s",
                            "/bin/ladle",
                            "--launch",
                            "mpirun"};
    BOOST_TEST(sbatch_words(sweep, request, "17") == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_missing_sbatch_is_said) {
    BOOST_TEST(!find_program("sh").empty());
    const Variable empty("PATH", "/nowhere");
    BOOST_CHECK_EXCEPTION(submit_array({}, {}), ConfigError, [](const Error& error) {
        return std::string(error.what()).find("--slurm needs sbatch: there is no such program in PATH") == 0;
    });
}

BOOST_AUTO_TEST_CASE(child_processes) {
    const Scratch scratch;
    std::string output;
    BOOST_TEST(run_process({"sh", "-c", "echo out; echo err >&2; exit 7"}, output) == 7);
    BOOST_TEST(output == "out\nerr\n");
    BOOST_CHECK_THROW(run_process({"/no/such/program"}, output), DeviceError);
    SignalGate gate;
    const pid_t child = start_process({{"sh", "-c", "echo $X; kill -9 $$"}, {{"X", "here"}}, scratch.path("log")});
    while (gate.wait(10) != SIGCHLD) {
    }
    int status = 0;
    BOOST_REQUIRE_EQUAL(waitpid(child, &status, 0), child);
    BOOST_TEST(exit_code_of(status) == 128 + SIGKILL);
    BOOST_TEST(slurp(scratch.path("log")) == "here\n");
    BOOST_TEST(gate.wait(0) == 0);
    kill(getpid(), SIGUSR1);
    BOOST_TEST(gate.wait(1) == SIGUSR1);
}

}  // namespace
}  // namespace ladle
