// What decoders have of their own: RMS norm, rotary positions, gated SiLU, cross entropy over a vocabulary.
#include "kernel_support.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

const std::vector<int> kRowCounts = {1, 7, 129};
// Odd ones, and those beyond what a warp holds on a GPU.
const std::vector<int> kWidths = {1, 8, 12, 50, 384, 389, 1100, 4096};

std::size_t area(int rows, int columns) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
}

struct NormInputs {
    NormInputs(int rows_, int width_)
        : rows(rows_),
          width(width_),
          weight(random_values(area(1, width), 1)),
          x(random_values(area(rows, width), 2, 3.0F)),
          dy(random_values(area(rows, width), 3)),
          residual(random_values(area(rows, width), 4)),
          inverse_root(random_values(area(1, rows), 5)) {}

    template <class Real>
    RmsNorm<Real> forward() const {
        RmsNorm<Real> call;
        call.rows = rows;
        call.width = width;
        call.epsilon = 1e-5;
        return call;
    }
    template <class Real>
    RmsNormBackward<Real> backward() const {
        RmsNormBackward<Real> call;
        call.rows = rows;
        call.width = width;
        return call;
    }
    std::string name() const { return std::to_string(rows) + " rows of " + std::to_string(width); }

    int rows;
    int width;
    std::vector<float> weight;
    std::vector<float> x;
    std::vector<float> dy;
    std::vector<float> residual;
    std::vector<float> inverse_root;
};

void compare_norm(const NormInputs& in) {
    const auto x = widened(in.x);
    const auto weight = widened(in.weight);
    std::vector<double> y(x.size());
    std::vector<double> inverse(in.inverse_root.size());
    auto expected = in.forward<double>();
    expected.weight = weight.data();
    expected.x = x.data();
    expected.y = y.data();
    expected.inverse_root = inverse.data();
    reference().rms_norm(expected);

    Guarded<float> found(in.x);
    Guarded<float> found_inverse(in.inverse_root.size());
    auto call = in.forward<float>();
    call.weight = in.weight.data();
    call.x = found.data();
    call.y = found.data();
    call.inverse_root = found_inverse.data();
    kernels_under_test().rms_norm(call);
    BOOST_TEST(normalised_error(y, found.values()) < kFp32Error, in.name());
    BOOST_TEST(normalised_error(inverse, found_inverse.values()) < kFp32Error, in.name());
}

void compare_norm_backward(const NormInputs& in, bool with_residual) {
    const auto weight = widened(in.weight);
    const auto x = widened(in.x);
    const auto inverse = widened(in.inverse_root);
    const auto dy = widened(in.dy);
    const auto residual = widened(in.residual);
    std::vector<double> dx(x.size());
    auto expected = in.backward<double>();
    expected.weight = weight.data();
    expected.x = x.data();
    expected.inverse_root = inverse.data();
    expected.dy = dy.data();
    expected.residual = with_residual ? residual.data() : nullptr;
    expected.dx = dx.data();
    reference().rms_norm_backward(expected);

    // In place: over the residual, or over dy.
    Guarded<float> found(with_residual ? in.residual : in.dy);
    auto call = in.backward<float>();
    call.weight = in.weight.data();
    call.x = in.x.data();
    call.inverse_root = in.inverse_root.data();
    call.dy = with_residual ? in.dy.data() : found.data();
    call.residual = with_residual ? found.data() : nullptr;
    call.dx = found.data();
    kernels_under_test().rms_norm_backward(call);
    // Narrow rows nearly cancel, which leaves fewer good digits.
    BOOST_TEST(normalised_error(dx, found.values()) < 1e-11, in.name());
}

/// Angles of positions 0 .. count - 1, of no particular law.
std::vector<float> table(int positions, int half, bool sine) {
    std::vector<float> values;
    for (int i = 0; i < positions * half; ++i) {
        values.push_back(static_cast<float>(sine ? std::sin(0.37 * i) : std::cos(0.37 * i)));
    }
    return values;
}

/// `more`: columns behind the heads that stay as they are.
void compare_rotary(int rows, int heads, int head_dim, int more, bool inverse) {
    constexpr int kPositions = 11;
    const int half = head_dim / 2;
    const int row_width = heads * head_dim + more;
    const auto cosine = table(kPositions, half, false);
    const auto sine = table(kPositions, half, true);
    std::vector<std::uint32_t> positions;
    for (int r = 0; r < rows; ++r) {
        positions.push_back(static_cast<std::uint32_t>((r * 7 + 3) % kPositions));
    }
    const auto x = random_values(area(rows, row_width), 1);
    // The definition: pairs as complex numbers.
    std::vector<double> expected = widened(x);
    for (int r = 0; r < rows; ++r) {
        for (int pair = 0; pair < heads * half; ++pair) {
            const std::size_t at = positions[static_cast<std::size_t>(r)] * area(1, half) + area(1, pair % half);
            const std::size_t first = area(r, row_width) + area(2, pair);
            const double c = cosine[at];
            const double s = inverse ? -static_cast<double>(sine[at]) : sine[at];
            expected[first] = c * x[first] - s * x[first + 1];
            expected[first + 1] = s * x[first] + c * x[first + 1];
        }
    }
    Guarded<float> found(x);
    Rotary<float> call;
    call.rows = rows;
    call.heads = heads;
    call.head_dim = head_dim;
    call.row_width = row_width;
    call.inverse = inverse;
    call.positions = positions.data();
    call.cosine = cosine.data();
    call.sine = sine.data();
    call.x = found.data();
    kernels_under_test().rotary(call);
    BOOST_TEST(normalised_error(expected, found.values()) < kFp32Error, rows << " rows, " << heads << " heads of "
                                                                             << head_dim << ", " << more
                                                                             << " more columns, inverse " << inverse);
    for (int r = 0; r < rows; ++r) {
        const std::ptrdiff_t rest = static_cast<std::ptrdiff_t>(r) * row_width + heads * head_dim;
        BOOST_REQUIRE(same_bits(x.data() + rest, found.data() + rest, area(1, more)));
    }
}

struct TokenLosses {
    std::vector<float> losses;
    std::vector<float> dlogits;
};

/// Weights of tokens, no two the same.
template <class Real>
std::vector<Real> token_weights(std::size_t tokens) {
    std::vector<Real> weights(tokens);
    for (std::size_t token = 0; token < tokens; ++token) {
        weights[token] = static_cast<Real>(0.25) * static_cast<Real>(token + 1);
    }
    return weights;
}

/// `index` [rows] of logits [rows, classes]; labels [tokens].
TokenLosses token_losses(int classes, const std::vector<float>& logits, const std::vector<std::int32_t>& index,
                         const std::vector<std::int32_t>& labels) {
    Guarded<float> losses(std::vector<float>(labels.size(), 9.0F));
    Guarded<float> in_place(logits);
    const auto weights = token_weights<float>(labels.size());
    TokenCrossEntropy<float> call;
    call.rows = static_cast<int>(index.size());
    call.classes = classes;
    call.weights = weights.data();
    call.index = index.data();
    call.labels = labels.data();
    call.logits = in_place.data();
    call.losses = losses.data();
    call.dlogits = in_place.data();
    kernels_under_test().token_cross_entropy(call);
    return {losses.values(), in_place.values()};
}

}  // namespace

BOOST_AUTO_TEST_CASE(rms_norm_and_its_gradient_equal_double_loops) {
    for (const int rows : kRowCounts) {
        for (const int width : kWidths) {
            const NormInputs in(rows, width);
            compare_norm(in);
            compare_norm_backward(in, false);
            compare_norm_backward(in, true);
        }
    }
}

BOOST_AUTO_TEST_CASE(rms_norm_without_saved_root_and_a_row_alone) {
    for (const int width : {389, 4096}) {
        const NormInputs in(5, width);
        const auto compute = [&](int first, int rows) {
            std::vector<float> y(area(rows, width));
            auto call = in.forward<float>();
            call.rows = rows;
            call.weight = in.weight.data();
            call.x = in.x.data() + first * width;
            call.y = y.data();
            kernels_under_test().rms_norm(call);
            std::vector<float> dx(y.size());
            auto backward = in.backward<float>();
            backward.rows = rows;
            backward.weight = in.weight.data();
            backward.x = call.x;
            backward.inverse_root = in.inverse_root.data() + first;
            backward.dy = in.dy.data() + first * width;
            backward.dx = dx.data();
            kernels_under_test().rms_norm_backward(backward);
            y.insert(y.end(), dx.begin(), dx.end());
            return y;
        };
        const auto whole = compute(0, 5);
        for (int r = 0; r < 5; ++r) {
            const auto alone = compute(r, 1);
            BOOST_TEST(same_bits(whole.data() + r * width, alone.data(), area(1, width)));
            BOOST_TEST(same_bits(whole.data() + (5 + r) * width, alone.data() + width, area(1, width)));
        }
    }
}

BOOST_AUTO_TEST_CASE(rotary_turns_neighbouring_pairs) {
    for (const int rows : kRowCounts) {
        for (const int heads : {1, 3, 4}) {
            for (const int head_dim : {2, 6, 8, 64, 128}) {
                for (const int more : {0, 3, 8}) {
                    compare_rotary(rows, heads, head_dim, more, false);
                    compare_rotary(rows, heads, head_dim, more, true);
                }
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(silu_product_and_its_gradient_equal_double_loops) {
    for (const std::size_t count : {1U, 7U, 129U, 4099U}) {
        const auto gate = random_values(count, 1, 20.0F);
        const auto up = random_values(count, 2);
        const auto dy = random_values(count, 3);
        std::vector<double> y(count);
        std::vector<double> dgate(count);
        std::vector<double> dup(count);
        reference().silu_product(count, widened(gate).data(), widened(up).data(), y.data());
        reference().silu_product_backward(count, widened(gate).data(), widened(up).data(), widened(dy).data(),
                                          dgate.data(), dup.data());
        Guarded<float> found(gate);
        kernels_under_test().silu_product(count, found.data(), up.data(), found.data());
        BOOST_TEST(normalised_error(y, found.values()) < kFp32Error);
        Guarded<float> found_dgate(dy);
        Guarded<float> found_dup(up);
        kernels_under_test().silu_product_backward(count, gate.data(), found_dup.data(), found_dgate.data(),
                                                   found_dgate.data(), found_dup.data());
        BOOST_TEST(normalised_error(dgate, found_dgate.values()) < kFp32Error);
        BOOST_TEST(normalised_error(dup, found_dup.values()) < kFp32Error);
    }
}

// Of the double loops themselves: differences of the formula written another way.
BOOST_AUTO_TEST_CASE(silu_and_its_slope_follow_the_definition) {
    for (const double x : {-30.0, -3.0, -0.5, 0.0, 0.25, 2.0, 30.0}) {
        const auto silu = [](double v) { return v / (1 + std::exp(-v)); };
        const double up = 1.5;
        const double dy = 0.7;
        double y = 0;
        double dgate = 0;
        double dup = 0;
        reference().silu_product(1, &x, &up, &y);
        reference().silu_product_backward(1, &x, &up, &dy, &dgate, &dup);
        BOOST_TEST(std::abs(y - silu(x) * up) < 1e-14 * std::max(1.0, std::abs(y)));
        BOOST_TEST(std::abs(dup - dy * silu(x)) < 1e-14 * std::max(1.0, std::abs(dup)));
        // Central differences with step 1e-5: 1e-10 from truncation, 1e-10 from rounding.
        BOOST_TEST(std::abs(dgate - dy * up * (silu(x + 1e-5) - silu(x - 1e-5)) / 2e-5) < 1e-9);
    }
}

BOOST_AUTO_TEST_CASE(silu_product_of_extreme_gates) {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> gate = {-200.0F, 200.0F, kNan, -1e30F, 1e30F};
    const std::vector<float> up(gate.size(), 1.0F);
    std::vector<float> y(gate.size());
    std::vector<float> dgate(gate.size());
    std::vector<float> dup(gate.size());
    kernels_under_test().silu_product(gate.size(), gate.data(), up.data(), y.data());
    kernels_under_test().silu_product_backward(gate.size(), gate.data(), up.data(), up.data(), dgate.data(),
                                               dup.data());
    BOOST_TEST(y[0] == 0.0F);
    BOOST_TEST(y[1] == 200.0F);
    BOOST_TEST(std::isnan(y[2]));
    BOOST_TEST(y[3] == 0.0F);
    BOOST_TEST(y[4] == 1e30F);
    BOOST_TEST(dgate[0] == 0.0F);
    BOOST_TEST(dgate[1] == 1.0F);
    BOOST_TEST(std::isnan(dgate[2]));
    BOOST_TEST(dup[1] == 200.0F);
}

BOOST_AUTO_TEST_CASE(an_element_of_the_silu_product_does_not_depend_on_its_place) {
    const auto gate = random_values(1000, 1, 4.0F);
    const auto up = random_values(1000, 2);
    const auto compute = [&](std::size_t first, std::size_t count) {
        std::vector<float> y(3 * count);
        kernels_under_test().silu_product(count, gate.data() + first, up.data() + first, y.data());
        kernels_under_test().silu_product_backward(count, gate.data() + first, up.data() + first, up.data() + first,
                                                   y.data() + count, y.data() + 2 * count);
        return y;
    };
    const auto whole = compute(0, 1000);
    for (std::size_t i = 0; i < 1000; i += 7) {
        const auto alone = compute(i, 1);
        for (std::size_t part = 0; part < 3; ++part) {
            BOOST_REQUIRE(same_bits(&alone[part], &whole[part * 1000 + i], 1));
        }
    }
}

BOOST_AUTO_TEST_CASE(token_cross_entropy_equals_double_loops_and_leaves_ignored_tokens_alone) {
    for (const int classes : {1, 7, 128, 1031, 32003}) {
        const std::vector<std::int32_t> index = {4, 0, 5};
        std::vector<std::int32_t> labels(7, -1);
        for (const std::int32_t token : index) {
            labels[static_cast<std::size_t>(token)] = (token * 2477 + classes - 1) % classes;
        }
        // The widest ones large: their exponentials are beyond the floats.
        const auto logits = random_values(area(3, classes), 1, classes > 10000 ? 400.0F : 8.0F);
        std::vector<double> losses(labels.size(), 9.0);
        std::vector<double> dlogits(logits.size());
        const auto wide = widened(logits);
        TokenCrossEntropy<double> expected;
        expected.rows = 3;
        expected.classes = classes;
        const auto weights = token_weights<double>(labels.size());
        expected.weights = weights.data();
        expected.index = index.data();
        expected.labels = labels.data();
        expected.logits = wide.data();
        expected.losses = losses.data();
        expected.dlogits = dlogits.data();
        reference().token_cross_entropy(expected);
        const TokenLosses found = token_losses(classes, logits, index, labels);
        BOOST_TEST(normalised_error(losses, found.losses) < kFp32Error, classes);
        BOOST_TEST(normalised_error(dlogits, found.dlogits) < kFp32Error, classes);
        for (const std::size_t ignored : {1U, 2U, 3U, 6U}) {
            BOOST_TEST(found.losses[ignored] == 9.0F);
        }
        // The definition, for one entry of each row; the row's gradient sums to zero.
        for (std::size_t r = 0; r < 3; ++r) {
            double sum = 0;
            double total = 0;
            for (std::size_t c = 0; c < area(1, classes); ++c) {
                sum += std::exp(wide[r * area(1, classes) + c]);
                total += dlogits[r * area(1, classes) + c];
            }
            const auto token = static_cast<std::size_t>(index[r]);
            const double logit = wide[r * area(1, classes) + static_cast<std::size_t>(labels[token])];
            BOOST_TEST(std::abs(losses[token] - weights[token] * (std::log(sum) - logit)) < 1e-12);
            BOOST_TEST(std::abs(total) < 1e-12);
        }
    }
}

BOOST_AUTO_TEST_CASE(token_cross_entropy_without_gradient_and_a_row_alone) {
    constexpr int kClasses = 1031;
    const auto logits = random_values(area(3, kClasses), 1, 90.0F);
    const std::vector<std::int32_t> labels = {5, 1030, 0};
    const TokenLosses whole = token_losses(kClasses, logits, {0, 1, 2}, labels);
    for (std::int32_t r = 0; r < 3; ++r) {
        const std::vector<float> row(logits.begin() + r * kClasses, logits.begin() + (r + 1) * kClasses);
        const TokenLosses alone = token_losses(kClasses, row, {r}, labels);
        const auto at = static_cast<std::size_t>(r);
        BOOST_TEST(same_bits(&whole.losses[at], &alone.losses[at], 1));
        BOOST_TEST(same_bits(whole.dlogits.data() + r * kClasses, alone.dlogits.data(), kClasses));
        std::vector<float> losses(3);
        TokenCrossEntropy<float> call;
        call.rows = 1;
        call.classes = kClasses;
        const auto weights = token_weights<float>(3);
        call.weights = weights.data();
        call.index = &r;
        call.labels = labels.data();
        call.logits = row.data();
        call.losses = losses.data();
        kernels_under_test().token_cross_entropy(call);
        BOOST_TEST(same_bits(&whole.losses[at], &losses[at], 1));
        call.weights = nullptr;
        kernels_under_test().token_cross_entropy(call);
        BOOST_TEST(losses[at] * weights[at] == whole.losses[at], boost::test_tools::tolerance(1e-6F));
    }
}
