// Element-wise functions: errors over the whole range of floats, special values, places.
#include <array>
#include <bit>
#include <iostream>
#include <numbers>

#include "cpu_loops.hpp"
#include "ladle/core/bfloat16.hpp"
#include "ladle/core/error.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Every so-manieth float of both signs up to `largest`, and some special ones.
std::vector<float> sweep(float largest) {
    std::vector<float> values = {0.0F, -0.0F, 1.0F, -1.0F, largest, -largest, 0.625F, 1e-40F, -1e-40F};
    const auto end = std::bit_cast<std::uint32_t>(largest);
    for (std::uint32_t bits = 1; bits < end; bits += 2003) {
        values.push_back(std::bit_cast<float>(bits));
        values.push_back(-std::bit_cast<float>(bits));
    }
    return values;
}

/// Distance in units in the last place of the expected value as a float, or of `floor` where that is larger.
double error_in_ulp(double expected, float found, double floor) {
    const double size = std::max(std::abs(expected), floor);
    const double ulp = std::ldexp(1.0, std::ilogb(size) - 23);
    return std::abs(static_cast<double>(found) - expected) / ulp;
}

template <class Function>
double largest_error(const std::vector<float>& x, const std::vector<float>& y, Function function,
                     double floor = 0x1p-126) {
    double largest = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double error = error_in_ulp(function(static_cast<double>(x[i])), y[i], floor);
        BOOST_REQUIRE_MESSAGE(std::isfinite(error), "at " << x[i] << ": " << y[i]);
        largest = std::max(largest, error);
    }
    return largest;
}

double upper_tail(double x) {
    return 0.5 * std::erfc(x / std::numbers::sqrt2);
}

double exact_gelu(double x) {
    return x * upper_tail(-x);
}

double gelu_slope(double x) {
    return upper_tail(-x) + x * std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
}

}  // namespace

BOOST_AUTO_TEST_CASE(description_names_kernels_and_library) {
    if (!on_cpu()) {
        BOOST_TEST(kernels_under_test().description().starts_with("cuda "));
        BOOST_TEST(kernels_under_test().description().find("cublaslt ") != std::string::npos);
        return;
    }
    BOOST_TEST(kernels_under_test().description().starts_with("cpu "));
    BOOST_TEST(kernels_under_test().description().find("onednn ") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(loops_are_those_of_the_instruction_set, *boost::unit_test::precondition(is_on_cpu)) {
    const std::string name = kernels_under_test().description();
    BOOST_TEST(name.ends_with(std::string(" loops ") + loops_under_test().isa));
    BOOST_TEST((name.find("avx512_core_amx") != std::string::npos) == name.ends_with(" loops avx512_amx"));
    if (!name.ends_with(" loops avx512_amx")) {
        std::cout << "SKIPPED: attention on the tile unit: this run has " << name << '\n';
    }
}

BOOST_AUTO_TEST_CASE(what_the_processor_lacks_is_refused, *boost::unit_test::precondition(is_on_cpu)) {
    const std::string name = kernels_under_test().description();
    if (name.find("avx512") == std::string::npos) {
        BOOST_CHECK_THROW(make_cpu_kernels("avx512", Precision::fp32), DeviceError);
    } else {
        // oneDNN already runs with more.
        BOOST_CHECK_THROW(make_cpu_kernels("avx2", Precision::fp32), DeviceError);
    }
    if (!has_bfloat16()) {
        BOOST_CHECK_THROW(make_cpu_kernels("auto", Precision::bf16), DeviceError);
    }
}

BOOST_AUTO_TEST_CASE(exponential_keeps_its_stated_error, *boost::unit_test::precondition(is_on_cpu)) {
    const auto& loops = loops_under_test();
    const auto x = sweep(88.7F);
    std::vector<float> y(x.size());
    loops.exponential(x.size(), x.data(), y.data());
    const double error = largest_error(x, y, [](double v) { return std::exp(v); });
    BOOST_TEST_MESSAGE(loops.isa << " exponential: " << error << " ulp");
    BOOST_TEST(error < 1.1);
    const std::array<float, 6> special = {kInfinity, -kInfinity, kNan, 200.0F, -200.0F, 0.0F};
    std::array<float, 6> found{};
    loops.exponential(special.size(), special.data(), found.data());
    BOOST_TEST(found[0] == kInfinity);
    BOOST_TEST(found[1] == 0.0F);
    BOOST_TEST(std::isnan(found[2]));
    BOOST_TEST(found[3] == kInfinity);
    BOOST_TEST(found[4] == 0.0F);
    BOOST_TEST(found[5] == 1.0F);
}

BOOST_AUTO_TEST_CASE(gelu_keeps_its_stated_error) {
    const auto x = sweep(1e6F);
    Guarded<float> y(x.size());
    kernels_under_test().gelu(x.size(), x.data(), y.data());
    // Beyond -12.8 the factor of x is below the normal floats and loses digits.
    const double error = largest_error(x, y.values(), exact_gelu, 1e-36);
    BOOST_TEST_MESSAGE("gelu: " << error << " ulp");
    BOOST_TEST(error < 6);
    const float bad = kNan;
    float result = 0;
    kernels_under_test().gelu(1, &bad, &result);
    BOOST_TEST(std::isnan(result));
}

BOOST_AUTO_TEST_CASE(gelu_backward_keeps_its_stated_error) {
    const auto x = sweep(100.0F);
    const auto dy = random_values(x.size(), 1);
    Guarded<float> dx(dy);
    kernels_under_test().gelu_backward(x.size(), x.data(), dx.data(), dx.data());
    double largest = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        // Relative to the factor 1, because the slope passes through zero.
        const double expected = static_cast<double>(dy[i]) * gelu_slope(x[i]);
        largest = std::max(largest, std::abs(expected - dx.data()[i]) / std::abs(dy[i]));
    }
    BOOST_TEST_MESSAGE("gelu_backward: " << largest << " of dy");
    BOOST_TEST(largest < 3e-7);
    const float bad = kNan;
    float result = 1;
    kernels_under_test().gelu_backward(1, &bad, &result, &result);
    BOOST_TEST(std::isnan(result));
}

BOOST_AUTO_TEST_CASE(tanh_keeps_its_stated_error) {
    const auto x = sweep(200.0F);
    Guarded<float> y(x.size());
    kernels_under_test().tanh(x.size(), x.data(), y.data());
    const double error = largest_error(x, y.values(), [](double v) { return std::tanh(v); });
    BOOST_TEST_MESSAGE("tanh: " << error << " ulp");
    BOOST_TEST(error < 3);
    const auto dy = random_values(x.size(), 2);
    Guarded<float> dx(dy);
    kernels_under_test().tanh_backward(x.size(), y.data(), dx.data(), dx.data());
    std::vector<double> expected(x.size());
    reference().tanh_backward(x.size(), widened(y.values()).data(), widened(dy).data(), expected.data());
    BOOST_TEST(normalised_error(expected, dx.values()) < kFp32Error);
}

BOOST_AUTO_TEST_CASE(conversion_to_bfloat16_is_the_host_function, *boost::unit_test::precondition(is_on_cpu)) {
    auto x = sweep(std::numeric_limits<float>::max());
    x.insert(x.end(),
             {kInfinity, -kInfinity, kNan, -kNan, std::bit_cast<float>(0x7f800001U), 1.00390625F, 1.01171875F});
    Guarded<std::uint16_t> y(x.size());
    loops_under_test().to_bfloat16(x.size(), x.data(), y.data());
    std::size_t different = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const bool flushed = std::abs(x[i]) < 0x1p-126F && (y.data()[i] & 0x7fffU) == 0;
        different += y.data()[i] != to_bfloat16(x[i]) && !flushed ? 1U : 0U;
    }
    BOOST_TEST(different == 0U);
}

BOOST_AUTO_TEST_CASE(an_element_does_not_depend_on_its_place) {
    const auto x = random_values(1000, 3, 4.0F);
    const auto compute = [](const std::vector<float>& v) {
        std::vector<float> y(3 * v.size());
        kernels_under_test().gelu(v.size(), v.data(), y.data());
        kernels_under_test().tanh(v.size(), v.data(), y.data() + v.size());
        const std::vector<float> ones(v.size(), 1.0F);
        kernels_under_test().gelu_backward(v.size(), v.data(), ones.data(), y.data() + 2 * v.size());
        return y;
    };
    const auto whole = compute(x);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const auto alone = compute({x[i]});
        for (std::size_t f = 0; f < 3; ++f) {
            BOOST_REQUIRE(same_bits(&alone[f], &whole[f * x.size() + i], 1));
        }
    }
}

BOOST_AUTO_TEST_CASE(add_adds) {
    for (const std::size_t count : {1U, 7U, 129U, 1536U}) {
        const auto x = random_values(count, 4);
        const auto start = random_values(count, 5);
        Guarded<float> y(start);
        kernels_under_test().add(count, x.data(), y.data());
        for (std::size_t i = 0; i < count; ++i) {
            BOOST_REQUIRE(y.data()[i] == start[i] + x[i]);
        }
    }
}
