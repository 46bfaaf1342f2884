// Weights of experts, and rows multiplied by them, against double loops.
#include <boost/test/unit_test.hpp>

#include "kernel_support.hpp"
#include "support/differences.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

std::size_t area(int rows, int width) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(width);
}

// A few roundings of numbers of order one.
constexpr double kTolerance = 2e-6;

void compare(const std::vector<double>& expected, Guarded<float>& found, const std::string& name) {
    const double largest = largest_difference(expected, found.values());
    BOOST_TEST(largest < kTolerance, name << " differ by " << largest);
}

/// Of each element, in place or with a second input.
void compare_functions(std::size_t count) {
    const auto x = random_values(count, 1, 4.0F);
    const auto dy = random_values(count, 2);
    std::vector<double> silu(count);
    std::vector<double> dsilu(count);
    std::vector<double> sigmoid(count);
    std::vector<double> dsigmoid(count);
    std::vector<float> y(count);
    for (std::size_t i = 0; i < count; ++i) {
        const double s = 1 / (1 + std::exp(-static_cast<double>(x[i])));
        y[i] = static_cast<float>(0.75 * s);
        silu[i] = x[i] * s;
        dsilu[i] = dy[i] * (s + x[i] * s * (1 - s));
        sigmoid[i] = 0.75 * s;
        dsigmoid[i] = dy[i] * 0.75 * s * (1 - s);
    }
    Guarded<float> found(x);
    kernels_under_test().silu(count, found.data(), found.data());
    compare(silu, found, "silu");
    Guarded<float> found_dsilu(dy);
    kernels_under_test().silu_backward(count, x.data(), found_dsilu.data(), found_dsilu.data());
    compare(dsilu, found_dsilu, "gradients of silu");
    Guarded<float> found_sigmoid(x);
    kernels_under_test().sigmoid(count, 0.75F, found_sigmoid.data(), found_sigmoid.data());
    compare(sigmoid, found_sigmoid, "sigmoid");
    Guarded<float> found_dsigmoid(dy);
    kernels_under_test().sigmoid_backward(count, 0.75F, y.data(), found_dsigmoid.data(), found_dsigmoid.data());
    compare(dsigmoid, found_dsigmoid, "gradients of sigmoid");
}

void compare_softmax(int rows, int columns) {
    const std::string name = std::to_string(rows) + " rows of " + std::to_string(columns);
    const auto x = random_values(area(rows, columns), 1, 30.0F);
    const auto dy = random_values(area(rows, columns), 2);
    std::vector<double> y(x.size());
    std::vector<double> dx(x.size());
    std::vector<float> rounded(x.size());
    for (int r = 0; r < rows; ++r) {
        const std::size_t start = area(r, columns);
        const auto end = start + static_cast<std::size_t>(columns);
        double sum = 0;
        double mean = 0;
        for (std::size_t i = start; i < end; ++i) {
            sum += std::exp(static_cast<double>(x[i]));
        }
        for (std::size_t i = start; i < end; ++i) {
            y[i] = std::exp(static_cast<double>(x[i])) / sum;
            rounded[i] = static_cast<float>(y[i]);
            mean += y[i] * dy[i];
        }
        for (std::size_t i = start; i < end; ++i) {
            dx[i] = y[i] * (dy[i] - mean);
        }
    }
    Guarded<float> found(x);
    kernels_under_test().softmax(rows, columns, found.data(), found.data());
    compare(y, found, "softmax of " + name);
    Guarded<float> found_dx(dy);
    kernels_under_test().softmax_backward(rows, columns, rounded.data(), found_dx.data(), found_dx.data());
    compare(dx, found_dx, "gradients of softmax of " + name);
}

/// Scores of different sizes, so that no choice hangs on rounding; 1 to 1.9 in tenths, shuffled by row.
struct SelectionInputs {
    SelectionInputs(int rows_, int experts_) : rows(rows_), experts(experts_), thresholds(area(rows, 1)) {
        for (int r = 0; r < rows; ++r) {
            thresholds[static_cast<std::size_t>(r)] = 0.15F + 0.1F * static_cast<float>(r % (experts + 1));
            for (int e = 0; e < experts; ++e) {
                scores.push_back(0.1F * static_cast<float>(1 + (3 * r + e * (1 + r % 2)) % (experts + 3)));
            }
        }
        dweights = random_values(scores.size(), 3);
        dvalues = random_values(area(1, experts), 4);
    }
    int rows;
    int experts;
    std::vector<float> thresholds;
    std::vector<float> scores;
    std::vector<float> dweights;
    std::vector<float> dvalues;
};

struct SelectionRule {
    std::string name;
    int top_k;
    bool own_thresholds;
    bool subtract;
    bool normalize;
};

template <class Real>
Selection<Real> selection_call(const SelectionInputs& in, const SelectionRule& rule) {
    Selection<Real> call;
    call.rows = in.rows;
    call.experts = in.experts;
    call.top_k = std::min(rule.top_k, in.experts);
    call.subtract = rule.subtract;
    call.normalize = rule.normalize;
    call.threshold = Real(0.35);
    return call;
}

/// Forward by the definition, backward by the plain loops, whose gradients finite differences check elsewhere.
void compare_selection(const SelectionInputs& in, const SelectionRule& rule) {
    const std::string name = rule.name + " of " + std::to_string(in.experts);
    std::vector<double> weights(in.scores.size());
    std::vector<double> chosen(in.scores.size());
    for (int r = 0; r < in.rows; ++r) {
        const auto* scores = in.scores.data() + area(r, in.experts);
        const double threshold = rule.own_thresholds ? in.thresholds[static_cast<std::size_t>(r)] : 0.35;
        double sum = 0;
        for (int e = 0; e < in.experts; ++e) {
            int before = 0;
            for (int other = 0; other < in.experts; ++other) {
                before += scores[other] > scores[e] || (scores[other] == scores[e] && other < e) ? 1 : 0;
            }
            const bool selected = rule.top_k > 0 ? before < rule.top_k : scores[e] >= threshold;
            const std::size_t at = area(r, in.experts) + static_cast<std::size_t>(e);
            chosen[at] = selected ? 1 : 0;
            weights[at] = selected ? scores[e] - (rule.subtract ? threshold : 0) : 0;
            sum += weights[at];
        }
        for (int e = 0; e < in.experts && rule.normalize && sum != 0; ++e) {
            weights[area(r, in.experts) + static_cast<std::size_t>(e)] /= sum;
        }
    }
    auto call = selection_call<float>(in, rule);
    call.thresholds = rule.own_thresholds ? in.thresholds.data() : nullptr;
    call.scores = in.scores.data();
    Guarded<float> found(in.scores.size());
    Guarded<float> found_chosen(in.scores.size());
    call.weights = found.data();
    call.selected = found_chosen.data();
    kernels_under_test().select(call);
    compare(weights, found, "weights by " + name);
    compare(chosen, found_chosen, "choice by " + name);

    const auto scores = widened(in.scores);
    const auto thresholds = widened(in.thresholds);
    const auto dweights = widened(in.dweights);
    const auto dvalues = widened(in.dvalues);
    std::vector<double> dscores(scores.size());
    std::vector<double> dthresholds(thresholds.size());
    SelectionBackward<double> expected{selection_call<double>(in, rule), dweights.data(), dvalues.data(),
                                       dscores.data(), dthresholds.data()};
    expected.forward.thresholds = rule.own_thresholds ? thresholds.data() : nullptr;
    expected.forward.scores = scores.data();
    expected.forward.weights = weights.data();
    reference().select_backward(expected);
    Guarded<float> found_dscores(in.dweights);
    Guarded<float> found_dthresholds(thresholds.size());
    call.selected = nullptr;
    kernels_under_test().select_backward(
        {call, found_dscores.data(), in.dvalues.data(), found_dscores.data(), found_dthresholds.data()});
    // Divided by sums down to a twentieth.
    BOOST_TEST(normalised_error(dscores, found_dscores.values()) < 1e-10, name);
    if (rule.subtract) {
        BOOST_TEST(normalised_error(dthresholds, found_dthresholds.values()) < 1e-10, name);
    } else {
        compare(dthresholds, found_dthresholds, "gradients of thresholds by " + name);
    }
}

void compare_rows(int rows, int width, int stride) {
    const std::string name = std::to_string(rows) + " rows of " + std::to_string(width);
    const auto weights = random_values(area(rows, stride), 1);
    const auto x = random_values(area(rows, width), 2);
    const auto b = random_values(area(rows, width), 3);
    const auto dots = random_values(area(rows, stride), 4);
    std::vector<double> weighted = widened(x);
    std::vector<double> sums = widened(dots);
    for (int r = 0; r < rows; ++r) {
        for (std::size_t i = area(r, width); i < area(r + 1, width); ++i) {
            sums[area(r, stride)] += static_cast<double>(x[i]) * b[i];
            weighted[i] *= weights[area(r, stride)];
        }
    }
    Guarded<float> found(x);
    kernels_under_test().weigh_rows(rows, width, weights.data(), stride, found.data(), found.data());
    compare(weighted, found, "weighted " + name);
    Guarded<float> found_sums(dots);
    kernels_under_test().add_row_products(rows, width, x.data(), b.data(), stride, found_sums.data());
    BOOST_TEST(normalised_error(sums, found_sums.values()) < kFp32Error, "products of " << name);
}

void compare_segment_sums(const std::vector<int>& lengths, int width) {
    std::vector<int> offsets = {0};
    for (const int length : lengths) {
        offsets.push_back(offsets.back() + length);
    }
    const auto x = random_values(area(offsets.back(), width), 1);
    std::vector<double> sums(lengths.size() * static_cast<std::size_t>(width));
    for (std::size_t s = 0; s < lengths.size(); ++s) {
        for (int r = offsets[s]; r < offsets[s + 1]; ++r) {
            for (std::size_t j = 0; j < static_cast<std::size_t>(width); ++j) {
                sums[s * static_cast<std::size_t>(width) + j] += x[area(r, width) + j];
            }
        }
    }
    Guarded<float> found(sums.size());
    kernels_under_test().segment_sums(static_cast<int>(lengths.size()), width, offsets.data(), x.data(), found.data());
    BOOST_TEST(normalised_error(sums, found.values()) < kFp32Error, "sums of width " << width);
}

}  // namespace

BOOST_AUTO_TEST_CASE(gates_and_activations_of_experts) {
    for (const std::size_t count : {1U, 7U, 64U, 129U, 1000U}) {
        compare_functions(count);
    }
}

BOOST_AUTO_TEST_CASE(softmax_over_few_columns) {
    for (const int rows : {1, 7, 300}) {
        for (const int columns : {1, 2, 3, 8, 11}) {
            compare_softmax(rows, columns);
        }
    }
}

BOOST_AUTO_TEST_CASE(experts_are_selected) {
    const std::vector<SelectionRule> rules = {{"threshold", 0, false, false, false},
                                              {"thresholds of rows", 0, true, false, false},
                                              {"top 1", 1, false, false, true},
                                              {"top 2", 2, false, false, true},
                                              {"excess over thresholds", 0, true, true, true}};
    for (const SelectionRule& rule : rules) {
        for (const int experts : {1, 2, 3, 7}) {
            compare_selection(SelectionInputs(131, experts), rule);
        }
    }
}

BOOST_AUTO_TEST_CASE(of_equal_scores_the_first_are_selected) {
    const std::vector<float> scores = {0.25F, 0.5F, 0.5F, 0.5F};
    Selection<float> call;
    call.rows = 1;
    call.experts = 4;
    call.top_k = 2;
    call.scores = scores.data();
    std::vector<float> weights(4, 9.0F);
    call.weights = weights.data();
    kernels_under_test().select(call);
    const std::vector<float> expected = {0.0F, 0.5F, 0.5F, 0.0F};
    BOOST_TEST(weights == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_score_on_its_threshold_is_selected) {
    const std::vector<float> scores = {0.25F, 0.5F};
    Selection<float> call;
    call.rows = 1;
    call.experts = 2;
    call.threshold = 0.5F;
    call.scores = scores.data();
    std::vector<float> weights(2, 9.0F);
    std::vector<float> selected(2, 9.0F);
    call.weights = weights.data();
    call.selected = selected.data();
    kernels_under_test().select(call);
    BOOST_TEST(weights[0] == 0.0F);
    BOOST_TEST(weights[1] == 0.5F);
    // With nothing above the threshold the sum is zero and divides nothing.
    call.subtract = call.normalize = true;
    kernels_under_test().select(call);
    BOOST_TEST(weights[1] == 0.0F);
    BOOST_TEST(selected[1] == 1.0F);
}

BOOST_AUTO_TEST_CASE(rows_are_weighted_and_multiplied) {
    for (const int rows : {1, 7, 129}) {
        for (const int width : {1, 4, 12, 50, 384, 389}) {
            compare_rows(rows, width, 1);
            compare_rows(rows, width, 3);
        }
    }
}

BOOST_AUTO_TEST_CASE(rows_of_segments_are_summed) {
    for (const int width : {1, 7, 64, 129}) {
        compare_segment_sums({5, 1, 0, 130}, width);
    }
}

BOOST_AUTO_TEST_CASE(weighted_rows_do_not_depend_on_their_place) {
    constexpr int kRows = 67;
    constexpr int kWidth = 83;
    const auto x = random_values(area(kRows, kWidth), 1);
    const auto b = random_values(area(kRows, kWidth), 2);
    std::vector<float> together(kRows);
    kernels_under_test().add_row_products(kRows, kWidth, x.data(), b.data(), 1, together.data());
    for (int r = 0; r < kRows; ++r) {
        float alone = 0;
        kernels_under_test().add_row_products(1, kWidth, x.data() + area(r, kWidth), b.data() + area(r, kWidth), 1,
                                              &alone);
        BOOST_TEST(same_bits(&alone, &together[static_cast<std::size_t>(r)], 1));
    }
}
