// Answers to word problems, found in generated text and compared, by the published rules.
// Source: MoA repository, evaluate_math.py.
#pragma once

#include <optional>
#include <string>

namespace ladle {

/// How the answer is found in a text.
enum class AnswerRule {
    number,        ///< the last number
    choice,        ///< the first capital A to E, wherever it stands: "Because" is B
    strict_choice  ///< the last capital A to E with no letter or digit beside it
};

/// The last number of a text without its commas: digits, perhaps a minus before them and a point and further digits
/// behind. "3-2" is -2, "1/2" is 2, ".5" is 5.
std::optional<double> last_number(const std::string& text);

/// The letter that the rule, one of the choices, finds.
std::optional<char> find_choice(const std::string& text, AnswerRule rule);

/// Whether the text gives this answer: the same letter, or a number at most 0.001 away. Throws DataError if the answer
/// is none of the rule's form; `where` says in messages which item it belongs to.
bool is_correct(const std::string& text, const std::string& answer, AnswerRule rule, const std::string& where);

/// The published rule for a set by the name of its file: choice where it starts with AQuA, number otherwise.
AnswerRule published_rule(const std::string& file_name);

}  // namespace ladle
