// Answers in generated texts: what the published rules find, oddities included.
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "io/names.hpp"
#include "ladle/data/instructions.hpp"
#include "ladle/tasks/math_answers.hpp"
#include "support/math_files.hpp"

using namespace ladle;

BOOST_AUTO_TEST_SUITE(math_answers)

BOOST_AUTO_TEST_CASE(the_last_number_is_what_the_published_pattern_matches) {
    const std::pair<const char*, double> cases[] = {{"3-2", -2},
                                                    {"1/2", 2},
                                                    {".5", 5},
                                                    {"12e3", 3},
                                                    {"-7.", -7},
                                                    {"1,234.5 apples", 1234.5},
                                                    {"1.2.3", 3},
                                                    {"7 - 4", 4},
                                                    {"it is 12, or 13.", 13},
                                                    {"--3", -3},
                                                    {"no. 5 costs $2.50.", 2.5}};
    for (const auto& [text, number] : cases) {
        BOOST_TEST(last_number(text).value() == number, text);
    }
    for (const char* text : {"", "none", "-", ".", "-."}) {
        BOOST_TEST(!last_number(text).has_value(), text);
    }
}

BOOST_AUTO_TEST_CASE(a_choice_is_the_first_capital_or_the_last_letter_alone) {
    BOOST_TEST(find_choice("\nRationale: Because", AnswerRule::choice).value() == 'B');
    BOOST_TEST(find_choice("the answer is (C) or D", AnswerRule::choice).value() == 'C');
    BOOST_TEST(!find_choice("f, g and 7", AnswerRule::choice).has_value());
    BOOST_TEST(find_choice("Because A is wrong: (C).", AnswerRule::strict_choice).value() == 'C');
    BOOST_TEST(!find_choice("Because Ada Died 3E", AnswerRule::strict_choice).has_value());
}

BOOST_AUTO_TEST_CASE(answers_are_compared_as_published) {
    BOOST_TEST(is_correct("so it is 18.", "18", AnswerRule::number, "here"));
    BOOST_TEST(is_correct("2.0009", "2", AnswerRule::number, "here"));
    BOOST_TEST(!is_correct("2.002", "2", AnswerRule::number, "here"));
    BOOST_TEST(!is_correct(std::string(400, '9'), "0", AnswerRule::number, "here"));
    BOOST_TEST(!is_correct("nothing", "0", AnswerRule::number, "here"));
    BOOST_TEST(is_correct("B", "B", AnswerRule::choice, "here"));
    BOOST_CHECK_EXCEPTION(is_correct("1", "one", AnswerRule::number, "here"), DataError,
                          names("here: it is no number"));
    BOOST_CHECK_EXCEPTION(is_correct("1", "F", AnswerRule::strict_choice, "here"), DataError, names("from A to E"));
    BOOST_TEST((published_rule("AQuA_test.jsonl") == AnswerRule::choice));
    BOOST_TEST((published_rule("gsm8k_test.jsonl") == AnswerRule::number));
}

// The sets' own solutions, where LADLE_MATH_DIR (default ../shared/data/math beside the repository) holds them, score
// as they do with the published program.
BOOST_AUTO_TEST_CASE(published_solutions_score_as_published) {
    const std::optional<std::string> directory = test::math_directory();
    if (!directory) {
        return;
    }
    constexpr double kThreeDigits = 5.01e-4;
    const std::pair<const char*, double> expected[] = {{"AddSub_test.json", 0.937},   {"AQuA_test.json", 0.429},
                                                       {"gsm8k_test.json", 0.585},    {"MultiArith_test.json", 0.933},
                                                       {"SingleEq_test.json", 0.953}, {"SVAMP_test.json", 0.803}};
    for (const auto& [name, accuracy] : expected) {
        const std::vector<Instruction> items = read_instructions(*directory + "/" + name);
        double correct = 0;
        for (const Instruction& item : items) {
            correct += is_correct(item.output, item.answer, published_rule(name), name) ? 1 : 0;
        }
        BOOST_TEST(std::abs(correct / static_cast<double>(items.size()) - accuracy) < kThreeDigits, name);
    }
}

BOOST_AUTO_TEST_SUITE_END()
