// Mixing ingredients, the gradient through the mixture, learned and greedy weights, on a tiny model.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "ladle/core/error.hpp"
#include "ladle/research/score_training.hpp"
#include "ladle/research/soup_search.hpp"
#include "ladle/train/evaluate.hpp"
#include "ladle/train/soup_model.hpp"
#include "support/tiny_inputs.hpp"

using namespace ladle;

namespace {

/// A mixture on a tiny backbone, a split whose label is decided by a word, and a soup with experts that differ.
struct Kitchen {
    Kitchen() {
        config.adapter.size = 4;
        config.adapter.num_experts = 3;
        config.train.batch = 8;
        config.train.leaf = 2;
        config.comm.reduction = "fast";
        split.offsets = {0};
        for (int i = 0; i < 24; ++i) {
            const int label = i % 2;
            for (const std::int32_t id : {2, 4 + i % 5, 10 + label, 3}) {
                split.input_ids.push_back(id);
            }
            split.offsets.push_back(static_cast<std::int64_t>(split.input_ids.size()));
            split.sep_pos.push_back(0);
            split.labels.push_back(label);
            split.idx.push_back(i);
        }
        split.name = "held_out";
        split.task = task.name;
        split.label_names = task.label_names;
        Engine mixture(config, model_spec(config, backbone.config, 2), backbone, *alone);
        for (std::size_t i = 0; i < mixture.parameters().size(); ++i) {
            mixture.parameters()[i] += 0.3F * std::sin(0.7F * static_cast<float>(i));
        }
        experts = make_soup(config, mixture, task, split, "");
    }

    Engine merged_engine() const {
        return {config, soup_spec(merge_experts(experts), backbone.config, config), backbone, *alone};
    }

    std::unique_ptr<Communicator> alone = make_single_communicator();
    Config config;
    Backbone backbone = test::tiny_encoder_weights("bert");
    Task task = make_custom_task("words", {"a", "b"});
    Split split;
    Soup experts;
};

double loss_of(Engine& engine, const Split& split) {
    const auto comm = make_single_communicator();
    return mean_loss(split, compute_logits(engine, *comm, split, RoutePlan::soup(), 4));
}

std::vector<std::uint32_t> all_rows(const Split& split) {
    std::vector<std::uint32_t> rows;
    for (std::uint32_t row = 0; row < split.samples(); ++row) {
        rows.push_back(row);
    }
    return rows;
}

}  // namespace

BOOST_AUTO_TEST_CASE(equal_weights_give_the_bytes_of_the_plain_soup) {
    const Kitchen kitchen;
    Engine engine = kitchen.merged_engine();
    const auto ingredients = soup_ingredients({kitchen.experts}, {"best.h5"});
    BOOST_TEST(ingredients.size() == 3U);
    IngredientMixer mixer(engine, ingredients);
    BOOST_TEST(mixer.groups() ==
                   (std::vector<std::string>{"layer.0.down", "layer.0.up", "layer.1.down", "layer.1.up", "head"}),
               boost::test_tools::per_element());
    mixer.mix(mixer.uniform({0, 1, 2}));
    const Soup plain = merge_experts(kitchen.experts);
    BOOST_TEST(tensor_digest(mixer.mixed_soup(plain)) == tensor_digest(plain));
    mixer.mix(mixer.uniform({0, 2}));
    BOOST_TEST(tensor_digest(mixer.mixed_soup(plain)) == tensor_digest(merge_experts(kitchen.experts, {0.5, 0, 0.5})));
    mixer.mix(mixer.uniform({1}));
    BOOST_TEST(tensor_digest(mixer.mixed_soup(plain)) == tensor_digest(ingredients[1].soup));
}

BOOST_AUTO_TEST_CASE(the_gradient_of_the_weights_is_that_of_finite_differences) {
    const Kitchen kitchen;
    Engine engine = kitchen.merged_engine();
    IngredientMixer mixer(engine, soup_ingredients({kitchen.experts}, {"best.h5"}));
    MixWeights weights = mixer.uniform({0, 1, 2});
    weights[0] = {0.5, 0.3, 0.2};
    weights[2] = {0.1, 0.2, 0.7};
    mixer.mix(weights);
    std::vector<float> gradient(engine.table().total_count());
    const double loss = loss_gradient(engine, kitchen.split, all_rows(kitchen.split), 2, gradient);
    // fp32 forward passes against sums in double: 1e-5 relative.
    BOOST_TEST(std::abs(loss - loss_of(engine, kitchen.split)) < 1e-5 * loss);
    const MixWeights analytic = mixer.weight_gradient(gradient);
    for (const std::size_t group : {0U, 2U}) {
        for (std::size_t k = 0; k < 3; ++k) {
            // Along w_k up and w_j down, because a value in which all ingredients agree is kept as it is.
            const std::size_t j = (k + 1) % 3;
            const double step = 0.02;
            double ends[2];
            for (int side = 0; side < 2; ++side) {
                MixWeights moved = weights;
                moved[group][k] += side == 0 ? -step : step;
                moved[group][j] -= side == 0 ? -step : step;
                mixer.mix(moved);
                ends[side] = loss_of(engine, kitchen.split);
            }
            const double numeric = (ends[1] - ends[0]) / (2 * step);
            const double expected = analytic[group][k] - analytic[group][j];
            // fp32 losses of 0.5 with a step of 0.02: 3e-6 of rounding, and the step's own square.
            BOOST_TEST(std::abs(numeric - expected) < 1e-4 + 5e-3 * std::abs(expected),
                       mixer.groups()[group] << " " << k << ": " << numeric << " and " << expected);
        }
    }
}

BOOST_AUTO_TEST_CASE(the_gradient_of_softmax_scores) {
    const MixWeights scores = {{0.3, -1.0, 2.0}, {0.0, 0.0, 0.0}};
    const MixWeights direction = {{1.0, 2.0, -0.5}, {3.0, 1.0, 0.0}};
    const auto value = [&](const MixWeights& at) {
        double sum = 0;
        const MixWeights weights = softmax_weights(at);
        for (std::size_t g = 0; g < 2; ++g) {
            for (std::size_t k = 0; k < 3; ++k) {
                sum += weights[g][k] * direction[g][k];
            }
        }
        return sum;
    };
    const MixWeights gradient = softmax_gradient(softmax_weights(scores), direction);
    for (std::size_t g = 0; g < 2; ++g) {
        for (std::size_t k = 0; k < 3; ++k) {
            MixWeights up = scores;
            MixWeights down = scores;
            up[g][k] += 1e-6;
            down[g][k] -= 1e-6;
            // Central differences in double: error about 1e-10.
            BOOST_TEST(std::abs((value(up) - value(down)) / 2e-6 - gradient[g][k]) < 1e-8);
        }
    }
}

BOOST_AUTO_TEST_CASE(learned_scores_lower_the_loss_and_repeat) {
    const Kitchen kitchen;
    Engine engine = kitchen.merged_engine();
    IngredientMixer mixer(engine, soup_ingredients({kitchen.experts}, {"best.h5"}));
    ScoreTraining first(kitchen.config, engine, mixer, kitchen.split, 0.2);
    ScoreTraining second(kitchen.config, engine, mixer, kitchen.split, 0.2);
    mixer.mix(first.weights());
    const double before = loss_of(engine, kitchen.split);
    for (int epoch = 0; epoch < 10; ++epoch) {
        first.run_epoch(epoch);
        second.run_epoch(epoch);
    }
    mixer.mix(first.weights());
    BOOST_TEST(loss_of(engine, kitchen.split) < before);
    BOOST_TEST((first.weights() == second.weights()));
    // The shared up projections and the head are the same in all ingredients: their scores have no gradient.
    BOOST_TEST(std::abs(first.weights()[1][0] - 1.0 / 3) < 1e-4);
}

BOOST_AUTO_TEST_CASE(the_chosen_soup_is_not_worse_than_what_it_started_from) {
    Kitchen kitchen;
    Engine engine = kitchen.merged_engine();
    const auto comm = make_single_communicator();
    SearchInput search;
    search.ingredients = soup_ingredients({kitchen.experts}, {"best.h5"});
    // The first expert is right by definition.
    load_soup(search.ingredients[0].soup, engine);
    const auto right = compute_logits(engine, *comm, kitchen.split, RoutePlan::soup(), 4);
    kitchen.split.labels = predict(kitchen.split, right, false).classes;
    // One that says the opposite, loudly: any mean with it is wrong where the others are right.
    Soup opposite = search.ingredients[0].soup;
    for (auto& [name, tensor] : opposite.tensors) {
        if (name.starts_with("classifier")) {
            std::vector<float> values = tensor.to_floats();
            std::for_each(values.begin(), values.end(), [](float& value) { value *= -9; });
            tensor = Tensor::from_floats(tensor.shape, values.data());
        }
    }
    search.ingredients.push_back({"opposite", opposite});
    search.input.task = kitchen.task;
    search.input.splits = {kitchen.split};
    search.description = merge_experts(kitchen.experts);
    search.select = "split:0.1";
    search.metric = "accuracy";
    for (const std::string method : {"greedy", "learned"}) {
        SearchOptions options;
        options.method = method;
        options.epochs = 2;
        const SearchResult result = search_soup(kitchen.config, options, search, engine);
        BOOST_TEST(result.rows.size() == 6U);
        const auto accuracy = [&](std::size_t row) { return result.rows[row].scores[0].second[0].second; };
        const bool greedy = method == "greedy";
        const double start = greedy ? std::max({accuracy(0), accuracy(1), accuracy(2), accuracy(3)}) : accuracy(4);
        BOOST_TEST(result.soup.score >= start);
        BOOST_TEST(accuracy(0) == 1);
        BOOST_TEST(accuracy(3) < 0.5);
        BOOST_TEST(result.soup.method == method);
        BOOST_TEST(result.soup.selected_on == "split:0.1");
        BOOST_TEST(result.soup.weights.size() == (greedy ? 4U : 20U));
        load_soup(result.soup, engine);
        const auto logits = compute_logits(engine, *comm, kitchen.split, RoutePlan::soup(), 4);
        BOOST_TEST(find_score(score_logits(kitchen.task, kitchen.split, logits, engine.spec()), "accuracy") ==
                   result.soup.score);
        BOOST_TEST(search_table(search, result).find("held out of train") != std::string::npos);
    }
}

BOOST_AUTO_TEST_CASE(a_single_ingredient_is_refused) {
    const Kitchen kitchen;
    BOOST_CHECK_THROW(soup_ingredients({merge_experts(kitchen.experts)}, {"soup.h5"}), ConfigError);
    Soup other = merge_experts(kitchen.experts);
    other.task = "another";
    BOOST_CHECK_THROW(soup_ingredients({merge_experts(kitchen.experts), other}, {"a", "b"}), ConfigError);
}
