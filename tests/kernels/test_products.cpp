// Products: values against double, and that a row's bits depend on nothing but the row.
#include <thread>

#include "kernel_support.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

struct Case {
    int rows;
    int out;
    int in;
};

const std::vector<Case> kCases = {{1, 384, 384}, {7, 8, 12},    {129, 384, 48}, {129, 48, 384},
                                  {64, 12, 8},   {256, 32, 12}, {449, 16, 384}, {3, 2, 384},
                                  {5, 1, 384},   {1, 1, 1},     {70, 129, 7}};

struct Made {
    std::unique_ptr<Matrix> matrix;
    std::unique_ptr<Matrix> expected;
    std::vector<float> weights;
};

Made make(const Case& c, Precision precision) {
    Made made{kernels_under_test().make_matrix(c.out, c.in, precision, true),
              reference().make_matrix(c.out, c.in, precision, true),
              random_values(static_cast<std::size_t>(c.out * c.in), 1)};
    kernels_under_test().pack(*made.matrix, made.weights.data());
    reference().pack(*made.expected, widened(made.weights).data());
    return made;
}

std::vector<float> product(const Matrix& matrix, const std::vector<float>& x) {
    const auto rows = x.size() / static_cast<std::size_t>(matrix.in_features());
    std::vector<float> y(rows * static_cast<std::size_t>(matrix.out_features()));
    kernels_under_test().product(matrix, static_cast<int>(rows), x.data(), nullptr, y.data());
    return y;
}

}  // namespace

BOOST_AUTO_TEST_CASE(products_equal_double_loops) {
    for (const Precision precision : precisions()) {
        for (const Case& c : kCases) {
            const Made made = make(c, precision);
            const auto x = random_values(static_cast<std::size_t>(c.rows * c.in), 2);
            const auto bias = random_values(static_cast<std::size_t>(c.out), 3);
            Guarded<float> y(static_cast<std::size_t>(c.rows * c.out));
            std::vector<double> expected(y.size());
            for (const bool with_bias : {false, true}) {
                kernels_under_test().product(*made.matrix, c.rows, x.data(), with_bias ? bias.data() : nullptr,
                                             y.data());
                reference().product(*made.expected, c.rows, widened(x).data(),
                                    with_bias ? widened(bias).data() : nullptr, expected.data());
                BOOST_TEST(normalised_error(expected, y.values()) < kFp32Error,
                           c.rows << " rows, " << c.out << " x " << c.in << ", bias " << with_bias);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(transposed_products_equal_double_loops) {
    for (const Precision precision : precisions()) {
        for (const Case& c : kCases) {
            const Made made = make(c, precision);
            const auto dy = random_values(static_cast<std::size_t>(c.rows * c.out), 4);
            Guarded<float> dx(static_cast<std::size_t>(c.rows * c.in));
            std::vector<double> expected(dx.size());
            kernels_under_test().product_transposed(*made.matrix, c.rows, dy.data(), dx.data());
            reference().product_transposed(*made.expected, c.rows, widened(dy).data(), expected.data());
            BOOST_TEST(normalised_error(expected, dx.values()) < kFp32Error,
                       c.rows << " rows, " << c.out << " x " << c.in);
        }
    }
}

BOOST_AUTO_TEST_CASE(products_of_one_x_are_those_of_their_rows) {
    for (const Precision precision : precisions()) {
        const Case c{130, 48, 84};
        const Made first = make(c, precision);
        const Made second = make({c.rows, 16, c.in}, precision);
        const auto x = random_values(static_cast<std::size_t>(c.rows * c.in), 2);
        const auto bias = random_values(48, 3);
        Guarded<float> all(static_cast<std::size_t>(c.rows * 48));
        Guarded<float> rest(static_cast<std::size_t>(60 * 16));
        const PartProduct<float> parts[] = {{first.matrix.get(), 0, c.rows, bias.data(), all.data()},
                                            {second.matrix.get(), 70, 60, nullptr, rest.data()}};
        kernels_under_test().products(c.rows, x.data(), parts);
        std::vector<float> expected(all.size());
        kernels_under_test().product(*first.matrix, c.rows, x.data(), bias.data(), expected.data());
        BOOST_TEST(same_bits(all.data(), expected.data(), expected.size()));
        const auto last_rows = product(*second.matrix, {x.begin() + 70 * c.in, x.end()});
        BOOST_TEST(same_bits(rest.data(), last_rows.data(), last_rows.size()));
    }
}

BOOST_AUTO_TEST_CASE(a_product_added_is_the_product_and_then_the_sum) {
    for (const Precision precision : precisions()) {
        for (const Case& c : kCases) {
            const Made made = make(c, precision);
            const auto dy = random_values(static_cast<std::size_t>(c.rows * c.out), 4);
            std::vector<float> expected(static_cast<std::size_t>(c.rows * c.in));
            kernels_under_test().product_transposed(*made.matrix, c.rows, dy.data(), expected.data());
            const auto before = random_values(expected.size(), 5);
            Guarded<float> room(expected.size());
            Guarded<float> sum(before);
            kernels_under_test().add_product_transposed(*made.matrix, c.rows, dy.data(), room.data(), sum.data());
            for (std::size_t i = 0; i < expected.size(); ++i) {
                expected[i] += before[i];
            }
            BOOST_TEST(same_bits(sum.data(), expected.data(), expected.size()),
                       c.rows << " rows, " << c.out << " x " << c.in);
        }
    }
}

BOOST_AUTO_TEST_CASE(bf16_products_round_their_operands) {
    // Against the unrounded reference the error must be that of bfloat16, or the test above proves nothing.
    if (!has_bfloat16()) {
        return;
    }
    const Case c{129, 48, 384};
    const Made made = make(c, Precision::bf16);
    const Made exact = make(c, Precision::fp32);
    const auto x = random_values(static_cast<std::size_t>(c.rows * c.in), 2);
    std::vector<double> expected(static_cast<std::size_t>(c.rows * c.out));
    reference().product(*exact.expected, c.rows, widened(x).data(), nullptr, expected.data());
    const double error = normalised_error(expected, product(*made.matrix, x));
    BOOST_TEST(error > 1e-7);
    BOOST_TEST(error < 1e-4);
}

BOOST_AUTO_TEST_CASE(rows_do_not_depend_on_place_or_neighbours) {
    for (const Precision precision : precisions()) {
        for (const Case& c : kCases) {
            const Made made = make(c, precision);
            const auto in = static_cast<std::size_t>(c.in);
            const auto out = static_cast<std::size_t>(c.out);
            const std::size_t rows = 449;  // a block of 256, three of 64, one row over
            const auto x = random_values(rows * in, 5);
            const auto whole = product(*made.matrix, x);
            for (const std::size_t first : {std::size_t{1}, std::size_t{63}, std::size_t{200}, std::size_t{448}}) {
                const auto part = product(*made.matrix, {x.begin() + static_cast<std::ptrdiff_t>(first * in), x.end()});
                BOOST_TEST(same_bits(part.data(), whole.data() + first * out, part.size()),
                           "from row " << first << ", " << c.out << " x " << c.in);
            }
        }
    }
    BOOST_CHECK_NO_THROW(kernels_under_test().check_row_independence());
}

BOOST_AUTO_TEST_CASE(threads_sharing_a_matrix_get_the_same_bits) {
    for (const Precision precision : precisions()) {
        const Made made = make({449, 384, 384}, precision);
        const auto x = random_values(449 * 384, 6);
        const auto expected = product(*made.matrix, x);
        std::vector<std::vector<float>> found(4);
        std::vector<std::thread> threads;
        for (auto& result : found) {
            threads.emplace_back([&result, &made, &x] {
                for (int repeat = 0; repeat < 5; ++repeat) {
                    result = product(*made.matrix, x);
                }
            });
        }
        for (auto& thread : threads) {
            thread.join();
        }
        for (const auto& result : found) {
            BOOST_TEST(same_bits(result.data(), expected.data(), expected.size()));
        }
    }
}

BOOST_AUTO_TEST_CASE(packing_again_replaces_the_weight) {
    const Made made = make({7, 16, 12}, Precision::fp32);
    const auto x = random_values(7 * 12, 7);
    const auto before = product(*made.matrix, x);
    auto doubled = made.weights;
    for (float& w : doubled) {
        w *= 2;
    }
    kernels_under_test().pack(*made.matrix, doubled.data());
    auto expected = before;
    for (float& v : expected) {
        v *= 2;
    }
    BOOST_TEST(same_bits(product(*made.matrix, x).data(), expected.data(), expected.size()));
}

BOOST_AUTO_TEST_CASE(weight_gradients_add_in_order_of_rows) {
    for (const Case& c : {Case{1, 8, 12}, Case{7, 48, 384}, Case{129, 384, 16}, Case{300, 12, 8}, Case{129, 33, 47}}) {
        const auto dy = random_values(static_cast<std::size_t>(c.rows * c.out), 8);
        const auto x = random_values(static_cast<std::size_t>(c.rows * c.in), 9);
        const auto start = random_values(static_cast<std::size_t>(c.out * c.in), 10);
        Guarded<float> dw(start);
        auto expected = widened(start);
        kernels_under_test().add_weight_gradient(c.rows, c.out, c.in, dy.data(), x.data(), dw.data());
        reference().add_weight_gradient(c.rows, c.out, c.in, widened(dy).data(), widened(x).data(), expected.data());
        BOOST_TEST(normalised_error(expected, dw.values()) < kFp32Error, c.rows << " rows");
        // Adding the rows one call at a time is the same order, so the same bits.
        Guarded<float> stepwise(start);
        for (int r = 0; r < c.rows; ++r) {
            kernels_under_test().add_weight_gradient(1, c.out, c.in, dy.data() + r * c.out, x.data() + r * c.in,
                                                     stepwise.data());
        }
        BOOST_TEST(same_bits(stepwise.data(), dw.data(), dw.size()));
    }
}

BOOST_AUTO_TEST_CASE(column_sums_add) {
    for (const int rows : {1, 7, 129}) {
        for (const int width : {1, 12, 48, 384, 390}) {
            const auto x = random_values(static_cast<std::size_t>(rows * width), 11);
            const auto start = random_values(static_cast<std::size_t>(width), 12);
            Guarded<float> sums(start);
            auto expected = widened(start);
            kernels_under_test().add_column_sums(rows, width, x.data(), sums.data());
            reference().add_column_sums(rows, width, widened(x).data(), expected.data());
            BOOST_TEST(normalised_error(expected, sums.values()) < kFp32Error);
        }
    }
}
