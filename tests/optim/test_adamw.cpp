// AdamW against its formulas evaluated here one number at a time; reset of gradients; clipping.
#include <array>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "ladle/core/error.hpp"
#include "ladle/optim/adamw.hpp"

using namespace ladle;

namespace {

// Tensors of one number each keep the formulas readable: one decays, one is a bias.
struct Pair {
    ParameterTable table;
    std::unique_ptr<Kernels<double>> kernels = make_reference_kernels<double>();
    std::vector<double> weights = {0.5, -0.25};
    Pair() {
        table.add("up.weight", {1}, "adapters", {});
        table.add("up.bias", {1}, "biases", {});
    }
};

// Evaluates the published update from the whole history of one number's clipped gradients, without running moments.
double updated_weight(double weight, const std::vector<double>& gradients, double rate, double decay) {
    for (std::size_t n = 1; n <= gradients.size(); ++n) {
        double m = 0;
        double v = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const double age = static_cast<double>(n - 1 - i);
            m += 0.1 * std::pow(0.9, age) * gradients[i];
            v += 0.001 * std::pow(0.999, age) * gradients[i] * gradients[i];
        }
        const auto t = static_cast<double>(n);
        weight -= rate * std::sqrt(1 - std::pow(0.999, t)) / (1 - std::pow(0.9, t)) * m / (std::sqrt(v) + 1e-8);
        weight *= 1 - rate * decay;
    }
    return weight;
}

// Both sides compute in double with a handful of operations.
constexpr double kTolerance = 1e-13;

}  // namespace

BOOST_AUTO_TEST_CASE(the_form_of_pytorch_decays_first_and_corrects_the_root) {
    Pair pair;
    // A large epsilon, so that its place matters.
    constexpr double kEpsilon = 1e-2;
    AdamW<double> optimizer(
        pair.table,
        {.form = AdamWForm::pytorch, .weight_decay = 0.3, .max_grad_norm = 0, .beta2 = 0.95, .epsilon = kEpsilon});
    double expected = 0.5;
    double m = 0;
    double v = 0;
    for (int step = 1; step <= 3; ++step) {
        const double g = 0.2 * step - 0.3;
        const std::array<double, 2> gradient = {g, 0.0};
        optimizer.step(*pair.kernels, 0.1, {1, 0}, gradient.data(), pair.weights.data());
        m = 0.9 * m + 0.1 * g;
        v = 0.95 * v + 0.05 * g * g;
        expected *= 1 - 0.1 * 0.3;
        expected -= 0.1 * (m / (1 - std::pow(0.9, step))) / (std::sqrt(v / (1 - std::pow(0.95, step))) + kEpsilon);
    }
    BOOST_TEST(std::abs(pair.weights[0] - expected) < kTolerance);
    BOOST_TEST(pair.weights[1] == -0.25);
}

BOOST_AUTO_TEST_CASE(updates_follow_the_formulas) {
    Pair pair;
    AdamW<double> optimizer(pair.table, {.weight_decay = 0.1, .max_grad_norm = 0});
    const std::vector<double> first = {0.3, -0.02, 0.001};
    const std::vector<double> second = {-1.5, 4.0, 0.25};
    for (std::size_t step = 0; step < first.size(); ++step) {
        const std::array<double, 2> gradient = {first[step], second[step]};
        const double norm = optimizer.step(*pair.kernels, 1e-2, {1, 1}, gradient.data(), pair.weights.data());
        BOOST_TEST(std::abs(norm - std::hypot(first[step], second[step])) < kTolerance);
    }
    BOOST_TEST(std::abs(pair.weights[0] - updated_weight(0.5, first, 1e-2, 0.1)) < kTolerance);
    BOOST_TEST(std::abs(pair.weights[1] - updated_weight(-0.25, second, 1e-2, 0)) < kTolerance);
}

BOOST_AUTO_TEST_CASE(gradients_are_clipped_to_the_global_norm) {
    Pair pair;
    AdamW<double> optimizer(pair.table, {.weight_decay = 0, .max_grad_norm = 1});
    const std::array<double, 2> gradient = {3.0, 4.0};
    BOOST_TEST(optimizer.step(*pair.kernels, 1e-2, {1, 1}, gradient.data(), pair.weights.data()) == 5.0);
    BOOST_TEST(std::abs(optimizer.state().first_moment[0] - 0.1 * 3.0 / (5 + 1e-6)) < kTolerance);
    BOOST_TEST(std::abs(optimizer.state().second_moment[1] - 0.001 * std::pow(4.0 / (5 + 1e-6), 2)) < kTolerance);
    BOOST_TEST(clip_scale(0.5, 1) == 1.0);
    BOOST_TEST(clip_scale(50, 0) == 1.0);
    BOOST_TEST(clip_scale(2, 1) == 1 / (2 + 1e-6));
}

BOOST_AUTO_TEST_CASE(an_idle_tensor_steps_only_when_gradients_are_zero_filled) {
    for (const GradientReset reset : {GradientReset::zero, GradientReset::none}) {
        Pair pair;
        AdamW<double> optimizer(pair.table, {.weight_decay = 0.1, .max_grad_norm = 0, .gradient_reset = reset});
        const std::array<double, 2> bias_only = {0.0, 1.0};
        const std::array<double, 2> both = {1.0, 1.0};
        optimizer.step(*pair.kernels, 1e-2, {0, 1}, bias_only.data(), pair.weights.data());
        BOOST_TEST(pair.weights[0] == 0.5);
        BOOST_TEST(optimizer.state().steps[0] == 0);
        optimizer.step(*pair.kernels, 1e-2, {1, 1}, both.data(), pair.weights.data());
        optimizer.step(*pair.kernels, 1e-2, {0, 1}, bias_only.data(), pair.weights.data());
        const bool zero = reset == GradientReset::zero;
        const std::vector<double> seen = zero ? std::vector<double>{1.0, 0.0} : std::vector<double>{1.0};
        BOOST_TEST(optimizer.state().steps[0] == (zero ? 2 : 1));
        BOOST_TEST(std::abs(pair.weights[0] - updated_weight(0.5, seen, 1e-2, 0.1)) < kTolerance);
        BOOST_TEST(optimizer.state().steps[1] == 3);
    }
}

BOOST_AUTO_TEST_CASE(a_tensor_used_without_a_gradient_starts_counting) {
    // The second pass of a regression task: the consistency term is zero, yet the expert took part.
    Pair pair;
    AdamW<double> optimizer(pair.table, {.gradient_reset = GradientReset::none});
    const std::array<double, 2> zeros = {0.0, 0.0};
    optimizer.step(*pair.kernels, 1e-2, {2, 0}, zeros.data(), pair.weights.data());
    BOOST_TEST(optimizer.state().steps[0] == 1);
    BOOST_TEST(optimizer.state().steps[1] == 0);
    BOOST_TEST(std::abs(pair.weights[0] - 0.5 * (1 - 1e-2 * 0.1)) < kTolerance);
}

BOOST_AUTO_TEST_CASE(a_gradient_that_is_not_finite_changes_nothing_and_is_named) {
    Pair pair;
    AdamW<double> optimizer(pair.table, {});
    const std::array<double, 2> gradient = {1.0, std::numeric_limits<double>::infinity()};
    BOOST_CHECK_EXCEPTION(
        optimizer.step(*pair.kernels, 1e-2, {1, 1}, gradient.data(), pair.weights.data()), NotFiniteError,
        [](const NotFiniteError& error) { return std::string(error.what()).find("up.bias") != std::string::npos; });
    BOOST_TEST(pair.weights[0] == 0.5);
    BOOST_TEST(optimizer.state().steps[0] == 0);
}

BOOST_AUTO_TEST_CASE(a_restored_optimizer_continues_bit_for_bit) {
    ParameterTable table;
    table.add("a.weight", {5}, "adapters", {});
    table.add("a.bias", {3}, "biases", {});
    const auto kernels = make_reference_kernels<float>();
    std::vector<float> weights(8, 0.1F);
    AdamW<float> optimizer(table, {});
    const auto gradient = [](int step) {
        std::vector<float> values;
        for (int i = 0; i < 8; ++i) {
            values.push_back(std::sin(static_cast<float>(step * 8 + i)));
        }
        return values;
    };
    for (int step = 0; step < 3; ++step) {
        optimizer.step(*kernels, 1e-3, {1, 1}, gradient(step).data(), weights.data());
    }
    AdamW<float> resumed(table, {});
    resumed.restore(optimizer.state());
    std::vector<float> resumed_weights = weights;
    optimizer.step(*kernels, 1e-3, {1, 0}, gradient(3).data(), weights.data());
    resumed.step(*kernels, 1e-3, {1, 0}, gradient(3).data(), resumed_weights.data());
    BOOST_TEST(weights == resumed_weights, boost::test_tools::per_element());
    BOOST_CHECK_THROW(resumed.restore({}), InternalError);
}
