// The directory of a sweep: plan, states of runs, claims, hosts to avoid, and scores over seeds.
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>

#include "io/scratch.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/research/claim.hpp"
#include "ladle/research/collect.hpp"
#include "ladle/research/plan.hpp"
#include "ladle/research/sweep.hpp"

namespace ladle {
namespace {

std::vector<GridPoint> grid(const std::string& rates, const std::string& seeds) {
    return expand_grid({{},
                        {{"optim.lr", rates, "command line"},
                         {"run.seed", seeds, "command line"},
                         {"data.dir", "shards", "command line"},
                         {"model.path", "model", "command line"}}});
}

Sweep plan(const std::string& directory, const std::string& rates, const std::string& seeds, bool extend = false) {
    const auto points = grid(rates, seeds);
    return create_sweep(directory, points, std::vector<std::int64_t>(points.size(), 10), extend);
}

void finish(const Sweep& sweep, const SweepRun& run, const std::string& best, const std::string& last) {
    make_directories(sweep.run_directory(run));
    spill(sweep.run_directory(run) + "/metrics.jsonl",
          R"({"kind":"eval","step":5,"epoch":1,"split":"dev","scores":{"accuracy":0.1}})"
          "\n"
          R"({"kind":"eval","step":10,"epoch":2,"split":"dev","scores":{"accuracy":)" +
              last + "}}\n");
    spill(sweep.run_directory(run) + "/results.json",
          R"({"task":"mrpc","best":{"metric":"accuracy","split":"dev","score":)" + best +
              R"(,"step":5,"epoch":1},"scores":{"soup":{"dev":{"f1":0.5,"accuracy":)" + best + "}}}}");
}

BOOST_AUTO_TEST_CASE(a_plan_is_written_and_read_back) {
    const Scratch scratch;
    const Sweep written = plan(scratch.path("s"), "1e-3,3e-4", "0..2");
    const Sweep read = open_sweep(scratch.path("s"));
    BOOST_REQUIRE_EQUAL(read.runs.size(), 6U);
    BOOST_TEST(read.runs[4].number == 4);
    BOOST_TEST(read.runs[4].id == written.runs[4].id);
    BOOST_TEST(read.runs[4].seed == 1U);
    BOOST_TEST(read.runs[4].steps == 10);
    BOOST_TEST(group_name(read.runs[4]) == "optim.lr=3e-4");
    const Config config = planned_config(read, read.runs[4]);
    BOOST_TEST(config.optim.lr == 3e-4);
    BOOST_TEST(config.data.dir == (std::filesystem::current_path() / "shards").string());
    BOOST_TEST(plan(scratch.path("s"), "1e-3,3e-4", "0..2").runs.size() == 6U);
}

BOOST_AUTO_TEST_CASE(a_second_sweep_is_refused_and_an_extension_keeps_numbers) {
    const Scratch scratch;
    const Sweep first = plan(scratch.path("s"), "1e-3,3e-4", "1");
    const auto refused = [&](const std::string& rates, const std::string& seeds, bool extend, const std::string& part) {
        BOOST_CHECK_EXCEPTION(plan(scratch.path("s"), rates, seeds, extend), ConfigError, [&](const Error& error) {
            return std::string(error.what()).find(part) != std::string::npos;
        });
    };
    refused("1e-3", "1", false, "belongs to another sweep: its run \"optim.lr=3e-4, seed 1\"");
    refused("1e-3", "1", true, "name another directory");
    refused("1e-3,3e-4", "0..1", false, "--extend");
    const Sweep longer = plan(scratch.path("s"), "1e-3,3e-4", "0..1", true);
    BOOST_REQUIRE_EQUAL(longer.runs.size(), 4U);
    BOOST_TEST(longer.runs[0].id == first.runs[0].id);
    BOOST_TEST(longer.runs[1].id == first.runs[1].id);
    BOOST_TEST(longer.runs[3].number == 3);
}

BOOST_AUTO_TEST_CASE(damaged_plans_are_refused) {
    const Scratch scratch;
    BOOST_CHECK_THROW(open_sweep(scratch.path("none")), DataError);
    const std::string texts[] = {"{", R"({"schema":"ladle.sweep","schema_version":[2,0],"axes":[],"runs":[]})",
                                 R"({"schema":"ladle.sweep","schema_version":[1,0],"axes":[],"runs":[
                                     {"number":0,"id":"../../x","seed":0,"steps":1,"values":{}}]})"};
    for (const std::string& text : texts) {
        spill(scratch.path("sweep.json"), text);
        BOOST_CHECK_THROW(open_sweep(scratch.directory()), DataError);
    }
}

BOOST_AUTO_TEST_CASE(states_of_runs) {
    const Scratch scratch;
    const Sweep sweep = plan(scratch.path("s"), "1e-3", "0..5");
    const auto state = [&](int number) {
        return run_status(sweep, sweep.runs[static_cast<std::size_t>(number)]).state;
    };
    const auto attempt = [&](int number, int exit_code) {
        const SweepRun& run = sweep.runs[static_cast<std::size_t>(number)];
        record_start(sweep, run, {"n1", "17", -1, ""});
        if (exit_code >= 0) {
            record_end(sweep, run, {"n1", "17", exit_code, "why"});
        }
    };
    finish(sweep, sweep.runs[1], "0.5", "0.4");
    attempt(2, 76);
    attempt(3, 85);
    attempt(4, -1);
    const auto claim = RunClaim::take(sweep.claim_path(sweep.runs[5]), "me");
    BOOST_TEST((state(0) == RunState::waiting));
    BOOST_TEST((state(1) == RunState::finished));
    BOOST_TEST((state(2) == RunState::failed));
    BOOST_TEST((state(3) == RunState::interrupted));
    BOOST_TEST((state(4) == RunState::interrupted));
    BOOST_TEST((state(5) == RunState::running));
    BOOST_TEST(runs_to_start(sweep, false) == (std::vector<int>{0, 3, 4}), boost::test_tools::per_element());
    BOOST_TEST(runs_to_start(sweep, true) == (std::vector<int>{2}), boost::test_tools::per_element());
    // A line cut off by a crash does not hide the others.
    spill(sweep.attempts_path(sweep.runs[2]), slurp(sweep.attempts_path(sweep.runs[2])) + R"({"event":"sta)");
    BOOST_TEST((state(2) == RunState::failed));
}

BOOST_AUTO_TEST_CASE(hosts_that_fail_again_are_named) {
    const Scratch scratch;
    const Sweep sweep = plan(scratch.path("s"), "1e-3", "0..3");
    std::string job = "17";
    const auto ends = [&](std::size_t run, const std::string& host, int exit_code) {
        record_start(sweep, sweep.runs[run], {host, job, -1, ""});
        record_end(sweep, sweep.runs[run], {host, "", exit_code, ""});
    };
    ends(0, "n1", 4);
    ends(1, "n2", 76);
    ends(2, "n2", 75);
    BOOST_TEST(bad_hosts(sweep, 2).empty());
    ends(3, "n1.cluster.example", 75);
    ends(3, "n2", 2);
    // Outside Slurm: a login node is none of its nodes.
    job = "";
    ends(0, "login", 4);
    ends(1, "login", 4);
    BOOST_TEST(bad_hosts(sweep, 2) == (std::vector<std::string>{"n1"}), boost::test_tools::per_element());
    BOOST_TEST(bad_hosts(sweep, 0).empty());
}

BOOST_AUTO_TEST_CASE(claims) {
    const Scratch scratch;
    const std::string path = scratch.path("claim");
    {
        const auto mine = RunClaim::take(path, "me");
        BOOST_REQUIRE(mine.has_value());
        BOOST_TEST(!RunClaim::take(path, "you").has_value());
        BOOST_TEST(is_held(*read_claim(path)));
        // A second sweeper in the same allocation has the same name.
        BOOST_TEST(!RunClaim::take(path, "me").has_value());
        BOOST_TEST(!RunClaim::take(path, "me", true).has_value());
    }
    BOOST_TEST(!read_claim(path).has_value());
    // Of a process that is gone, on this machine and, when not refreshed, on another one.
    Claim gone;
    {
        const auto mine = RunClaim::take(path, "me");
        gone = *read_claim(path);
    }
    gone.process = "999999999 1";
    BOOST_TEST(!is_held(gone));
    gone.child = process_mark(getpid());
    BOOST_TEST(is_held(gone));
    gone.machine = "elsewhere";
    BOOST_TEST(is_held(gone));
    gone.age_seconds = 1000;
    BOOST_TEST(!is_held(gone));
    const std::string elsewhere = R"({"owner":"me","machine":"elsewhere","process":"1 1","child":""})";
    spill(path, elsewhere);
    BOOST_TEST(!RunClaim::take(path, "you", true).has_value());
    BOOST_TEST(!RunClaim::take(path, "me").has_value());
    // The task of an array, started again by Slurm on another node.
    BOOST_TEST(RunClaim::take(path, "me", true).has_value());
    spill(path, elsewhere);
    std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
    BOOST_TEST(RunClaim::take(path, "you").has_value());
}

BOOST_AUTO_TEST_CASE(last_messages) {
    const Scratch scratch;
    spill(scratch.path("log"),
          "=== started on a: x\nladle: old\n=== started on b: x\nstep\nladle: [n1 rank 0/2] bad: "
          "why\n  fix: this\nmpirun noise\n");
    BOOST_TEST(last_message(scratch.path("log")) == "[n1 rank 0/2] bad: why");
    spill(scratch.path("log"), "ladle: old\n=== started on b: x\nKilled\n-----\n");
    BOOST_TEST(last_message(scratch.path("log")) == "Killed");
    BOOST_TEST(last_message(scratch.path("none")).empty());
}

BOOST_AUTO_TEST_CASE(scores_over_seeds) {
    const Scratch scratch;
    const Sweep sweep = plan(scratch.path("s"), "1e-3,3e-4", "0..2");
    finish(sweep, sweep.runs[0], "0.5", "0.25");
    finish(sweep, sweep.runs[1], "0.75", "null");
    record_start(sweep, sweep.runs[2], {"n1", "", -1, ""});
    record_end(sweep, sweep.runs[2], {"n1", "", 76, "loss is not finite, \"so\" it ended"});
    const auto groups = collect_scores(sweep);
    BOOST_REQUIRE_EQUAL(groups.size(), 2U);
    BOOST_TEST(groups[0].scores.front().second == "accuracy");
    BOOST_TEST(groups[0].best({"dev", "accuracy"}).mean == 0.625);
    BOOST_TEST(groups[0].last({"dev", "accuracy"}).count == 1U);
    BOOST_TEST(groups[0].last({"dev", "accuracy"}).mean == 0.25);
    BOOST_TEST(groups[0].missing.size() == 1U);
    BOOST_TEST(groups[0].seeds[0].best_epoch == 1);
    BOOST_TEST(groups[0].seeds[0].last_epoch == 2);
    const std::string csv = scores_csv(groups, sweep.axes);
    BOOST_TEST(csv.find("1e-3,mrpc,dev,accuracy,best,accuracy,dev,2,0.625,") != std::string::npos);
    BOOST_TEST(csv.find("\"seed 2: failed with exit code 76: loss is not finite, \"\"so\"\" it ended\"") !=
               std::string::npos);
    BOOST_TEST(scores_latex(groups).find("0.6250 $\\pm$ 0.1768") != std::string::npos);
    BOOST_TEST(scores_json(groups).find("\"n\": 2") != std::string::npos);
    BOOST_TEST(scores_text(groups).find("not finished: optim.lr=3e-4, seed 0: waiting") != std::string::npos);
}

}  // namespace
}  // namespace ladle
