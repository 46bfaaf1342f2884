// Fixed-point sums, norm, update and losses.
#include "kernel_support.hpp"

using namespace ladle;
using namespace ladle::test;

BOOST_AUTO_TEST_CASE(fixed_point_sums_round_to_nearest_even) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    std::vector<float> values = random_values(1021, 1, 100.0F);
    const float unit = 0x1p-48F;
    values.insert(values.end(),
                  {0.5F * unit, 1.5F * unit, 2.5F * unit, -0.5F * unit, -1.5F * unit, 0.49F * unit, 8191.5F, -8191.5F,
                   8192.0F, -8192.0F, kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(), 1e-44F});
    std::vector<std::int64_t> start(values.size());
    for (std::size_t i = 0; i < start.size(); ++i) {
        start[i] = static_cast<std::int64_t>(i) * 1000003 - 500;
    }
    Guarded<std::int64_t> sums(start);
    std::int64_t rejected = 2;
    kernels_under_test().add_fixed_point(values.size(), values.data(), 8192.0, sums.data(), &rejected);
    auto expected = start;
    std::int64_t expected_rejected = 2;
    reference().add_fixed_point(values.size(), widened(values).data(), 8192.0, expected.data(), &expected_rejected);
    BOOST_TEST(sums.values() == expected);
    BOOST_TEST(rejected == expected_rejected);
    BOOST_TEST(rejected == 7);
}

BOOST_AUTO_TEST_CASE(fixed_point_comes_back) {
    const auto values = random_values(131, 2, 0x1p-20F);
    std::vector<std::int64_t> sums(values.size());
    std::int64_t rejected = 0;
    kernels_under_test().add_fixed_point(values.size(), values.data(), 1.0, sums.data(), &rejected);
    Guarded<float> back(values.size());
    kernels_under_test().from_fixed_point(values.size(), sums.data(), back.data());
    for (std::size_t i = 0; i < values.size(); ++i) {
        BOOST_TEST(std::abs(back.data()[i] - values[i]) <= 0x1p-49F);
    }
}

BOOST_AUTO_TEST_CASE(sum_of_squares_is_in_double) {
    for (const std::size_t count : {1U, 7U, 4096U, 4097U, 20001U}) {
        const auto values = random_values(count, 3);
        const double expected = reference().sum_of_squares(count, widened(values).data());
        // Only the order inside a block differs: some 4096 roundings of 1e-16.
        BOOST_TEST(std::abs(kernels_under_test().sum_of_squares(count, values.data()) / expected - 1) < 1e-13);
    }
}

BOOST_AUTO_TEST_CASE(adamw_follows_the_published_update) {
    for (const std::size_t count : {1U, 7U, 129U}) {
        AdamWUpdate update;
        update.learning_rate = 1e-3;
        update.weight_decay = 0.1;
        update.gradient_scale = 0.5;
        const auto start = random_values(count, 4);
        Guarded<float> w(start);
        Guarded<float> m(std::vector<float>(count, 0.0F));
        Guarded<float> v(std::vector<float>(count, 0.0F));
        auto w_expected = widened(start);
        std::vector<double> m_expected(count);
        std::vector<double> v_expected(count);
        for (update.step = 1; update.step <= 3; ++update.step) {
            const auto g = random_values(count, 10 + static_cast<std::uint32_t>(update.step));
            kernels_under_test().adamw(update, count, g.data(), w.data(), m.data(), v.data());
            reference().adamw(update, count, widened(g).data(), w_expected.data(), m_expected.data(),
                              v_expected.data());
        }
        BOOST_TEST(normalised_error(w_expected, w.values()) < kFp32Error);
        BOOST_TEST(normalised_error(m_expected, m.values()) < kFp32Error);
        BOOST_TEST(normalised_error(v_expected, v.values()) < kFp32Error);
    }
}

BOOST_AUTO_TEST_CASE(losses_equal_double) {
    constexpr std::size_t kSamples = 7;
    for (const int classes : {2, 3, 5}) {
        const auto size = kSamples * static_cast<std::size_t>(classes);
        const auto first = random_values(size, 5, 4.0F);
        const auto second = random_values(size, 6, 4.0F);
        const auto weights = random_values(kSamples, 7);
        std::vector<std::int32_t> labels(kSamples);
        for (std::size_t s = 0; s < kSamples; ++s) {
            labels[s] = static_cast<std::int32_t>(s) % classes;
        }
        Guarded<float> losses(kSamples);
        Guarded<float> dfirst(size);
        Guarded<float> dsecond(first);
        std::vector<double> losses_expected(kSamples);
        std::vector<double> dfirst_expected(size);
        auto dsecond_expected = widened(first);
        const int samples = kSamples;
        kernels_under_test().cross_entropy(samples, classes, first.data(), labels.data(), weights.data(), losses.data(),
                                           dfirst.data());
        reference().cross_entropy(samples, classes, widened(first).data(), labels.data(), widened(weights).data(),
                                  losses_expected.data(), dfirst_expected.data());
        BOOST_TEST(normalised_error(losses_expected, losses.values()) < kFp32Error);
        BOOST_TEST(normalised_error(dfirst_expected, dfirst.values()) < kFp32Error);
        kernels_under_test().consistency(samples, classes, first.data(), second.data(), weights.data(), losses.data(),
                                         dfirst.data(), dsecond.data());
        reference().consistency(samples, classes, widened(first).data(), widened(second).data(),
                                widened(weights).data(), losses_expected.data(), dfirst_expected.data(),
                                dsecond_expected.data());
        BOOST_TEST(normalised_error(losses_expected, losses.values()) < kFp32Error);
        BOOST_TEST(normalised_error(dfirst_expected, dfirst.values()) < kFp32Error);
        BOOST_TEST(normalised_error(dsecond_expected, dsecond.values()) < kFp32Error);
    }
}
