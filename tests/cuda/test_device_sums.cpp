// Norms, gradients, fixed-point sums and sums of squares of the CUDA backend, against double loops, or bit for bit
// where the header states an order.
#include <cmath>

#include "../../src/backends/cuda/norms.hpp"
#include "../../src/backends/cuda/sums.hpp"
#include "device_support.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

/// Narrow rows nearly cancel, which leaves fewer good digits.
constexpr double kNormError = 1e-11;

/// Few sums of both signs may nearly cancel, too.
constexpr double kGradientError = 1e-9;

struct NormInputs {
    NormInputs(const Origins& o, int w, double probability)
        : origins(o),
          rows(static_cast<int>(o.token.size())),
          width(w),
          site(probability == 0 ? DropoutSite{} : dropout_site(probability)),
          x(random_values(area(rows, w), 1)),
          addend(random_values(area(rows, w), 5)),
          residual(random_values(area(rows, w), 2)),
          gamma(random_values(static_cast<std::size_t>(w), 3)),
          beta(random_values(static_cast<std::size_t>(w), 4)),
          inverse(random_values(static_cast<std::size_t>(rows), 6)) {}

    template <class Call>
    Call call(const RowOrigins& counters) const {
        Call made;
        made.rows = rows;
        made.width = width;
        made.origins = counters;
        made.dropout = site;
        return made;
    }
    const Origins& origins;
    int rows;
    int width;
    DropoutSite site;
    std::vector<float> x;
    std::vector<float> addend;
    std::vector<float> residual;
    std::vector<float> gamma;
    std::vector<float> beta;
    std::vector<float> inverse;
};

/// Returns the bits of y, for comparison with those of arrays elsewhere. With a residual there is an addend, too.
std::vector<float> compare_norm(const NormInputs& c, bool with_residual, int shift) {
    const auto x = widened(c.x);
    const auto addend = widened(c.addend);
    const auto residual = widened(c.residual);
    const auto gamma = widened(c.gamma);
    const auto beta = widened(c.beta);
    std::vector<double> y(x.size());
    std::vector<double> normalized(x.size());
    std::vector<double> inverse(c.inverse.size());
    auto expected = c.call<ResidualNorm<double>>(c.origins.view());
    expected.x = x.data();
    expected.addend = with_residual ? addend.data() : nullptr;
    expected.residual = with_residual ? residual.data() : nullptr;
    expected.gamma = gamma.data();
    expected.beta = beta.data();
    expected.y = y.data();
    expected.normalized = normalized.data();
    expected.inverse_deviation = inverse.data();
    reference().residual_norm(expected);

    OriginsOnDevice origins(c.origins);
    OnDevice<float> found_addend(c.addend, shift);
    OnDevice<float> found_residual(c.residual, shift);
    OnDevice<float> found_gamma(c.gamma, shift);
    OnDevice<float> found_beta(c.beta, shift);
    OnDevice<float> found(c.x, shift);
    OnDevice<float> found_normalized(x.size(), shift);
    OnDevice<float> found_inverse(inverse.size());
    OnDevice<__nv_bfloat16> narrow(x.size(), 4 * shift);
    auto call = c.call<ResidualNorm<float>>(origins.view());
    call.x = found.data();
    call.addend = with_residual ? found_addend.data() : nullptr;
    call.residual = with_residual ? found_residual.data() : nullptr;
    call.gamma = found_gamma.data();
    call.beta = found_beta.data();
    call.y = with_residual ? found_residual.data() : found.data();
    call.normalized = found_normalized.data();
    call.inverse_deviation = found_inverse.data();
    cuda::residual_norm(stream(), call, narrow.data());
    const auto result = with_residual ? found_residual.values() : found.values();
    const std::string name = std::to_string(c.rows) + " rows of " + std::to_string(c.width);
    BOOST_TEST(normalised_error(y, result) < kNormError, name);
    BOOST_TEST(normalised_error(normalized, found_normalized.values()) < kNormError, name);
    BOOST_TEST(normalised_error(inverse, found_inverse.values()) < kNormError, name);
    BOOST_TEST(bits_of(narrow.values()) == rounded(result), name);
    return result;
}

std::vector<float> compare_norm_backward(const NormInputs& c, int shift) {
    const auto gamma = widened(c.gamma);
    const auto normalized = widened(c.residual);
    const auto inverse = widened(c.inverse);
    const auto dy = widened(c.x);
    std::vector<double> dx(dy.size());
    std::vector<double> dresidual(dy.size());
    auto expected = c.call<ResidualNormBackward<double>>(c.origins.view());
    expected.gamma = gamma.data();
    expected.normalized = normalized.data();
    expected.inverse_deviation = inverse.data();
    expected.dy = dy.data();
    expected.dx = dx.data();
    expected.dresidual = dresidual.data();
    reference().residual_norm_backward(expected);

    OriginsOnDevice origins(c.origins);
    OnDevice<float> found_gamma(c.gamma, shift);
    OnDevice<float> found_normalized(c.residual, shift);
    OnDevice<float> found_inverse(c.inverse);
    OnDevice<float> found_dx(c.x, shift);
    OnDevice<float> found_dresidual(dy.size(), shift);
    auto call = c.call<ResidualNormBackward<float>>(origins.view());
    call.gamma = found_gamma.data();
    call.normalized = found_normalized.data();
    call.inverse_deviation = found_inverse.data();
    call.dy = found_dx.data();
    call.dx = found_dx.data();
    call.dresidual = found_dresidual.data();
    cuda::residual_norm_backward(stream(), call);
    const std::string name = std::to_string(c.rows) + " rows of " + std::to_string(c.width);
    const auto result = found_dx.values();
    BOOST_TEST(normalised_error(dx, result) < kNormError, name);
    BOOST_TEST(normalised_error(dresidual, found_dresidual.values()) < kNormError, name);
    return result;
}

/// A micro-batch of leaves whose samples have the given rows per pass.
struct Leaves {
    Leaves(const std::vector<std::vector<int>>& leaf_samples, int passes) {
        std::vector<int> lengths;
        for (const auto& samples : leaf_samples) {
            lengths.insert(lengths.end(), samples.begin(), samples.end());
            leaf_offsets.push_back(static_cast<int>(lengths.size()));
        }
        rows.samples = static_cast<int>(lengths.size());
        rows.leaves = static_cast<int>(leaf_samples.size());
        for (int pass = 0; pass < passes; ++pass) {
            for (const int length : lengths) {
                segment_offsets.push_back(segment_offsets.back() + length + pass);  // the passes differ
            }
        }
        rows.segment_offsets = segment_offsets.data();
        rows.leaf_offsets = leaf_offsets.data();
    }
    void choose_passes(int first, int last) {
        rows.first_pass = first;
        rows.last_pass = last;
        rows.count = segment_offsets[static_cast<std::size_t>(last * rows.samples)] -
                     segment_offsets[static_cast<std::size_t>(first * rows.samples)];
    }
    std::vector<int> segment_offsets = {0};
    std::vector<int> leaf_offsets = {0};
    LeafRows rows;
};

/// A leaf's partial gradient in the stated order.
std::vector<float> partial_gradient(const LeafGradients<float>& call, int leaf) {
    const bool is_bias = call.x == nullptr;
    const int in = is_bias ? 1 : call.in;
    const auto per_chunk = static_cast<std::size_t>(cuda::rows_per_chunk(call.out, in));
    std::vector<std::size_t> rows;
    for (int pass = call.rows.first_pass; pass < call.rows.last_pass; ++pass) {
        for (int r = call.rows.begin(pass, leaf); r < call.rows.end(pass, leaf); ++r) {
            rows.push_back(static_cast<std::size_t>(r));
        }
    }
    const auto out = static_cast<std::size_t>(call.out);
    const auto width = static_cast<std::size_t>(in);
    std::vector<float> partial(out * width);
    for (std::size_t begin = 0; begin < rows.size(); begin += per_chunk) {
        const std::size_t end = std::min(rows.size(), begin + per_chunk);
        std::vector<float> turns(8 * out);
        std::vector<float> chunk(partial.size());
        for (std::size_t i = begin; i < end; ++i) {
            for (std::size_t o = 0; o < out; ++o) {
                const float factor = call.dy[rows[i] * out + o];
                turns[(i - begin) % 8 * out + o] += factor;
                for (std::size_t j = 0; j < width && !is_bias; ++j) {
                    chunk[o * width + j] = std::fma(factor, call.x[rows[i] * width + j], chunk[o * width + j]);
                }
            }
        }
        for (std::size_t turn = 0; turn < 8 && is_bias; ++turn) {
            for (std::size_t o = 0; o < out; ++o) {
                chunk[o] += turns[turn * out + o];
            }
        }
        for (std::size_t k = 0; k < partial.size(); ++k) {
            partial[k] += chunk[k];
        }
    }
    return partial;
}

/// The sums of both functions for a weight [out, in], in 0 for a bias, bit for bit and against the plain order.
void compare_gradient(const Leaves& leaves, int out, int in) {
    const std::size_t count = area(out, std::max(in, 1));
    const auto rows = static_cast<std::size_t>(leaves.segment_offsets.back());
    auto dy = random_values(rows * static_cast<std::size_t>(out), 1);
    const auto x = random_values(rows * static_cast<std::size_t>(in), 2);
    dy.back() = std::numeric_limits<float>::quiet_NaN();
    LeafGradients<float> call;
    call.rows = leaves.rows;
    call.out = out;
    call.in = in;
    call.dy = dy.data();
    call.x = in == 0 ? nullptr : x.data();
    call.limit = 20.0;
    std::vector<std::int64_t> expected(count, 5);
    std::vector<std::int64_t> plain(count, 5);
    std::int64_t expected_rejected = 3;
    std::int64_t plain_rejected = 3;
    for (int leaf = 0; leaf < leaves.rows.leaves; ++leaf) {
        cpu_kernels().add_fixed_point(count, partial_gradient(call, leaf).data(), call.limit, expected.data(),
                                      &expected_rejected);
    }
    std::vector<float> room(count);
    call.partial = room.data();
    call.sums = plain.data();
    call.rejected = &plain_rejected;
    in == 0 ? cpu_kernels().sum_bias_gradients(call) : cpu_kernels().sum_weight_gradients(call);

    OnDevice<int> segments(leaves.segment_offsets);
    OnDevice<int> offsets(leaves.leaf_offsets);
    OnDevice<float> placed_dy(dy);
    OnDevice<float> placed_x(x);
    OnDevice<std::int64_t> sums(std::vector<std::int64_t>(count, 5));
    OnDevice<std::int64_t> rejected(std::vector<std::int64_t>{3});
    call.rows.segment_offsets = segments.data();
    call.rows.leaf_offsets = offsets.data();
    call.dy = placed_dy.data();
    call.x = in == 0 ? nullptr : placed_x.data();
    call.sums = sums.data();
    call.rejected = rejected.data();
    OnDevice<float> scratch(cuda::gradient_scratch_bytes(call) / sizeof(float));
    in == 0 ? cuda::sum_bias_gradients(stream(), call, scratch.data())
            : cuda::sum_weight_gradients(stream(), call, scratch.data());
    const std::string name = std::to_string(out) + " x " + std::to_string(in) + ", rows " +
                             std::to_string(leaves.rows.count) + ", leaves " + std::to_string(leaves.rows.leaves);
    const auto found = sums.values();
    BOOST_TEST((found == expected), name);
    BOOST_TEST(rejected.values()[0] == expected_rejected, name);
    if (expected_rejected != plain_rejected) {
        return;  // a value at the limit
    }
    std::vector<double> wide(plain.begin(), plain.end());
    BOOST_TEST(normalised_error(wide, std::vector<float>(found.begin(), found.end())) < kGradientError, name);
}

/// A weight's sums and its bias's, on the device.
struct LinearSums {
    LinearSums(std::size_t weight_count, std::size_t bias_count) : weight(weight_count), bias(bias_count) {}
    void attach(LeafGradients<float>& of_weight, LeafGradients<float>& of_bias) {
        of_weight.sums = weight.data();
        of_weight.rejected = rejected.data();
        of_bias.sums = bias.data();
        of_bias.rejected = rejected.data() + 1;
    }
    OnDevice<std::int64_t> weight;
    OnDevice<std::int64_t> bias;
    OnDevice<std::int64_t> rejected{2};
};

/// The sums of a weight [out, in] and its bias together are those of one after the other.
void compare_linear(const Leaves& leaves, int out, int in) {
    const auto rows = static_cast<std::size_t>(leaves.segment_offsets.back());
    auto dy = random_values(rows * static_cast<std::size_t>(out), 1);
    dy.back() = std::numeric_limits<float>::quiet_NaN();
    OnDevice<int> segments(leaves.segment_offsets);
    OnDevice<int> offsets(leaves.leaf_offsets);
    OnDevice<float> placed_dy(dy);
    OnDevice<float> placed_x(random_values(rows * static_cast<std::size_t>(in), 2));
    LeafGradients<float> weight;
    weight.rows = leaves.rows;
    weight.rows.segment_offsets = segments.data();
    weight.rows.leaf_offsets = offsets.data();
    weight.out = out;
    weight.dy = placed_dy.data();
    weight.limit = 20.0;
    LeafGradients<float> bias = weight;
    weight.in = in;
    weight.x = placed_x.data();
    OnDevice<float> scratch((cuda::gradient_scratch_bytes(weight) + cuda::gradient_scratch_bytes(bias)) /
                            sizeof(float));
    LinearSums apart(area(out, in), static_cast<std::size_t>(out));
    apart.attach(weight, bias);
    cuda::sum_weight_gradients(stream(), weight, scratch.data());
    cuda::sum_bias_gradients(stream(), bias, scratch.data());
    LinearSums together(area(out, in), static_cast<std::size_t>(out));
    together.attach(weight, bias);
    cuda::sum_linear_gradients(stream(), weight, bias, scratch.data());
    const std::string name = std::to_string(out) + " x " + std::to_string(in);
    BOOST_TEST((together.weight.values() == apart.weight.values()), name);
    BOOST_TEST((together.bias.values() == apart.bias.values()), name);
    BOOST_TEST((together.rejected.values() == apart.rejected.values()), name);
}

}  // namespace

BOOST_AUTO_TEST_CASE(norms_equal_double_loops) {
    const Origins origins({1, 4, 2});
    for (const int width : {2, 7, 33, 48, 129, 384, 768, 1000, 1021, 1028, 1029, 2052}) {
        for (const double probability : {0.0, 0.1}) {
            const NormInputs c(origins, width, probability);
            compare_norm(c, false, 0);
            BOOST_TEST(same_bits(compare_norm(c, true, 0), compare_norm(c, true, 1)));
            BOOST_TEST(same_bits(compare_norm_backward(c, 0), compare_norm_backward(c, 1)));
        }
    }
    const NormInputs wide(origins, cuda::kMostNormWidth, 0.1);
    compare_norm(wide, true, 0);
    compare_norm_backward(wide, 0);
}

BOOST_AUTO_TEST_CASE(gradients_are_summed_by_leaf) {
    Leaves one({{129, 71}}, 2);
    Leaves few({{1, 6}, {}, {0}, {64}, {1, 64, 66}, {3}}, 2);
    for (Leaves* leaves : {&one, &few}) {
        for (const auto& passes : std::vector<std::pair<int, int>>{{0, 1}, {1, 2}, {0, 2}}) {
            leaves->choose_passes(passes.first, passes.second);
            for (const auto& shape : std::vector<std::pair<int, int>>{
                     {1, 7}, {2, 33}, {16, 260}, {33, 7}, {129, 16}, {20, 24}, {70, 20}, {65, 66}, {33, 1000}}) {
                compare_gradient(*leaves, shape.first, shape.second);
            }
            for (const int width : {1, 7, 33, 129}) {
                compare_gradient(*leaves, width, 0);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(gradients_of_many_leaves_take_turns_in_the_scratch) {
    constexpr int kOut = 770;
    constexpr int kIn = 353;
    std::vector<std::vector<int>> samples(70);
    samples[0] = {2};
    samples[31] = {130};
    samples[32] = {1};
    samples[69] = {3, 1};
    Leaves leaves(samples, 1);
    leaves.choose_passes(0, 1);
    LeafGradients<float> call;
    call.rows = leaves.rows;
    call.out = kOut;
    call.in = kIn;
    BOOST_TEST(cuda::gradient_scratch_bytes(call) < samples.size() * area(kOut, kIn) * sizeof(float));
    compare_gradient(leaves, kOut, kIn);
    compare_gradient(leaves, 7, 0);
}

BOOST_AUTO_TEST_CASE(gradients_are_summed_of_a_weight_and_its_bias_together) {
    Leaves few({{1, 6}, {}, {0}, {64}, {1, 64, 66}, {3}}, 2);
    few.choose_passes(0, 2);
    for (const auto& shape : std::vector<std::pair<int, int>>{{2, 33}, {33, 7}, {70, 20}, {16, 260}}) {
        compare_linear(few, shape.first, shape.second);
    }
}

BOOST_AUTO_TEST_CASE(plain_gradients_have_the_bits_of_the_cpu) {
    const bool fused = cpu_kernels().description().find("avx") != std::string::npos;
    for (const int rows : {1, 7, 33, 129}) {
        for (const auto& shape : std::vector<std::pair<int, int>>{{1, 7}, {33, 129}, {65, 66}}) {
            const auto [out, in] = shape;
            const auto dy = random_values(area(rows, out), 1);
            const auto x = random_values(area(rows, in), 2);
            auto expected = random_values(area(out, in), 3);
            auto sums_expected = random_values(static_cast<std::size_t>(in), 4);
            OnDevice<float> placed_dy(dy);
            OnDevice<float> placed_x(x);
            OnDevice<float> dw(expected);
            OnDevice<float> sums(sums_expected);
            cuda::add_weight_gradient(stream(), rows, out, in, placed_dy.data(), placed_x.data(), dw.data());
            cuda::add_column_sums(stream(), rows, in, placed_x.data(), sums.data());
            cpu_kernels().add_weight_gradient(rows, out, in, dy.data(), x.data(), expected.data());
            cpu_kernels().add_column_sums(rows, in, x.data(), sums_expected.data());
            BOOST_TEST(same_bits(sums.values(), sums_expected));
            BOOST_TEST(normalised_error(widened(expected), dw.values()) < kFp32Error);
            BOOST_TEST((!fused || same_bits(dw.values(), expected)));
        }
    }
}

BOOST_AUTO_TEST_CASE(fixed_point_is_that_of_the_cpu) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    constexpr float kUnit = 0x1p-48F;
    for (const int n : kSizes) {
        auto values = random_values(static_cast<std::size_t>(n), 1, 100.0F);
        values.insert(values.end(),
                      {0.5F * kUnit, 1.5F * kUnit, 2.5F * kUnit, -0.5F * kUnit, -1.5F * kUnit, 0.49F * kUnit, 8191.5F,
                       -8191.5F, 8192.0F, -8192.0F, kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()});
        const std::size_t count = values.size();
        std::vector<std::int64_t> sums(count, -3);
        std::vector<std::int64_t> totals = {11, 2, 2};
        OnDevice<float> placed(values);
        OnDevice<std::int64_t> placed_sums(sums);
        OnDevice<std::int64_t> placed_totals(totals);
        cuda::add_fixed_point(stream(), count, placed.data(), 8192.0, placed_sums.data(), placed_totals.data() + 1);
        cuda::add_sums(stream(), count - 1, placed_sums.data(), placed_sums.data());
        cuda::add_fixed_point_total(stream(), count, placed.data(), 8192.0, placed_totals.data(),
                                    placed_totals.data() + 2);
        cuda::from_fixed_point(stream(), count, placed_sums.data(), placed.data());
        cpu_kernels().add_fixed_point(count, values.data(), 8192.0, sums.data(), &totals[1]);
        cpu_kernels().add_sums(count - 1, sums.data(), sums.data());
        cpu_kernels().add_fixed_point_total(count, values.data(), 8192.0, &totals[0], &totals[2]);
        cpu_kernels().from_fixed_point(count, sums.data(), values.data());
        BOOST_TEST(placed_sums.values() == sums);
        BOOST_TEST(placed_totals.values() == totals);
        BOOST_TEST(totals[1] == 7);
        BOOST_TEST(same_bits(placed.values(), values));
    }
}

BOOST_AUTO_TEST_CASE(sums_of_squares_have_the_bits_of_avx512) {
    const std::vector<ArraySpan> spans = {{0, 1}, {1, 7}, {8, 0}, {8, 4096}, {4104, 4097}, {8201, 20001}, {28202, 31}};
    const auto values = random_values(28233, 3);
    const cuda::SquareSpans table = cuda::square_spans(spans);
    OnDevice<cuda::SquareSpan> placed(table.spans);
    OnDevice<float> placed_values(values);
    OnDevice<double> block_sums(table.blocks);
    OnDevice<double> sums(spans.size());
    cuda::sums_of_squares(stream(), placed.data(), static_cast<int>(spans.size()), table.blocks, placed_values.data(),
                          block_sums.data(), sums.data());
    const auto found = sums.values();
    const auto expected = cpu_kernels().sums_of_squares(spans, values.data());
    const bool same_order = cpu_kernels().description().find("avx512") != std::string::npos;
    for (std::size_t i = 0; i < spans.size(); ++i) {
        BOOST_TEST(std::abs(found[i] - expected[i]) <= (same_order ? 0 : 1e-13 * expected[i]), "part " << i);
    }
}
