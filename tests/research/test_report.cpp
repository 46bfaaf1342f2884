// HTML and SVG pieces with hostile names, and the pages of runs and sweeps made from files written here.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "io/scratch.hpp"
#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/research/html.hpp"
#include "ladle/research/report.hpp"
#include "ladle/research/svg.hpp"

using namespace ladle;

namespace {

constexpr const char* kHostile = "<script>alert('x')</script>\"&\x01\xff";

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// A finished run on three dev rows with classes a and b; the soup is right on all, expert 1 on two.
void write_run(const std::string& path, const std::string& kind, std::uint64_t seed, double score, bool finished,
               double consistency = -1) {
    make_directories(path);
    Config config;
    config.adapter.kind = kind;
    config.data.task = "words";
    config.run.seed = seed;
    config.train.consistency = consistency >= 0 ? consistency : kind == "adamix" ? 1 : 0;
    config.eval.metric = "accuracy";
    write_file(path + "/config.cfg", config_text(config));
    write_file(path + "/manifest.json", "{\"identity\":{\"options\":\"a = <b>\"},\"starts\":[{\"hosts\":[\"<i>\"]}]}");
    std::string metrics;
    for (int step = 1; step <= 3; ++step) {
        metrics += "{\"kind\":\"step\",\"step\":" + std::to_string(step) +
                   ",\"epoch\":1,\"task_loss\":0.5,\"consistency_loss\":0,\"loss\":0.5,\"learning_rate\":0.1,"
                   "\"grad_norm\":null,\"tokens_per_second\":10,\"samples_per_second\":2,\"routing_counts\":{\"down\":"
                   "[[1,2]],\"up\":[[3]]}}\n";
    }
    metrics +=
        "{\"kind\":\"eval\",\"step\":3,\"epoch\":1,\"split\":\"validation\",\"scores\":{\"accuracy\":0.25},"
        "\"best\":true}\n{\"kind\":\"epoch\",\"step\":3,\"epoch\":1,\"expert_distances\":{\"down\":[1.5],\"up\":"
        "[null]}}\n{\"kind\":\"step\",\"step\":4,\"ep";
    write_file(path + "/metrics.jsonl", metrics);
    if (!finished) {
        return;
    }
    write_file(path + "/results.json",
               "{\"best\":{\"metric\":\"accuracy\",\"split\":\"validation\",\"select\":\"dev\",\"score\":0.5},"
               "\"steps_done\":3,\"parameters\":{\"total\":10,\"trainable\":4,\"groups\":{\"head\":4}},\"scores\":{"
               "\"base\":{\"validation\":{\"accuracy\":0.5}},\"experts\":[],\"soup\":{\"validation\":{\"accuracy\":" +
                   std::to_string(score) + "}}}}");
    PredictionsFile file;
    file.task = "words";
    file.label_names = {"a", "b"};
    file.models = {"soup", "expert 0", "expert 1"};
    file.splits = {{"validation", {0, 1, 1}, {}, {{2, 0, 0, 2, 0, 2}, {2, 0, 0, 2, 0, 2}, {2, 0, 2, 0, 0, 2}}}};
    write_predictions(path + "/predictions.h5", file);
}

}  // namespace

BOOST_AUTO_TEST_CASE(text_is_made_safe) {
    BOOST_TEST(escape_html("a<b>&\"'c") == "a&lt;b&gt;&amp;&quot;&#39;c");
    BOOST_TEST(escape_html("\x01\xff\xc3\xa9\n") == "??\xc3\xa9\n");
    HtmlTable table({kHostile});
    table.add_row({kHostile});
    const std::string everything = table.text() + html_heading(kHostile) + html_note(kHostile) +
                                   html_page(kHostile, "") +
                                   line_chart({kHostile, kHostile, kHostile}, {{kHostile, {0, 1}, {1, 2}, true}}) +
                                   dot_chart({kHostile, kHostile, kHostile}, {{kHostile, {{1.0, kHostile}}}}) +
                                   share_map({kHostile, "", ""}, {{kHostile}, {kHostile}, {{0.5}}, {{kHostile}}});
    BOOST_TEST(!contains(everything, "<script"));
    BOOST_TEST(!contains(everything, "'x'"));
    BOOST_TEST(contains(everything, "&lt;script&gt;"));
}

BOOST_AUTO_TEST_CASE(one_seed_has_no_deviation) {
    const std::string one = dot_chart({"title", "x", "y"}, {{"a", {{0.5, "seed 0"}}}});
    BOOST_TEST(contains(one, ", n = 1<"));
    BOOST_TEST(!contains(one, "nan"));
    const std::string two = dot_chart({"title", "x", "y"}, {{"a", {{0.5, "seed 0"}, {0.75, "seed 1"}}}});
    BOOST_TEST(contains(two, ", standard deviation "));
}

BOOST_AUTO_TEST_CASE(ticks_are_round_and_cover_the_values) {
    for (const auto& [least, most] : {std::pair{0.0, 1.0},
                                      {0.5083, 0.6167},
                                      {-3.0, 12.0},
                                      {1e-6, 3e-4},
                                      {0.7, 0.7},
                                      {0.0, 0.0},
                                      {123456.0, 987654.0}}) {
        const auto ticks = nice_ticks(least, most, 5);
        BOOST_TEST(ticks.size() >= 2U);
        BOOST_TEST(ticks.size() <= 12U);
        BOOST_TEST(ticks.front() <= least + 1e-12);
        BOOST_TEST(ticks.back() >= most - 1e-12);
    }
    BOOST_TEST(nice_ticks(0, 1, 5) == (std::vector<double>{0, 0.2, 0.4, 0.2 * 3, 0.8, 1.0}),
               boost::test_tools::per_element());
    BOOST_TEST(tick_text(0.6000000001, 0.2) == "0.6");
    BOOST_TEST(tick_text(2.5, 2.5) == "2.5");
    BOOST_TEST(tick_text(-0.0000000001, 0.5) == "0.0");
    BOOST_TEST(tick_text(400000, 100000) == "400000");
    BOOST_TEST(tick_text(2e-5, 1e-5) == "2e-05");
}

BOOST_AUTO_TEST_CASE(lines_break_at_nan_and_long_ones_are_thinned) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const std::string broken = line_chart({"t", "x", "y"}, {{"a", {0, 1, 2, 3, 4}, {1, 2, nan, 2, 1}, false}});
    const auto path = broken.substr(broken.find(" d=\""), 60);
    BOOST_TEST(std::count(path.begin(), path.end(), 'M') == 2);
    BOOST_TEST(!contains(broken, "nan"));
    BOOST_TEST(line_chart({"t", "x", "y"}, {{"a", {0}, {nan}, false}}).empty());
    BOOST_TEST(line_chart({"t", "x", "y"}, {}).empty());
    ChartSeries many{"a", {}, {}, false};
    for (int i = 0; i < 100000; ++i) {
        many.x.push_back(i);
        many.y.push_back(std::sin(i * 1e-3));
    }
    BOOST_TEST(line_chart({"t", "x", "y"}, {many}).size() < 100000U);
}

BOOST_AUTO_TEST_CASE(the_page_of_a_run_shows_what_its_files_hold) {
    const Scratch scratch;
    write_run(scratch.path("run"), "adamix", 7, 1.0, true);
    const RunFiles run = read_run(scratch.path("run"));
    BOOST_TEST(run.history.steps.size() == 3U);
    BOOST_TEST(std::isnan(run.history.steps[0].grad_norm));
    BOOST_TEST(run.history.epochs[0].expert_distances[0].second[0] == 1.5);
    const std::string page = run_report(run);
    for (const char* part : {"seed 7", "Calibration on validation", "Learning rate", "Share of picks per bank",
                             "layer 0 down, expert 1: 6 of 9 picks", "Distance between down experts", "a = &lt;b&gt;",
                             "40.00 %", "chosen on dev"}) {
        BOOST_TEST(contains(page, part), part);
    }
    BOOST_TEST(!contains(page, "<i>"));
    BOOST_TEST(!contains(page, "http:"));
    BOOST_TEST(!contains(page, "https:"));
}

BOOST_AUTO_TEST_CASE(the_page_of_a_sweep_compares_methods) {
    const Scratch scratch;
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
        const double score = 0.5 + 0.1 * static_cast<double>(seed);
        write_run(scratch.path("sweep/runs/a" + std::to_string(seed)), "adamix", seed, score, true);
        write_run(scratch.path("sweep/runs/b" + std::to_string(seed)), "houlsby", seed, score - 0.05, true);
    }
    write_run(scratch.path("sweep/runs/c"), "adamix", 9, 0, false);
    std::vector<RunFiles> runs = read_runs(scratch.path("sweep"));
    BOOST_TEST(runs.size() == 7U);
    BOOST_TEST(runs[0].label == "adamix");
    std::string page = sweep_report("Sweep", runs);
    // n, mean, std, median, min, max; last epoch; pairs with their difference; agreement of experts; compute 2 : 1.
    for (const char* part : {"6 of 7 runs have finished", "<td>3</td><td>0.6000</td><td>0.1000</td><td>0.6000</td>",
                             "0.2500 \u00b1 0.0000", "<td>3</td><td>+0.0500</td>", "0.3333 \u00b1 0.0000", "seed 9",
                             "cannot be below 0.2500", ", seed 2: 0.7000"}) {
        BOOST_TEST(contains(page, part), part);
    }
    BOOST_TEST(contains(page, "<td class=\"words\">houlsby</td><td>2</td><td>1</td>"));
    write_file(scratch.path("sweep/sweep.json"),
               "{\"runs\":[{\"id\":\"a0\",\"values\":{\"method\":\"<mine>\",\"optim.lr\":\"1\"}}]}");
    runs = read_runs(scratch.path("sweep"));
    BOOST_TEST(runs[0].label == "<mine>, optim.lr=1");
    page = sweep_report("Sweep", runs);
    BOOST_TEST(contains(page, "&lt;mine&gt;"));
    BOOST_TEST(!contains(page, "<mine>"));
}

BOOST_AUTO_TEST_CASE(chosen_consistency_is_a_method_of_its_own) {
    const Scratch scratch;
    for (std::uint64_t seed = 0; seed < 2; ++seed) {
        const std::string number = std::to_string(seed);
        write_run(scratch.path("sweep/runs/a" + number), "adamix", seed, 0.7, true);
        write_run(scratch.path("sweep/runs/b" + number), "houlsby", seed, 0.6, true, 0);
        write_run(scratch.path("sweep/runs/c" + number), "houlsby", seed, 0.5, true, 1);
    }
    const std::vector<RunFiles> runs = read_runs(scratch.path("sweep"));
    BOOST_TEST(runs[0].label == "adamix");
    BOOST_TEST(runs[2].label == "houlsby, train.consistency=0");
    BOOST_TEST(runs[4].label == "houlsby, train.consistency=1");
}

BOOST_AUTO_TEST_CASE(a_repeated_seed_is_one_pair) {
    const Scratch scratch;
    for (std::uint64_t seed = 0; seed < 2; ++seed) {
        const double score = 0.5 + 0.1 * static_cast<double>(seed);
        for (const char* again : {"", "-again"}) {
            write_run(scratch.path("runs/a" + std::to_string(seed) + again), "adamix", seed, score, true);
            write_run(scratch.path("runs/b" + std::to_string(seed) + again), "houlsby", seed, 0.4, true);
        }
    }
    const std::string page = sweep_report("Sweep", read_runs(scratch.directory()));
    BOOST_TEST(contains(page, "<td>2</td><td>+0.1500</td>"));
    BOOST_TEST(contains(page, "with 2 pairs cannot be below 0.5000"));
}

BOOST_AUTO_TEST_CASE(damaged_files_are_named) {
    const Scratch scratch;
    BOOST_CHECK_THROW(read_runs(scratch.directory()), DataError);
    write_run(scratch.path("run"), "adamix", 7, 1.0, true);
    const auto names = [](const std::string& part) {
        return [part](const DataError& error) { return contains(error.what(), part); };
    };
    write_file(scratch.path("run/metrics.jsonl"), "{\"kind\":\"step\",\"step\":\"x\"}\n");
    BOOST_CHECK_EXCEPTION(read_run(scratch.path("run")), DataError, names("line 1"));
    write_file(scratch.path("run/metrics.jsonl"), "");
    write_file(scratch.path("run/results.json"), "{\"best\":{}}");
    BOOST_CHECK_EXCEPTION(read_run(scratch.path("run")), DataError, names("results.json"));
}
