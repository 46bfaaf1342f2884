// The grid of a sweep: lists, methods, placeholders, precedence, ids, and what is refused.
#define BOOST_TEST_MODULE research
#include <boost/test/unit_test.hpp>
#include <set>

#include "io/scratch.hpp"
#include "ladle/core/error.hpp"
#include "ladle/research/grid.hpp"

namespace ladle {
namespace {

using Texts = std::vector<std::string>;

SweepSource command_line(const NamedValues& options) {
    SweepSource source;
    for (const auto& [name, value] : options) {
        source.assignments.push_back({name, value, "command line"});
    }
    return source;
}

bool says(const Error& error, const std::string& part) {
    return std::string(error.what()).find(part) != std::string::npos;
}

BOOST_AUTO_TEST_CASE(lists_and_ranges) {
    BOOST_TEST(list_values("x", "a, b ,c") == (Texts{"a", "b", "c"}), boost::test_tools::per_element());
    BOOST_TEST(list_values("x", "0..2, 7") == (Texts{"0", "1", "2", "7"}), boost::test_tools::per_element());
    BOOST_TEST(list_values("x", "../a..b") == (Texts{"../a..b"}), boost::test_tools::per_element());
    BOOST_TEST(list_values("x", R"("a,b", c ,"0..2")") == (Texts{"a,b", "c", "0..2"}),
               boost::test_tools::per_element());
    for (const char* text : {R"("a,b)", R"("a,b"x)", R"("")", R"("a" "b")", R"(a"b)", R"("a"b"c")"}) {
        BOOST_CHECK_EXCEPTION(list_values("x", text), ConfigError, [](const Error& e) { return says(e, "x lists "); });
    }
    for (const char* empty : {"", " ", "a,,b", "a,", "4..2"}) {
        BOOST_CHECK_EXCEPTION(list_values("optim.lr", empty), ConfigError,
                              [](const Error& e) { return says(e, "the sweep has no runs: optim.lr"); });
    }
}

BOOST_AUTO_TEST_CASE(every_combination_with_five_seeds) {
    const auto points = expand_grid(command_line({{"optim.lr", "1e-3,3e-4"}, {"data.task", "mrpc,rte"}}));
    BOOST_REQUIRE_EQUAL(points.size(), 2U * 2U * 5U);
    BOOST_TEST(points[0].config.run.seed == 0U);
    BOOST_TEST(points[4].config.run.seed == 4U);
    BOOST_TEST(points[5].config.data.task == "rte");
    BOOST_TEST(points[10].config.optim.lr == 3e-4);
    BOOST_TEST(points[10].values[0].second == "3e-4");
    std::set<std::string> ids;
    for (const GridPoint& point : points) {
        BOOST_TEST(point.values.size() == 2U);
        BOOST_TEST(point.id.size() == 12U);
        ids.insert(point.id);
    }
    BOOST_TEST(ids.size() == points.size());
}

BOOST_AUTO_TEST_CASE(ids_depend_on_what_decides_results) {
    const auto id = [](const NamedValues& options) { return expand_grid(command_line(options))[0].id; };
    const std::string plain = id({{"run.seed", "3"}, {"optim.lr", "0.001"}});
    BOOST_TEST(plain == id({{"run.seed", "3"}, {"optim.lr", "1e-3"}, {"data.dir", "elsewhere"}, {"cpu.threads", "2"}}));
    BOOST_TEST(plain != id({{"run.seed", "4"}, {"optim.lr", "0.001"}}));
    BOOST_TEST(plain != id({{"run.seed", "3"}, {"optim.lr", "0.001"}, {"adapter.size", "8"}}));
    // A list of backbones must not fold into one run.
    BOOST_TEST(expand_grid(command_line({{"model.path", "a,b"}, {"run.seed", "0"}})).size() == 2U);
}

BOOST_AUTO_TEST_CASE(files_methods_and_placeholders) {
    const Scratch scratch;
    spill(scratch.path("base.cfg"), "[optim]\nlr = 5e-4\n[adapter]\nsize = 8\n");
    spill(scratch.path("mrpc.cfg"), "[data]\ntask = mrpc\n[train]\nepochs = 2\n");
    spill(scratch.path("rte.cfg"), "[data]\ntask = rte\n[train]\nepochs = 5\n");
    spill(scratch.path("sweep.cfg"),
          "[sweep]\nconfig = base.cfg, {data.task}.cfg\n[data]\ntask = mrpc, rte\ndir = d/{data.task}\n"
          "[method.soup]\nadapter.kind = adamix\n[method.single]\nadapter.kind = houlsby\noptim.lr = 1e-3, 2e-3\n"
          "[run]\nseed = 1..2\n");
    SweepSource source{{scratch.path("sweep.cfg")}, {}};
    auto points = expand_grid(source);
    BOOST_REQUIRE_EQUAL(points.size(), 2U * 3U * 2U);
    BOOST_TEST(points[0].config.data.dir == "d/mrpc");
    BOOST_TEST(points[0].config.train.epochs == 2);
    BOOST_TEST(points[0].config.optim.lr == 5e-4);
    BOOST_TEST(points[0].config.adapter.size == 8);
    BOOST_TEST(points[0].config.run.seed == 1U);
    BOOST_TEST(points[4].config.adapter.kind == "houlsby");
    BOOST_TEST(points[4].config.optim.lr == 2e-3);
    BOOST_TEST(points[6].config.data.dir == "d/rte");
    BOOST_TEST(points[6].config.train.epochs == 5);
    const NamedValues expected = {{"data.task", "mrpc"}, {"method", "single"}, {"optim.lr", "2e-3"}};
    BOOST_TEST((points[4].values == expected));

    // Printed and read back, the grid is the same.
    spill(scratch.path("printed.cfg"), grid_text(source));
    const auto again = expand_grid({{scratch.path("printed.cfg")}, {}});
    BOOST_REQUIRE_EQUAL(again.size(), points.size());
    BOOST_TEST(again[0].id == points[0].id);
    BOOST_TEST(again[11].id == points[11].id);

    // The command line wins over files and methods.
    source.assignments = {{"adapter.size", "4", "command line"}, {"run.seed", "9", "command line"}};
    points = expand_grid(source);
    BOOST_REQUIRE_EQUAL(points.size(), 6U);
    BOOST_TEST(points[0].config.adapter.size == 4);
    BOOST_TEST(points[0].config.run.seed == 9U);
}

BOOST_AUTO_TEST_CASE(values_that_hold_commas) {
    const auto targets = [](const std::string& text) {
        Texts found;
        for (const GridPoint& point :
             expand_grid(command_line({{"moa.system", "lora"}, {"moa.lora_targets", text}, {"run.seed", "1"}}))) {
            found.push_back(point.config.moa.lora_targets);
        }
        return found;
    };
    BOOST_TEST(targets("Q, V") == Texts{"Q, V"}, boost::test_tools::per_element());
    BOOST_TEST(targets(R"("Q,V",K)") == (Texts{"Q,V", "K"}), boost::test_tools::per_element());

    const Scratch scratch;
    const SweepSource source =
        command_line({{"moa.system", "lora"}, {"moa.lora_targets", R"("Q,V","K,O")"}, {"run.seed", "1"}});
    spill(scratch.path("printed.cfg"), grid_text(source));
    const auto again = expand_grid({{scratch.path("printed.cfg")}, {}});
    BOOST_REQUIRE_EQUAL(again.size(), 2U);
    BOOST_TEST(again[1].id == expand_grid(source)[1].id);
}

BOOST_AUTO_TEST_CASE(refusals) {
    const auto refused = [](const NamedValues& options, const std::string& part) {
        BOOST_CHECK_EXCEPTION(expand_grid(command_line(options)), ConfigError,
                              [&](const Error& e) { return says(e, part); });
    };
    refused({{"optim.lrr", "1"}}, "did you mean \"optim.lr\"");
    refused({{"optim.lr", ""}}, "the sweep has no runs");
    refused({{"optim.lr", "1e-3,fast"}}, "not a number");
    refused({{"optim.lr", "1e-3,0.001"}}, "two runs of the sweep are the same");
    refused({{"run.dir", "runs"}}, "run.dir cannot be set");
    refused({{"data.dir", "{data.tusk}"}}, "no plain value is given for \"data.tusk\"");
    refused({{"data.dir", "{data.dir}"}}, "cannot be filled in");
    refused({{"run.seed", "0..999"}, {"adapter.size", "1..999"}}, "more than 100000 runs");
    const Scratch scratch;
    spill(scratch.path("sweep.cfg"), "[method.one]\nadapter.sise = 4\n");
    BOOST_CHECK_EXCEPTION(expand_grid({{scratch.path("sweep.cfg")}, {}}), ConfigError,
                          [](const Error& e) { return says(e, "did you mean \"adapter.size\""); });
}

}  // namespace
}  // namespace ladle
