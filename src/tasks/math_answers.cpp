// Answers to word problems.
#include "ladle/tasks/math_answers.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdlib>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

constexpr double kLargestDifference = 0.001;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_choice(char c) {
    return c >= 'A' && c <= 'E';
}

bool is_word(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Infinity where it is too large, as in Python.
double parse_number(const std::string& text) {
    return std::strtod(text.c_str(), nullptr);
}

/// The end of a run of digits.
std::size_t skip_digits(const std::string& text, std::size_t at) {
    while (at < text.size() && is_digit(text[at])) {
        ++at;
    }
    return at;
}

bool stands_alone(const std::string& text, std::size_t at) {
    return (at == 0 || !is_word(text[at - 1])) && (at + 1 == text.size() || !is_word(text[at + 1]));
}

}  // namespace

std::optional<double> last_number(const std::string& text) {
    std::string plain = text;
    std::erase(plain, ',');
    std::optional<double> last;
    for (std::size_t begin = 0; begin < plain.size();) {
        const std::size_t digits = plain[begin] == '-' ? begin + 1 : begin;
        std::size_t end = skip_digits(plain, digits);
        if (end == digits) {
            ++begin;
            continue;
        }
        if (end < plain.size() && plain[end] == '.') {
            end = skip_digits(plain, end + 1);
        }
        last = parse_number(plain.substr(begin, end - begin));
        begin = end;
    }
    return last;
}

std::optional<char> find_choice(const std::string& text, AnswerRule rule) {
    std::optional<char> found;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (is_choice(text[i]) && rule == AnswerRule::choice) {
            return text[i];
        }
        if (is_choice(text[i]) && stands_alone(text, i)) {
            found = text[i];
        }
    }
    return found;
}

bool is_correct(const std::string& text, const std::string& answer, AnswerRule rule, const std::string& where) {
    const auto refuse = [&](const char* form) {
        return DataError("cannot judge by the answer \"" + answer + "\" of " + where, std::string("it is no ") + form,
                         "give answers of one form, or choose another --rule");
    };
    if (rule != AnswerRule::number) {
        if (answer.size() != 1 || !is_choice(answer.front())) {
            throw refuse("letter from A to E");
        }
        return find_choice(text, rule) == answer.front();
    }
    double wanted = 0;
    const char* end = answer.data() + answer.size();
    const auto [stop, error] = std::from_chars(answer.data(), end, wanted);
    if (error != std::errc() || stop != end) {
        throw refuse("number");
    }
    const std::optional<double> given = last_number(text);
    return given.has_value() && std::abs(*given - wanted) <= kLargestDifference;
}

AnswerRule published_rule(const std::string& file_name) {
    return file_name.starts_with("AQuA") ? AnswerRule::choice : AnswerRule::number;
}

}  // namespace ladle
