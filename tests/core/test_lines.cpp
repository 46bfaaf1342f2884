// Lines of texts.
#include <boost/test/unit_test.hpp>
#include <vector>

#include "ladle/core/error.hpp"
#include "ladle/core/lines.hpp"

using namespace ladle;

namespace {

std::vector<std::string> all(std::string_view text) {
    Lines lines(text, "file");
    std::vector<std::string> found;
    while (const auto line = lines.next()) {
        found.emplace_back(*line);
    }
    return found;
}

using Texts = std::vector<std::string>;

}  // namespace

BOOST_AUTO_TEST_SUITE(lines)

BOOST_AUTO_TEST_CASE(line_ends_of_both_kinds_are_no_part_of_a_line) {
    BOOST_TEST((all("") == Texts{}));
    BOOST_TEST((all("a") == Texts{"a"}));
    BOOST_TEST((all("a\n") == Texts{"a"}));
    BOOST_TEST((all("a\r\n\nb\rc\r\r\n") == Texts{"a", "", "b\rc\r"}));
    BOOST_TEST((all("\n\n") == Texts{"", ""}));
}

BOOST_AUTO_TEST_CASE(lines_are_numbered_and_limited) {
    Lines lines("1234\r\n12345\n", "file", 4);
    BOOST_TEST((lines.next() == "1234"));
    BOOST_TEST(lines.label() == "file, line 1");
    BOOST_CHECK_EXCEPTION(lines.next(), DataError, [](const DataError& error) {
        return std::string(error.what()).find("file, line 2: it is longer than 4 bytes") != std::string::npos;
    });
}

BOOST_AUTO_TEST_SUITE_END()
