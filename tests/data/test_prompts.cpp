// Prompt files: lines of text, lines of JSON, and what is refused.
#include <boost/test/unit_test.hpp>

#include "io/names.hpp"
#include "io/scratch.hpp"
#include "ladle/data/prompts.hpp"

using namespace ladle;

namespace {

using Texts = std::vector<std::string>;

Texts read(const std::string& name, const std::string& content) {
    const Scratch scratch;
    spill(scratch.path(name), content);
    return read_prompts(scratch.path(name));
}

void refuses(const std::string& name, const std::string& content, const char* named) {
    BOOST_CHECK_EXCEPTION(read(name, content), DataError, names(named));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(prompts)

BOOST_AUTO_TEST_CASE(each_line_is_a_prompt) {
    BOOST_TEST(
        (read("p.txt", "one\n two words \r\n{\"prompt\": 1}\n") == Texts{"one", " two words ", "{\"prompt\": 1}"}));
    BOOST_TEST((read("p.txt", "no line end") == Texts{"no line end"}));
    BOOST_TEST((read("p.jsonl", "{\"prompt\": \"a\\nb\", \"id\": 3}\n{\"prompt\": \"c\"}") == Texts{"a\nb", "c"}));
}

BOOST_AUTO_TEST_CASE(other_lines_are_refused_by_number) {
    refuses("p.txt", "", "it is empty");
    refuses("p.txt", "one\n\ntwo\n", "line 2: the prompt is empty");
    refuses("p.txt", "one\n\xff\n", "line 2: the prompt is not UTF-8");
    refuses("p.txt", std::string((1U << 20U) + 1, 'a'), "line 1: it is longer than");
    refuses("p.jsonl", "{\"prompt\": \"a\"}\n[1]\n", "line 2: it is not an object");
    refuses("p.jsonl", "{\"text\": \"a\"}", "line 1: it is not an object");
    refuses("p.jsonl", "{\"prompt\": 1}", "line 1: it is not an object");
    refuses("p.jsonl", "{\"prompt\": \"\"}", "line 1: the prompt is empty");
    refuses("p.jsonl", "{\"prompt\": \"a\\u0000\"}", "line 1: the prompt is not UTF-8");
    refuses("p.jsonl", "{\"prompt\": ", "line 1");
    BOOST_CHECK_EXCEPTION(read_prompts("/absent/p.txt"), DataError, names("/absent/p.txt"));
}

BOOST_AUTO_TEST_SUITE_END()
