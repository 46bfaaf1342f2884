// The run directory: whose it is, what it refuses, manifest and triggers.
#include <fmt/format.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "io/scratch.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/train/run_directory.hpp"

using namespace ladle;

namespace {

const Identity kIdentity = {"optim.lr = 0.001\nrun.seed = 1\n", "data = abc\n", "compiler = g++ 12\n"};

RunDirectory enter(const std::string& path, const Identity& identity, bool allow_new_hardware = false) {
    return RunDirectory(path, identity, allow_new_hardware, "[run]\nseed = 1\n", {});
}

template <class Call>
void expect_refusal(Call call, const std::string& part) {
    BOOST_CHECK_EXCEPTION(call(), ConfigError, [&](const ConfigError& error) {
        BOOST_TEST_MESSAGE(error.what());
        return std::string(error.what()).find(part) != std::string::npos;
    });
}

nlohmann::json manifest_of(const std::string& path) {
    return nlohmann::json::parse(read_file(path + "/manifest.json"));
}

}  // namespace

BOOST_AUTO_TEST_CASE(differences_name_both_values_and_missing_names) {
    const std::vector<std::string> found = identity_differences("a = 1\nb = 2\nc = x = y\n", "a = 1\nb = 3\nd = 4\n");
    const std::vector<std::string> expected = {"b: 2 then, 3 now", "c: x = y then, nothing now",
                                               "d: nothing then, 4 now"};
    BOOST_TEST(found == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_run_is_made_once_and_entered_again) {
    const Scratch parent;
    const std::string path = parent.directory() + "/runs/a";
    {
        RunDirectory run = enter(path, kIdentity);
        run.record_end(20, "requeue");
        BOOST_TEST(std::filesystem::is_directory(run.checkpoint_directory()));
    }
    enter(path, kIdentity);
    BOOST_TEST(read_file(path + "/config.cfg") == "[run]\nseed = 1\n");
    const nlohmann::json manifest = manifest_of(path);
    BOOST_TEST(manifest.at("starts").size() == 2U);
    BOOST_TEST(manifest.at("starts")[0].at("steps_done") == 20);
    BOOST_TEST(manifest.at("starts")[0].at("reason") == "requeue");
    BOOST_TEST(!manifest.at("starts")[1].contains("reason"));
}

BOOST_AUTO_TEST_CASE(another_run_is_refused_and_left_alone) {
    const Scratch parent;
    const std::string path = parent.directory() + "/a";
    enter(path, kIdentity);
    const std::string before = read_file(path + "/manifest.json");
    Identity other = kIdentity;
    other.options = "optim.lr = 0.002\nrun.seed = 1\n";
    expect_refusal([&] { enter(path, other); }, "optim.lr: 0.001 then, 0.002 now");
    other = kIdentity;
    other.inputs = "data = abd\n";
    expect_refusal([&] { enter(path, other, true); }, "data: abc then, abd now");
    BOOST_TEST(read_file(path + "/manifest.json") == before);
}

BOOST_AUTO_TEST_CASE(another_machine_needs_permission_and_is_recorded) {
    const Scratch parent;
    const std::string path = parent.directory() + "/a";
    enter(path, kIdentity);
    Identity other = kIdentity;
    other.machine = "compiler = g++ 13\n";
    expect_refusal([&] { enter(path, other); }, "--allow-new-hardware");
    enter(path, other, true).record_machine(20);
    BOOST_TEST(manifest_of(path).at("identity").at("machine") == kIdentity.machine);
    const nlohmann::json change = {{"step", 20}, {"machine", other.machine}};
    BOOST_TEST(manifest_of(path).at("machine_changes") == nlohmann::json::array({change}));
    // The machine of the change is now the run's.
    enter(path, other).record_machine(40);
    BOOST_TEST(manifest_of(path).at("machine_changes").size() == 1U);
    expect_refusal([&] { enter(path, kIdentity); }, "compiler: g++ 13 then, g++ 12 now");
}

BOOST_AUTO_TEST_CASE(a_machine_whose_steps_are_done_again_is_forgotten) {
    const Scratch parent;
    const std::string path = parent.directory() + "/a";
    enter(path, kIdentity).record_machine(0);
    BOOST_TEST(manifest_of(path).at("machine_changes").empty());
    Identity other = kIdentity;
    other.machine = "compiler = g++ 13\n";
    enter(path, other, true).record_machine(20);
    enter(path, kIdentity, true).record_machine(20);
    BOOST_TEST(manifest_of(path).at("machine_changes").empty());
    enter(path, kIdentity);
}

BOOST_AUTO_TEST_CASE(files_of_a_run_without_a_manifest_are_not_touched) {
    const Scratch parent;
    std::ofstream(parent.directory() + "/soup.h5") << "precious";
    expect_refusal([&] { enter(parent.directory(), kIdentity); }, "soup.h5");
    BOOST_TEST(read_file(parent.directory() + "/soup.h5") == "precious");
    BOOST_TEST(!std::filesystem::exists(parent.directory() + "/config.cfg"));
}

BOOST_AUTO_TEST_CASE(what_an_interrupted_writer_left_is_removed) {
    const Scratch parent;
    enter(parent.directory(), kIdentity);
    std::ofstream(parent.directory() + "/.soup.h5.ladle-tmp") << "half";
    enter(parent.directory(), kIdentity);
    BOOST_TEST(!std::filesystem::exists(parent.directory() + "/.soup.h5.ladle-tmp"));
}

BOOST_AUTO_TEST_CASE(a_second_job_is_refused_while_the_first_one_lives) {
    const Scratch parent;
    {
        const RunDirectory first = enter(parent.directory(), kIdentity);
        BOOST_TEST(first.is_locked());
        const std::string before = read_file(parent.directory() + "/manifest.json");
        expect_refusal([&] { enter(parent.directory(), kIdentity); }, "is in use: it is held by host");
        expect_refusal([&] { check_run_directory(parent.directory(), kIdentity, false); },
                       "is in use: it is held by host");
        expect_refusal([&] { enter(parent.directory(), kIdentity); }, fmt::format("process {}", getpid()));
        BOOST_TEST(read_file(parent.directory() + "/manifest.json") == before);
    }
    enter(parent.directory(), kIdentity);
    BOOST_TEST(read_file(parent.directory() + "/.ladle-lock").empty());
}

BOOST_AUTO_TEST_CASE(what_a_killed_job_wrote_into_the_lock_blocks_nobody) {
    const Scratch parent;
    std::ofstream(parent.directory() + "/.ladle-lock") << "host node7, process 1234, since 2020-01-01T00:00:00Z\n";
    enter(parent.directory(), kIdentity);
}

BOOST_AUTO_TEST_CASE(other_files_do_not_hinder_a_run) {
    const Scratch parent;
    std::ofstream(parent.directory() + "/slurm-17.out") << "log";
    enter(parent.directory(), kIdentity);
    BOOST_TEST(read_file(parent.directory() + "/slurm-17.out") == "log");
}

BOOST_AUTO_TEST_CASE(a_damaged_manifest_is_an_error_that_names_it) {
    for (const char* text : {"", "{", "[]", "{\"identity\": 3}", "{\"identity\": {}, \"starts\": []}"}) {
        const Scratch parent;
        std::ofstream(parent.directory() + "/manifest.json") << text;
        BOOST_CHECK_EXCEPTION(enter(parent.directory(), kIdentity), DataError, [](const DataError& error) {
            return std::string(error.what()).find("manifest.json") != std::string::npos;
        });
    }
}

BOOST_AUTO_TEST_CASE(a_trigger_is_taken_once) {
    const Scratch parent;
    RunDirectory run = enter(parent.directory(), kIdentity);
    BOOST_TEST(!run.take_trigger("STOP"));
    std::ofstream(parent.directory() + "/STOP") << "";
    BOOST_TEST(run.take_trigger("STOP"));
    BOOST_TEST(!run.take_trigger("STOP"));
}
