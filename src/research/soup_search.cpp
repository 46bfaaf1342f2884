// Greedy and learned soups.
#include "ladle/research/soup_search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <sstream>

#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"
#include "ladle/data/hold_out.hpp"
#include "ladle/io/export.hpp"
#include "ladle/research/score_training.hpp"
#include "ladle/train/console.hpp"
#include "ladle/train/evaluate.hpp"
#include "ladle/train/inputs.hpp"
#include "ladle/train/results_table.hpp"

namespace ladle {
namespace {

/// Value of "name = value" in the identity options that a soup carries; empty if it carries none.
std::string recorded_option(const Soup& soup, const std::string& name) {
    std::stringstream lines(soup.config);
    const std::string begin = name + " = ";
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(begin)) {
            return line.substr(begin.size());
        }
    }
    return "";
}

/// The value that all soups carry; throws ConfigError if they differ.
std::string common_option(const std::vector<Soup>& soups, const std::vector<std::string>& paths,
                          const std::string& name) {
    const std::string first = recorded_option(soups.front(), name);
    for (std::size_t i = 1; i < soups.size(); ++i) {
        const std::string other = recorded_option(soups[i], name);
        if (other != first) {
            throw ConfigError("these soups cannot be judged on the same rows",
                              fmt::format("{} is {} in {} and {} in {}", name, first.empty() ? "unknown" : first,
                                          paths.front(), other.empty() ? "unknown" : other, paths[i]),
                              "choose on dev with --eval.select dev, or take runs that held out the same rows");
        }
    }
    return first;
}

/// The rule to follow: the user's, or that of the training runs.
Config choose_selection(Config config, bool given, const std::vector<Soup>& soups,
                        const std::vector<std::string>& paths) {
    if (given && config.eval.select == "dev") {
        return config;
    }
    const std::string recorded = common_option(soups, paths, "eval.select");
    if (recorded.empty()) {
        throw ConfigError("it is not known which rows these soups were trained on",
                          "they do not carry the options of their runs", "choose on dev with --eval.select dev");
    }
    if (given && config.eval.select != recorded) {
        throw ConfigError(fmt::format("cannot choose on eval.select = {}", config.eval.select),
                          fmt::format("the runs were trained with {}, so they have seen some of these rows", recorded),
                          fmt::format("leave it out to choose on {}, or give dev", recorded));
    }
    config.eval.select = recorded;
    if (recorded != "dev") {
        config.eval.select_seed = std::stoull(common_option(soups, paths, "eval.select_seed"));
    }
    return config;
}

class Search {
public:
    Search(const Config& config, const SearchInput& search, Engine& engine)
        : config_(config), search_(search), engine_(engine), mixer_(engine, search.ingredients) {
        comm_ = make_single_communicator();
    }

    IngredientMixer& mixer() { return mixer_; }

    /// Scores of a mixture on all splits.
    SplitScores scores(const MixWeights& weights) {
        SplitScores result;
        mixer_.mix(weights);
        for (const Split& split : search_.input.splits) {
            const auto logits = compute_logits(engine_, *comm_, split, RoutePlan::soup(), config_.eval.batch);
            result.emplace_back(split.name, score_logits(search_.input.task, split, logits, engine_.spec()));
        }
        return result;
    }

    /// Score of the deciding metric on the deciding split; a NaN counts as the worst.
    double deciding(const SplitScores& scores) const {
        const double score = find_score(scores.front().second, search_.metric);
        return std::isnan(score) ? -std::numeric_limits<double>::infinity() : score;
    }

    double deciding_score(const MixWeights& weights) {
        mixer_.mix(weights);
        const Split& split = search_.input.splits.front();
        const auto logits = compute_logits(engine_, *comm_, split, RoutePlan::soup(), config_.eval.batch);
        return deciding({{split.name, score_logits(search_.input.task, split, logits, engine_.spec())}});
    }

private:
    const Config& config_;
    const SearchInput& search_;
    Engine& engine_;
    IngredientMixer mixer_;
    std::unique_ptr<Communicator> comm_;
};

MixWeights greedy_weights(Search& search, const std::vector<double>& single_scores) {
    std::vector<std::size_t> order(single_scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return single_scores[a] > single_scores[b]; });
    std::vector<std::size_t> chosen = {order.front()};
    double best = single_scores[order.front()];
    for (std::size_t i = 1; i < order.size(); ++i) {
        std::vector<std::size_t> candidate = chosen;
        candidate.push_back(order[i]);
        const double score = search.deciding_score(search.mixer().uniform(candidate));
        if (score >= best) {
            chosen = candidate;
            best = score;
        }
    }
    return search.mixer().uniform(chosen);
}

MixWeights learned_weights(const Config& config, const SearchOptions& options, const SearchInput& input, Engine& engine,
                           Search& search) {
    ScoreTraining training(config, engine, search.mixer(), input.input.splits.front(), options.score_lr);
    MixWeights best = training.weights();
    double best_score = search.deciding_score(best);
    for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
        training.run_epoch(epoch);
        const double score = search.deciding_score(training.weights());
        if (score > best_score) {
            best = training.weights();
            best_score = score;
        }
    }
    return best;
}

/// Weight of an ingredient in the result: one number, or its range over the groups.
std::string weight_text(const MixWeights& weights, std::size_t ingredient) {
    double least = weights.front()[ingredient];
    double most = least;
    for (const std::vector<double>& group : weights) {
        least = std::min(least, group[ingredient]);
        most = std::max(most, group[ingredient]);
    }
    return most - least < 1e-12 ? fmt::format("{:.3f}", least) : fmt::format("{:.3f}..{:.3f}", least, most);
}

}  // namespace

SearchInput open_search(const Config& given_config, bool select_given, const std::vector<std::string>& paths) {
    std::vector<Soup> soups;
    for (const std::string& path : paths) {
        soups.push_back(import_soup(path));
    }
    SearchInput search;
    search.ingredients = soup_ingredients(soups, paths);
    const Config config = choose_selection(given_config, select_given, soups, paths);
    search.select = config.eval.select;
    search.input = open_evaluation(config, std::optional<Soup>(soups.front()), {});
    search.input.soup = search.ingredients.front().soup;
    const std::string trained_by = soups.front().metric.empty() ? search.input.task.main_metric : soups.front().metric;
    search.metric = config.eval.metric.empty() ? trained_by : config.eval.metric;
    if (selection_share(config) > 0) {
        Config data_config = config;
        data_config.data.task = search.input.task.name;
        Split train = open_split(data_config, "train");
        Split part = hold_out(train, selection_share(config), config.eval.select_seed);
        search.input.splits.insert(search.input.splits.begin(), std::move(part));
    }
    for (const Split& split : search.input.splits) {
        if (hides_labels(split)) {
            throw DataError(fmt::format("cannot choose on the split {} of {}", split.name, split.task),
                            "it has rows without a label", "prepare it from a file in which every row is labelled");
        }
    }
    std::vector<Soup> merged;
    for (const Ingredient& ingredient : search.ingredients) {
        merged.push_back(ingredient.soup);
    }
    search.description = soups.size() == 1 ? merge_experts(soups.front()) : average_soups(merged);
    return search;
}

SearchResult search_soup(const Config& config, const SearchOptions& options, SearchInput input, Engine& engine) {
    Search search(config, input, engine);
    const std::size_t count = input.ingredients.size();
    SearchResult result;
    std::vector<double> single_scores;
    for (std::size_t k = 0; k < count; ++k) {
        result.rows.push_back({input.ingredients[k].name, search.scores(search.mixer().uniform({k})), ""});
        single_scores.push_back(search.deciding(result.rows.back().scores));
    }
    std::vector<std::size_t> all(count);
    std::iota(all.begin(), all.end(), std::size_t{0});
    result.rows.push_back({"uniform", search.scores(search.mixer().uniform(all)), ""});
    const MixWeights weights = options.method == "greedy" ? greedy_weights(search, single_scores)
                                                          : learned_weights(config, options, input, engine, search);
    result.rows.push_back({options.method, search.scores(weights), ""});
    for (std::size_t k = 0; k < count; ++k) {
        result.rows[k].in_the_result = weight_text(weights, k);
    }
    Soup description = std::move(input.description);
    description.method = options.method;
    description.selected_on = input.select;
    description.metric = input.metric;
    description.score = find_score(result.rows.back().scores.front().second, input.metric);
    description.weights.clear();
    const std::size_t groups = options.method == "greedy" ? 1 : weights.size();
    for (std::size_t g = 0; g < groups; ++g) {
        description.weights.insert(description.weights.end(), weights[g].begin(), weights[g].end());
    }
    // The engine still holds the result: it was scored last.
    result.soup = search.mixer().mixed_soup(std::move(description));
    return result;
}

std::string search_table(const SearchInput& search, const SearchResult& result) {
    std::vector<TextTable::Column> columns = {{"model", false}};
    for (const auto& [split, scores] : result.rows.front().scores) {
        for (const auto& [name, value] : scores) {
            columns.push_back({split + " " + name});
        }
    }
    columns.push_back({"weight"});
    TextTable table(std::move(columns));
    for (const SearchRow& row : result.rows) {
        std::vector<std::string> cells = {row.name};
        for (const auto& [split, scores] : row.scores) {
            for (const auto& [name, value] : scores) {
                cells.push_back(score_text(value));
            }
        }
        cells.push_back(row.in_the_result);
        table.add_row(std::move(cells));
    }
    return table.text() +
           (search.select == "dev"
                ? fmt::format("Chosen by {} on dev (eval.select = dev): dev scores are optimistic.\n", search.metric)
                : fmt::format("Chosen by {} on rows held out of train (eval.select = {}): dev only reports.\n",
                              search.metric, search.select));
}

}  // namespace ladle
