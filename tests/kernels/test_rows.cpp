// Loops over rows: embedding, dropout masks equal to the host's random words, norm forward and backward, copies.
#include <thread>

#include "kernel_support.hpp"
#include "ladle/core/random.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

const std::vector<std::vector<int>> kPackings = {{1}, {7}, {100, 29}};
const std::vector<int> kWidths = {1, 8, 12, 32, 48, 50, 384, 389};

std::size_t size_of(const Origins& origins, int width) {
    return origins.token.size() * static_cast<std::size_t>(width);
}

int rows_of(const Origins& origins) {
    return static_cast<int>(origins.token.size());
}

/// Inputs of one norm; `in place` combinations are chosen by the tests.
struct NormCase {
    NormCase(const Origins& o, int w, double dropout)
        : origins(o),
          width(w),
          site(dropout_site(dropout)),
          x(random_values(size_of(o, w), 1)),
          addend(random_values(size_of(o, w), 5)),
          residual(random_values(size_of(o, w), 2)),
          gamma(random_values(static_cast<std::size_t>(w), 3)),
          beta(random_values(static_cast<std::size_t>(w), 4)) {}
    const Origins& origins;
    int width;
    DropoutSite site;
    std::vector<float> x;
    std::vector<float> addend;
    std::vector<float> residual;
    std::vector<float> gamma;
    std::vector<float> beta;
};

template <class Real>
ResidualNorm<Real> norm_call(const NormCase& c) {
    ResidualNorm<Real> call;
    call.rows = rows_of(c.origins);
    call.width = c.width;
    call.origins = c.origins.view();
    call.dropout = c.site;
    call.epsilon = 1e-12;
    return call;
}

template <class Real>
ResidualNormBackward<Real> backward_call(const NormCase& c) {
    ResidualNormBackward<Real> call;
    call.rows = rows_of(c.origins);
    call.width = c.width;
    call.origins = c.origins.view();
    call.dropout = c.site;
    return call;
}

void compare_norm(const NormCase& c, bool with_addend, bool with_residual) {
    const std::size_t size = c.x.size();
    const auto rows = c.origins.token.size();
    const auto x = widened(c.x);
    const auto addend = widened(c.addend);
    const auto residual = widened(c.residual);
    const auto gamma = widened(c.gamma);
    const auto beta = widened(c.beta);
    std::vector<double> y(size);
    std::vector<double> normalized(size);
    std::vector<double> inverse(rows);
    auto expected = norm_call<double>(c);
    expected.x = x.data();
    expected.addend = with_addend ? addend.data() : nullptr;
    expected.residual = with_residual ? residual.data() : nullptr;
    expected.gamma = gamma.data();
    expected.beta = beta.data();
    expected.y = y.data();
    expected.normalized = normalized.data();
    expected.inverse_deviation = inverse.data();
    reference().residual_norm(expected);

    Guarded<float> found(c.x);
    Guarded<float> found_normalized(size);
    Guarded<float> found_inverse(rows);
    auto call = norm_call<float>(c);
    call.x = found.data();
    call.addend = with_addend ? c.addend.data() : nullptr;
    call.residual = with_residual ? c.residual.data() : nullptr;
    call.gamma = c.gamma.data();
    call.beta = c.beta.data();
    call.y = found.data();
    call.normalized = found_normalized.data();
    call.inverse_deviation = found_inverse.data();
    kernels_under_test().residual_norm(call);
    const std::string name = std::to_string(rows) + " rows of " + std::to_string(c.width);
    BOOST_TEST(normalised_error(y, found.values()) < kFp32Error, name);
    BOOST_TEST(normalised_error(normalized, found_normalized.values()) < kFp32Error, name);
    BOOST_TEST(normalised_error(inverse, found_inverse.values()) < kFp32Error, name);
}

void compare_norm_backward(const NormCase& c) {
    const std::size_t size = c.x.size();
    const auto gamma = widened(c.gamma);
    const auto normalized = widened(c.residual);
    const auto inverse_values = random_values(c.origins.token.size(), 6);
    const auto inverse = widened(inverse_values);
    const auto dy = widened(c.x);
    std::vector<double> dx(size);
    std::vector<double> dresidual(size);
    auto expected = backward_call<double>(c);
    expected.gamma = gamma.data();
    expected.normalized = normalized.data();
    expected.inverse_deviation = inverse.data();
    expected.dy = dy.data();
    expected.dx = dx.data();
    expected.dresidual = dresidual.data();
    reference().residual_norm_backward(expected);

    Guarded<float> found_dx(c.x);
    Guarded<float> found_dresidual(size);
    auto call = backward_call<float>(c);
    call.gamma = c.gamma.data();
    call.normalized = c.residual.data();
    call.inverse_deviation = inverse_values.data();
    call.dy = found_dx.data();
    call.dx = found_dx.data();
    call.dresidual = found_dresidual.data();
    kernels_under_test().residual_norm_backward(call);
    const std::string name = std::to_string(c.origins.token.size()) + " rows of " + std::to_string(c.width);
    // Narrow rows nearly cancel, which leaves fewer good digits.
    BOOST_TEST(normalised_error(dx, found_dx.values()) < 1e-11, name);
    BOOST_TEST(normalised_error(dresidual, found_dresidual.values()) < 1e-11, name);
}

}  // namespace

BOOST_AUTO_TEST_CASE(dropout_masks_are_the_random_words_of_the_host) {
    for (const auto& lengths : kPackings) {
        const Origins origins(lengths);
        for (const int width : kWidths) {
            const DropoutSite site = dropout_site(0.1);
            const std::vector<float> ones(size_of(origins, width), 1.0F);
            Guarded<float> y(ones.size());
            kernels_under_test().dropout(rows_of(origins), width, origins.view(), site, ones.data(), y.data());
            std::size_t different = 0;
            for (std::size_t r = 0; r < origins.token.size(); ++r) {
                Stream stream;
                stream.seed = site.seed;
                stream.batch = site.batch;
                stream.row = origins.sample[r];
                stream.purpose = Purpose::dropout;
                stream.pass = origins.pass[r];
                stream.layer = site.layer;
                stream.site = site.site;
                const auto w = static_cast<std::uint32_t>(width);
                for (std::uint32_t j = 0; j < w; ++j) {
                    const bool dropped = random_word(stream, origins.token[r] * w + j) < site.threshold;
                    const float expected = dropped ? 0.0F : static_cast<float>(site.scale);
                    different += y.data()[r * w + j] != expected ? 1U : 0U;
                }
            }
            BOOST_TEST(different == 0U, "width " << width);
        }
    }
}

BOOST_AUTO_TEST_CASE(no_dropout_copies) {
    const Origins origins({7});
    const auto x = random_values(7 * 12, 1);
    Guarded<float> y(x.size());
    kernels_under_test().dropout(7, 12, RowOrigins{}, DropoutSite{}, x.data(), y.data());
    BOOST_TEST(same_bits(x.data(), y.data(), x.size()));
}

BOOST_AUTO_TEST_CASE(norms_equal_double_loops) {
    for (const auto& lengths : kPackings) {
        const Origins origins(lengths);
        for (const int width : kWidths) {
            if (width == 1) {
                continue;  // one value has no deviation
            }
            for (const double dropout : {0.0, 0.1}) {
                const NormCase c(origins, width, dropout);
                compare_norm(c, false, false);
                compare_norm(c, false, true);
                compare_norm(c, true, true);
                compare_norm_backward(c);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_row_does_not_depend_on_neighbours_place_or_thread) {
    const Origins origins({100, 29});
    const NormCase c(origins, 389, 0.1);
    const auto compute = [&c](int first, int rows, float* y) {
        auto call = norm_call<float>(c);
        const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(first) * c.width;
        call.rows = rows;
        call.origins = {c.origins.sample.data() + first, c.origins.token.data() + first, c.origins.pass.data() + first};
        call.gamma = c.gamma.data();
        call.beta = c.beta.data();
        call.x = c.x.data() + start;
        call.residual = c.residual.data() + start;
        call.y = y + start;
        kernels_under_test().residual_norm(call);
    };
    std::vector<float> whole(c.x.size());
    compute(0, 129, whole.data());
    std::vector<float> parts(c.x.size());
    std::thread other([&] { compute(64, 65, parts.data()); });
    for (int r = 0; r < 64; ++r) {
        compute(r, 1, parts.data());
    }
    other.join();
    BOOST_TEST(same_bits(whole.data(), parts.data(), whole.size()));
}

BOOST_AUTO_TEST_CASE(embedding_adds_three_rows) {
    for (const int width : {1, 12, 384}) {
        const auto w = static_cast<std::size_t>(width);
        const auto words = random_values(10 * w, 1);
        const auto positions = random_values(5 * w, 2);
        const auto types = random_values(2 * w, 3);
        const std::vector<std::int32_t> ids = {9, 0, 4};
        const std::vector<std::int32_t> position_ids = {0, 4, 2};
        const std::vector<std::int32_t> type_ids = {1, 0, 1};
        Guarded<float> y(3 * w);
        std::vector<double> expected(3 * w);
        kernels_under_test().embed(3, width, ids.data(), position_ids.data(), type_ids.data(), words.data(),
                                   positions.data(), types.data(), y.data());
        reference().embed(3, width, ids.data(), position_ids.data(), type_ids.data(), widened(words).data(),
                          widened(positions).data(), widened(types).data(), expected.data());
        BOOST_TEST(normalised_error(expected, y.values()) < kFp32Error);
    }
}

BOOST_AUTO_TEST_CASE(rows_are_gathered_and_scattered) {
    const auto x = random_values(5 * 12, 1);
    const std::vector<std::int32_t> index = {4, 0, 2};
    Guarded<float> gathered(3 * 12);
    kernels_under_test().gather_rows(3, 12, index.data(), x.data(), gathered.data());
    Guarded<float> scattered(x);
    kernels_under_test().scatter_rows(3, 12, index.data(), gathered.data(), scattered.data());
    BOOST_TEST(same_bits(scattered.data(), x.data(), x.size()));
    kernels_under_test().add_scattered_rows(3, 12, index.data(), gathered.data(), scattered.data());
    for (std::size_t r = 0; r < 5; ++r) {
        const bool doubled = std::find(index.begin(), index.end(), static_cast<int>(r)) != index.end();
        for (std::size_t j = 0; j < 12; ++j) {
            BOOST_TEST(scattered.data()[r * 12 + j] == (doubled ? 2 : 1) * x[r * 12 + j]);
        }
    }
}
