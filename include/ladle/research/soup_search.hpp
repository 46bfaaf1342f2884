// Soups that are chosen: greedy and learned weights, judged on rows that were held out of training, or on dev.
// Between `ladle soup` and the engine. Source: Wortsman et al. 2022, Model soups, algorithm 1 and section 3.3.
#pragma once

#include <string>
#include <vector>

#include "ladle/config/config.hpp"
#include "ladle/research/ingredients.hpp"
#include "ladle/train/results.hpp"
#include "ladle/train/soup_evaluation.hpp"

namespace ladle {

/// How weights are looked for.
struct SearchOptions {
    std::string method = "greedy";  ///< greedy | learned
    std::int64_t epochs = 5;        ///< learned: passes over the rows that decide
    double score_lr = 0.05;         ///< learned: rate of Adam on the scores
};

/// What the search works on; splits of `input` are the deciding one first, then those that only report.
struct SearchInput {
    std::vector<Ingredient> ingredients;
    EvaluationInput input;  ///< its soup is the first ingredient
    Soup description;       ///< of the result, whose tensors are still those of the plain mean
    std::string select;     ///< eval.select that was followed
    std::string metric;     ///< that decides
};

/// Opens soups and data. eval.select is that of the training runs unless the user gives one (`select_given`); a part
/// of train may decide only where all runs held it out. Throws ConfigError or DataError.
SearchInput open_search(const Config& config, bool select_given, const std::vector<std::string>& paths);

/// One line of the search's table.
struct SearchRow {
    std::string name;
    SplitScores scores;         ///< of all splits of the input
    std::string in_the_result;  ///< its weight, or a range of weights over the groups; empty for mixtures
};

struct SearchResult {
    std::vector<SearchRow> rows;  ///< ingredients, their plain mean, the result
    Soup soup;
};

/// Looks for weights. The same input and options give the same soup.
/// greedy: ingredients by falling score; each is kept if the plain mean with it is not worse.
/// learned: one softmax score per group and ingredient, trained from 0 on the deciding rows with all ingredients
/// frozen and dropout off; the best of the epochs' ends and the start is taken.
SearchResult search_soup(const Config& config, const SearchOptions& options, SearchInput search, Engine& engine);

/// Table of a search and, below it, what decided.
std::string search_table(const SearchInput& search, const SearchResult& result);

}  // namespace ladle
