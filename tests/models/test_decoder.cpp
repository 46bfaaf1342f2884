// The decoder: finite differences in double over a block and over the losses, rotary frequencies, strict tensors.
#include <boost/test/unit_test.hpp>
#include <numbers>

#include "ladle/core/error.hpp"
#include "support/tiny_decoder.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

// Central differences in double: truncation about h^2, rounding about 1e-16 / h; with h = 1e-5 relative 1e-7 holds.
constexpr double kStep = 1e-5;
constexpr double kTolerance = 1e-7;

std::vector<double> random_numbers(std::size_t count, std::uint32_t batch) {
    Stream stream;
    stream.batch = batch;
    std::vector<double> values(count);
    for (std::size_t i = 0; i < count; ++i) {
        values[i] = random_normal(stream, static_cast<std::uint32_t>(i));
    }
    return values;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

/// Compares a gradient with differences of `function`, which reads x.
template <class Function>
void check_gradient(const std::vector<double>& gradient, std::vector<double>& x, Function function) {
    double largest = 0;
    for (const double g : gradient) {
        largest = std::max(largest, std::abs(g));
    }
    BOOST_TEST(largest > 1e-3);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double kept = x[i];
        x[i] = kept + kStep;
        const double above = function();
        x[i] = kept - kStep;
        const double below = function();
        x[i] = kept;
        BOOST_TEST(std::abs((above - below) / (2 * kStep) - gradient[i]) <= kTolerance * std::max(1.0, largest),
                   "element " << i);
    }
}

struct Setup {
    Setup() : kernels(make_reference_kernels<double>()), batch(1) {}
    Context<double> context() { return {*kernels, arena, scratch, staging, nullptr, {}}; }
    std::size_t size() const {
        return static_cast<std::size_t>(batch.tokens.rows.count) * static_cast<std::size_t>(config.dim);
    }
    std::unique_ptr<Kernels<double>> kernels;
    DecoderConfig config = tiny_decoder();
    TinyBatch batch;
    ParameterTable nothing_trains;
    Arena arena;
    Arena scratch;
    Arena staging;
};

}  // namespace

BOOST_AUTO_TEST_CASE(gradient_of_a_block_matches_finite_differences) {
    Setup s;
    NamedTensors tensors(tiny_decoder_tensors(s.config), "", "tiny");
    const RotaryTable<double> rotary(host_memory(), s.config.max_positions, rotary_frequencies(s.config));
    const DecoderBlock<double> block(*s.kernels, s.config, Precision::fp32, 1, rotary, tensors);
    const Rows rows = placed_rows(s.context(), s.batch.tokens.rows);
    std::vector<double> x = random_numbers(s.size(), 1);
    const std::vector<double> dy = random_numbers(s.size(), 2);
    const auto function = [&] {
        const ArenaScope scope(s.arena);
        DecoderBlockSaved<double> saved;
        std::vector<double> y(s.size());
        block.forward(s.context(), rows, x.data(), y.data(), saved);
        return dot(y, dy);
    };
    DecoderBlockSaved<double> saved;
    std::vector<double> y(s.size());
    std::vector<double> dx(s.size());
    block.forward(s.context(), rows, x.data(), y.data(), saved);
    GradientSum<double> gradients(*s.kernels, s.nothing_trains);
    block.backward(s.context(), rows, saved, dy.data(), dx.data(), gradients);
    check_gradient(dx, x, function);
}

BOOST_AUTO_TEST_CASE(gradient_of_the_losses_matches_finite_differences) {
    Setup s;
    for (const bool tied : {false, true}) {
        s.config.tied_output = tied;
        const auto model = make_tiny_decoder(*s.kernels, s.config);
        const int rows = s.batch.tokens.rows.count;
        const std::vector<std::int32_t> index = {7, 1, 2};
        std::vector<std::int32_t> labels(static_cast<std::size_t>(rows), -1);
        labels[7] = 23;
        labels[1] = 0;
        labels[2] = 5;
        const std::vector<double> weights = random_numbers(static_cast<std::size_t>(rows), 6);
        std::vector<double> states = random_numbers(s.size(), 3);
        std::vector<double> losses(static_cast<std::size_t>(rows));
        std::vector<double> dstates(s.size(), 9.0);
        const auto function = [&] {
            std::fill(losses.begin(), losses.end(), 0.0);
            std::vector<double> ignored(s.size());
            model->losses(s.context(), rows, states.data(), {3, index.data(), labels.data(), weights.data()},
                          losses.data(), ignored.data());
            double sum = 0;
            for (const double loss : losses) {
                sum += loss;
            }
            return sum;
        };
        model->losses(s.context(), rows, states.data(), {3, index.data(), labels.data(), weights.data()}, losses.data(),
                      dstates.data());
        BOOST_TEST(losses[0] == 0.0);
        BOOST_TEST(losses[7] * weights[7] > 0.0);
        check_gradient(dstates, states, function);
    }
}

BOOST_AUTO_TEST_CASE(losses_in_parts_are_those_of_single_targets) {
    Setup s;
    const auto model = make_tiny_decoder(*s.kernels, s.config);
    constexpr std::int32_t kRows = 600;
    std::vector<std::int32_t> index;
    std::vector<std::int32_t> labels;
    for (std::int32_t r = 0; r < kRows; ++r) {
        labels.push_back(r % s.config.vocab);
        if (r % 13 != 0) {
            index.push_back(r);
        }
    }
    const auto dim = static_cast<std::size_t>(s.config.dim);
    const std::vector<double> states = random_numbers(kRows * dim, 4);
    const std::vector<double> weights = random_numbers(kRows, 6);
    const auto compute = [&](const std::vector<std::int32_t>& rows) {
        std::vector<double> result(kRows * (dim + 1));
        model->losses(s.context(), kRows, states.data(),
                      {static_cast<int>(rows.size()), rows.data(), labels.data(), weights.data()},
                      result.data() + kRows * dim, result.data());
        return result;
    };
    const auto whole = compute(index);
    for (const std::int32_t r : {1, 257, 300, 599}) {
        const auto alone = compute({r});
        const auto row = static_cast<std::size_t>(r);
        BOOST_TEST(whole[kRows * dim + row] == alone[kRows * dim + row]);
        for (std::size_t j = 0; j < dim; ++j) {
            BOOST_TEST(whole[row * dim + j] == alone[row * dim + j]);
        }
    }
    for (std::size_t j = 0; j < dim; ++j) {
        BOOST_TEST(whole[13 * dim + j] == 0.0);
    }
}

BOOST_AUTO_TEST_CASE(gradient_of_the_embedding_output_matches_finite_differences) {
    Setup s;
    const auto model = make_tiny_decoder(*s.kernels, s.config);
    const std::vector<double> dstates = random_numbers(s.size(), 5);
    // The rows of the table that tokens read are what can be varied from outside: two copies of the model differ in
    // one number.
    DecoderSaved<double> saved;
    model->forward(s.context(), s.batch.tokens, saved);
    std::vector<double> dx(s.size());
    GradientSum<double> gradients(*s.kernels, s.nothing_trains);
    model->backward(s.context(), saved, dstates.data(), dx.data(), gradients);
    const auto states_with = [&](std::size_t at, double change) {
        TensorMap tensors = tiny_decoder_tensors(s.config);
        Tensor& words = tensors.at("tok_embeddings.weight");
        auto values = words.to_floats();
        values[at] += static_cast<float>(change);
        words = Tensor::from_floats(words.shape, values.data());
        NamedTensors named(std::move(tensors), "", "tiny");
        const Decoder<double> varied(*s.kernels, s.config, Precision::fp32, named);
        DecoderSaved<double> kept;
        const double* states = varied.forward(s.context(), s.batch.tokens, kept);
        return std::pair{dot({states, states + s.size()}, dstates), static_cast<double>(values[at])};
    };
    const auto dim = static_cast<std::size_t>(s.config.dim);
    const auto id = static_cast<std::size_t>(s.batch.ids.at(4));
    for (const std::size_t j : {0U, 5U, 11U}) {
        double expected = 0;
        for (std::size_t r = 0; r < s.batch.ids.size(); ++r) {
            expected += static_cast<std::size_t>(s.batch.ids[r]) == id ? dx[r * dim + j] : 0.0;
        }
        const auto above = states_with(id * dim + j, 1e-3);
        const auto below = states_with(id * dim + j, -1e-3);
        // The step must be a float's: truncation is about 1e-6 of third derivatives of some tens.
        const double numeric = (above.first - below.first) / (above.second - below.second);
        BOOST_TEST(std::abs(numeric - expected) < 1e-4 * std::max(1.0, std::abs(expected)));
    }
}

BOOST_AUTO_TEST_CASE(rotary_frequencies_follow_the_law_and_its_scaling) {
    DecoderConfig config = tiny_decoder();
    config.head_dim = 128;
    config.rope_theta = 500000;
    const auto plain = rotary_frequencies(config);
    BOOST_TEST(plain.size() == 64U);
    BOOST_TEST(plain[0] == 1.0);
    BOOST_TEST(std::abs(plain[32] - 1 / std::sqrt(500000.0)) < 1e-15);
    config.rope_scaling.emplace();
    const auto scaled = rotary_frequencies(config);
    int kept = 0;
    int divided = 0;
    for (std::size_t i = 0; i < plain.size(); ++i) {
        const double wavelength = 2 * std::numbers::pi / plain[i];
        const double t = (8192 / wavelength - 1) / 3;
        const double between = plain[i] * ((1 - t) / 8 + t);
        const double expected = wavelength < 2048 ? plain[i] : wavelength > 8192 ? plain[i] / 8 : between;
        BOOST_TEST(std::abs(scaled[i] - expected) < 1e-15);
        kept += wavelength < 2048 ? 1 : 0;
        divided += wavelength > 8192 ? 1 : 0;
    }
    BOOST_TEST(kept > 0);
    BOOST_TEST(divided > 0);
    BOOST_TEST(kept + divided < 64);
}

BOOST_AUTO_TEST_CASE(missing_and_surplus_tensors_of_a_decoder_are_named) {
    const auto kernels = make_reference_kernels<double>();
    const auto fails_naming = [&](const std::string& name, const DecoderConfig& config, TensorMap tensors) {
        NamedTensors named(std::move(tensors), "", "tiny");
        BOOST_CHECK_EXCEPTION(
            Decoder<double>(*kernels, config, Precision::fp32, named), DataError,
            [&](const DataError& error) { return std::string(error.what()).find(name) != std::string::npos; });
    };
    const DecoderConfig config = tiny_decoder();
    auto missing = tiny_decoder_tensors(config);
    missing.erase("layers.1.attention.wk.weight");
    fails_naming("layers.1.attention.wk.weight", config, missing);
    DecoderConfig tied = config;
    tied.tied_output = true;
    fails_naming("output.weight", tied, tiny_decoder_tensors(config));
    DecoderConfig wider = config;
    wider.ffn = 11;
    fails_naming("layers.0.feed_forward.w1.weight", wider, tiny_decoder_tensors(config));
}
