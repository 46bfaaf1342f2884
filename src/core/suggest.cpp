// Edit distance (Levenshtein) between a misspelt name and the known ones.
#include "ladle/core/suggest.hpp"

#include <algorithm>
#include <numeric>

namespace ladle {
namespace {

// Longer words are not misspelt names; the limit keeps the quadratic distance cheap for hostile input.
constexpr std::size_t kLongestName = 64;

std::size_t edit_distance(const std::string& a, const std::string& b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row.back();
}

}  // namespace

std::string closest_name(const std::string& word, const std::vector<std::string>& known) {
    if (word.size() > kLongestName) {
        return "";
    }
    std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
    std::string best;
    for (const std::string& name : known) {
        const std::string last_part = name.substr(name.rfind('.') + 1);
        const std::size_t distance = std::min(edit_distance(word, name), edit_distance(word, last_part));
        // A short word must share something with the name: two edits turn any two letters into any others.
        if (distance < best_distance && distance < word.size()) {
            best_distance = distance;
            best = name;
        }
    }
    return best;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known, const std::string& otherwise) {
    const std::string near = closest_name(word, known);
    return near.empty() ? otherwise : "did you mean \"" + near + "\"?";
}

}  // namespace ladle
