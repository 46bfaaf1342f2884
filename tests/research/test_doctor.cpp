// The doctor's findings on made-up ranks and directories.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "io/scratch.hpp"
#include "ladle/io/files.hpp"
#include "ladle/research/doctor.hpp"

using namespace ladle;

namespace {

/// The only finding of that health; its text.
std::string only(const std::vector<Finding>& findings, Health health) {
    std::vector<std::string> texts;
    for (const Finding& finding : findings) {
        if (finding.health == health) {
            texts.push_back(finding.text);
        }
    }
    BOOST_TEST(texts.size() == 1U);
    return texts.empty() ? "" : texts.front();
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(ranks_are_held_against_their_cores) {
    BOOST_TEST(contains(only(check_binding({{"a", 0, {0, 1}}, {"a", 1, {2, 3}}}, 2), Health::good),
                        "a: 2 ranks with 2 threads each on 4 cores (0-3)"));
    BOOST_TEST(contains(only(check_binding({{"a", 0, {0}}, {"a", 1, {1}}}, 2), Health::warning), "more threads than"));
    BOOST_TEST(contains(only(check_binding({{"a", 0, {0}}, {"a", 1, {2, 3, 5}}}, 2), Health::warning), "only 1 of"));
    BOOST_TEST(contains(only(check_binding({{"a", 0, {0, 1}}, {"a", 1, {0, 1}}}, 1), Health::note), "share cores"));
    const auto two = check_binding({{"a", 0, {0}}, {"b", 1, {0}}}, 1);
    BOOST_TEST(two.size() == 2U);
    BOOST_TEST((two[0].health == Health::good && two[1].health == Health::good));
}

BOOST_AUTO_TEST_CASE(a_directory_is_tried_and_left_as_it_was) {
    const Scratch scratch;
    const auto findings = check_files(scratch.directory());
    BOOST_TEST(findings.size() == 2U);
    BOOST_TEST((findings[0].health == Health::good || findings[0].health == Health::warning));
    BOOST_TEST((findings[1].health == Health::good), findings[1].text);
    BOOST_TEST(list_files(scratch.directory()).empty());
    only(check_files(scratch.path("none")), Health::failure);
    BOOST_TEST(contains(check_space(scratch.directory()).front().text, " free"));
    only(check_space(scratch.path("none")), Health::failure);
}

BOOST_AUTO_TEST_CASE(segments_that_nobody_has_mapped_are_named) {
    const Scratch scratch;
    const std::string memory = scratch.path("shm");
    make_directories(memory);
    make_directories(scratch.path("proc/12"));
    spill(memory + "/vader_segment.node.0.1.0", "12345678");
    spill(memory + "/vader_segment.node.0.2.0", "12345678");
    spill(memory + "/other", "x");
    spill(scratch.path("proc/12/maps"), "7f00-7f01 rw-s 00000000 00:01 5 " + memory + "/vader_segment.node.0.1.0\n");
    const auto findings = check_shared_memory(memory, scratch.path("proc"));
    const std::string text = only(findings, Health::warning);
    BOOST_TEST(contains(text, "1 segments"));
    BOOST_TEST(contains(text, "vader_segment.node.0.2.0"));
    BOOST_TEST(file_exists(memory + "/vader_segment.node.0.2.0"));
    BOOST_TEST(
        contains(only(check_shared_memory(scratch.path("none"), scratch.path("proc")), Health::note), "not there"));
}

BOOST_AUTO_TEST_CASE(gpus_are_counted_and_their_absence_is_said) {
    const Scratch scratch;
    BOOST_TEST(contains(check_gpus(scratch.path("none")).front().text, "none on this node"));
    make_directories(scratch.path("gpus/0000:01:00.0"));
    BOOST_TEST(contains(check_gpus(scratch.path("gpus")).front().text, "1 NVIDIA GPU on"));
}

BOOST_AUTO_TEST_CASE(findings_are_one_line_each) {
    const std::vector<Finding> findings = {{Health::good, "a", "fine", ""}, {Health::warning, "b", "bad", "do \"x\""}};
    BOOST_TEST(findings_text(findings) ==
               "ok       a: fine\nwarning  b: bad -> do \"x\"\n1 ok, 0 notes, 1 warnings, 0 failures\n");
    const auto json = nlohmann::json::parse(findings_json(findings));
    BOOST_TEST(json.at("findings")[1].at("mend") == "do \"x\"");
    BOOST_TEST(nlohmann::json::parse(findings_json({{Health::note, "a", "\xff", ""}})).at("findings").size() == 1U);
}

BOOST_AUTO_TEST_CASE(all_ranks_together) {
    const Scratch scratch;
    const auto comm = make_single_communicator();
    const auto findings = examine(Config(), *comm, scratch.directory());
    for (const char* topic :
         {"MPI", "PMIx", "binding", "processor", "products", "GPUs", "files", "locks", "space", "shared memory"}) {
        BOOST_TEST(std::any_of(findings.begin(), findings.end(), [&](const Finding& f) { return f.topic == topic; }),
                   topic);
    }
    BOOST_TEST(
        std::none_of(findings.begin(), findings.end(), [](const Finding& f) { return f.health == Health::failure; }));
}
