// Device functions of the CUDA backend that are neither products nor attention, against double loops, or bit for bit
// against the CPU kernels where the order of operations is theirs. Runs on a GPU or on the stand-in.
#include <unistd.h>

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numbers>
#include <sstream>

#include "../../src/backends/cuda/adamw.hpp"
#include "../../src/backends/cuda/functions.hpp"
#include "../../src/backends/cuda/losses.hpp"
#include "../../src/backends/cuda/rows.hpp"
#include "device_support.hpp"
#include "ladle/core/random.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

struct WriteDigest {
    ~WriteDigest() {
        if (const char* path = std::getenv("LADLE_TEST_DIGEST")) {
            std::ofstream(path) << Digest::instance().value();
        }
    }
};
BOOST_TEST_GLOBAL_FIXTURE(WriteDigest);

/// Floats of all sizes and both signs up to `largest`.
std::vector<float> sweep(float largest) {
    std::vector<float> values = {0.0F, -0.0F, 1.0F, -1.0F, 0.625F, 1e-40F, -1e-40F};
    for (std::uint32_t bits = 1; bits < std::bit_cast<std::uint32_t>(largest); bits += 1000003) {
        values.push_back(std::bit_cast<float>(bits));
        values.push_back(-std::bit_cast<float>(bits));
    }
    return values;
}

}  // namespace

BOOST_AUTO_TEST_CASE(rows_are_embedded_gathered_and_scattered) {
    const std::vector<std::int32_t> index = {4, 0, 2};
    const std::vector<std::int32_t> other = {1, 1, 0};
    OnDevice<std::int32_t> indices(index);
    OnDevice<std::int32_t> others(other);
    for (const int width : kSizes) {
        for (const int shift : {0, 1}) {
            const std::size_t size = area(3, width);
            const auto x = random_values(area(5, width), 1);
            const auto z = random_values(area(2, width), 2);
            OnDevice<float> table(x, shift);
            OnDevice<float> positions(z, shift);
            OnDevice<float> y(size, shift);
            std::vector<float> expected(size);
            cuda::embed(stream(), 3, width, indices.data(), others.data(), others.data(), table.data(),
                        positions.data(), positions.data(), y.data());
            cpu_kernels().embed(3, width, index.data(), other.data(), other.data(), x.data(), z.data(), z.data(),
                                expected.data());
            BOOST_TEST(same_bits(y.values(), expected));
            cuda::gather_rows(stream(), 3, width, indices.data(), table.data(), y.data());
            cpu_kernels().gather_rows(3, width, index.data(), x.data(), expected.data());
            BOOST_TEST(same_bits(y.values(), expected));
            const auto start = random_values(area(5, width), 3);
            auto scattered = start;
            OnDevice<float> target(start, shift);
            cuda::add_scattered_rows(stream(), 3, width, indices.data(), y.data(), target.data());
            cpu_kernels().add_scattered_rows(3, width, index.data(), expected.data(), scattered.data());
            BOOST_TEST(same_bits(target.values(), scattered));
            cuda::scatter_rows(stream(), 3, width, indices.data(), y.data(), target.data());
            cpu_kernels().scatter_rows(3, width, index.data(), expected.data(), scattered.data());
            BOOST_TEST(same_bits(target.values(), scattered));
        }
    }
}

BOOST_AUTO_TEST_CASE(vectors_are_added) {
    for (const int n : kSizes) {
        for (const int shift : {0, 1}) {
            const auto count = static_cast<std::size_t>(n);
            const auto x = random_values(count, 1);
            auto expected = random_values(count, 2);
            OnDevice<float> source(x, shift);
            OnDevice<float> y(expected, shift);
            cuda::add(stream(), count, source.data(), y.data());
            cuda::add_scaled(stream(), count, 0.3F, source.data(), y.data());
            cpu_kernels().add(count, x.data(), expected.data());
            cpu_kernels().add_scaled(count, 0.3F, x.data(), expected.data());
            BOOST_TEST(same_bits(y.values(), expected));
        }
    }
}

BOOST_AUTO_TEST_CASE(dropout_masks_are_those_of_the_cpu) {
    Origins origins({1, 7, 25});
    origins.token.back() = 0xfffffff0U;  // indices that wrap
    OriginsOnDevice placed(origins);
    const int rows = static_cast<int>(origins.token.size());
    for (const int width : kSizes) {
        for (const int shift : {0, 1}) {
            for (const double probability : {0.0, 0.1, 0.75}) {
                const auto x = random_values(area(rows, width), 1);
                std::vector<float> expected(x.size());
                OnDevice<float> y(x, shift);
                const DropoutSite site = probability == 0 ? DropoutSite{} : dropout_site(probability);
                cuda::dropout(stream(), rows, width, placed.view(), site, y.data(), y.data());
                cpu_kernels().dropout(rows, width, origins.view(), site, x.data(), expected.data());
                // The CPU's vectors do not wrap: compare the wrapping row with the words themselves.
                for (int j = 0; j < width && site.threshold != 0; ++j) {
                    const std::size_t at = area(rows - 1, width) + static_cast<std::size_t>(j);
                    const RowOrigins last = {origins.sample.data() + rows - 1, origins.token.data() + rows - 1,
                                             origins.pass.data() + rows - 1};
                    Stream words{site.seed,  site.batch, *last.sample, Purpose::dropout,
                                 *last.pass, site.layer, site.site};
                    const std::uint32_t index =
                        *last.token * static_cast<std::uint32_t>(width) + static_cast<std::uint32_t>(j);
                    const bool drops = random_word(words, index) < site.threshold;
                    expected[at] = x[at] * (drops ? 0.0F : static_cast<float>(site.scale));
                }
                BOOST_TEST(same_bits(y.values(), expected), "width " << width << " dropout " << probability);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(functions_equal_double) {
    for (const int n : kSizes) {
        for (const int shift : {0, 1}) {
            const auto count = static_cast<std::size_t>(n);
            const auto x = random_values(count, 1, 4.0F);
            const auto dy = random_values(count, 2);
            OnDevice<float> input(x, shift);
            OnDevice<float> gradient(dy, shift);
            OnDevice<float> y(count, shift);
            std::vector<double> expected(count);
            cuda::gelu(stream(), count, input.data(), y.data());
            reference().gelu(count, widened(x).data(), expected.data());
            const auto gelu = y.values();
            BOOST_TEST(normalised_error(expected, gelu) < kFp32Error);
            cuda::gelu_backward(stream(), count, input.data(), gradient.data(), y.data());
            reference().gelu_backward(count, widened(x).data(), widened(dy).data(), expected.data());
            const auto dx = y.values();
            BOOST_TEST(normalised_error(expected, dx) < kFp32Error);
            cuda::tanh(stream(), count, input.data(), y.data());
            reference().tanh(count, widened(x).data(), expected.data());
            const auto tanh = y.values();
            BOOST_TEST(normalised_error(expected, tanh) < kFp32Error);
            OnDevice<__nv_bfloat16> narrow(count, 4 * shift);
            cuda::gelu_to_bfloat16(stream(), count, input.data(), narrow.data());
            BOOST_TEST(bits_of(narrow.values()) == rounded(gelu));
            cuda::gelu_backward_to_bfloat16(stream(), count, input.data(), gradient.data(), narrow.data());
            BOOST_TEST(bits_of(narrow.values()) == rounded(dx));
            OnDevice<float> both(dy, shift);
            cuda::gelu_backward_to_bfloat16(stream(), count, input.data(), both.data(), narrow.data(), both.data());
            BOOST_TEST(same_bits(both.values(), dx));
            BOOST_TEST(bits_of(narrow.values()) == rounded(dx));
            cuda::tanh_backward(stream(), count, y.data(), gradient.data(), gradient.data());
            reference().tanh_backward(count, widened(tanh).data(), widened(dy).data(), expected.data());
            BOOST_TEST(normalised_error(expected, gradient.values()) < kFp32Error);
        }
    }
}

BOOST_AUTO_TEST_CASE(gelu_keeps_the_digits_of_its_tails) {
    const auto x = sweep(1e6F);
    OnDevice<float> y(x);
    cuda::gelu(stream(), x.size(), y.data(), y.data());
    const auto found = y.values();
    double largest = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double v = x[i];
        const double expected = v * 0.5 * std::erfc(-v / std::numbers::sqrt2);
        largest = std::max(largest, std::abs(found[i] - expected) / std::max(std::abs(expected), 1e-36));
    }
    BOOST_TEST_MESSAGE("gelu: relative error " << largest);
    BOOST_TEST(largest < 7e-7);
    OnDevice<float> bad(std::vector<float>{std::numeric_limits<float>::quiet_NaN()});
    cuda::gelu(stream(), 1, bad.data(), bad.data());
    BOOST_TEST(std::isnan(bad.values()[0]));
}

BOOST_AUTO_TEST_CASE(conversion_to_bfloat16_is_the_host_function) {
    auto x = sweep(std::numeric_limits<float>::max());
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    x.insert(x.end(), {kInfinity, -kInfinity, 1.00390625F, 1.01171875F, std::numeric_limits<float>::max()});
    x.push_back(std::numeric_limits<float>::quiet_NaN());
    OnDevice<float> source(x);
    OnDevice<__nv_bfloat16> y(x.size());
    cuda::to_bfloat16(stream(), x.size(), source.data(), y.data());
    auto found = bits_of(y.values());
    BOOST_TEST(std::isnan(from_bfloat16(found.back())));
    found.pop_back();
    x.pop_back();
    BOOST_TEST(found == rounded(x));
    for (const int out : {1, 33, 129}) {
        for (const int in : {7, 33, 64}) {
            const auto w = random_values(area(out, in), 3);
            OnDevice<float> weight(w);
            OnDevice<__nv_bfloat16> same(w.size());
            OnDevice<__nv_bfloat16> turned(w.size());
            cuda::weight_to_bfloat16(stream(), out, in, weight.data(), same.data(), turned.data());
            BOOST_TEST(bits_of(same.values()) == rounded(w));
            std::vector<float> transposed(w.size());
            for (int o = 0; o < out; ++o) {
                for (int i = 0; i < in; ++i) {
                    transposed[area(i, out) + static_cast<std::size_t>(o)] =
                        w[area(o, in) + static_cast<std::size_t>(i)];
                }
            }
            BOOST_TEST(bits_of(turned.values()) == rounded(transposed));
        }
    }
}

BOOST_AUTO_TEST_CASE(losses_equal_double) {
    constexpr int kSamples = 7;
    for (const int classes : {2, 3, 33, 129}) {
        const std::size_t size = area(kSamples, classes);
        const auto first = random_values(size, 5, 4.0F);
        const auto second = random_values(size, 6, 4.0F);
        const auto weights = random_values(kSamples, 7);
        std::vector<std::int32_t> labels(kSamples);
        for (int s = 0; s < kSamples; ++s) {
            labels[static_cast<std::size_t>(s)] = (5 * s) % classes;
        }
        OnDevice<float> p(first);
        OnDevice<float> q(second);
        OnDevice<float> w(weights);
        OnDevice<std::int32_t> l(labels);
        OnDevice<float> losses(kSamples);
        OnDevice<float> dfirst(size);
        OnDevice<float> dsecond(first);
        std::vector<double> losses_expected(kSamples);
        std::vector<double> dfirst_expected(size);
        auto dsecond_expected = widened(first);
        cuda::cross_entropy(stream(), kSamples, classes, p.data(), l.data(), w.data(), losses.data(), dfirst.data());
        reference().cross_entropy(kSamples, classes, widened(first).data(), labels.data(), widened(weights).data(),
                                  losses_expected.data(), dfirst_expected.data());
        BOOST_TEST(normalised_error(losses_expected, losses.values()) < kFp32Error);
        BOOST_TEST(normalised_error(dfirst_expected, dfirst.values()) < kFp32Error);
        cuda::consistency(stream(), kSamples, classes, p.data(), q.data(), w.data(), losses.data(), dfirst.data(),
                          dsecond.data());
        reference().consistency(kSamples, classes, widened(first).data(), widened(second).data(),
                                widened(weights).data(), losses_expected.data(), dfirst_expected.data(),
                                dsecond_expected.data());
        BOOST_TEST(normalised_error(losses_expected, losses.values()) < kFp32Error);
        BOOST_TEST(normalised_error(dfirst_expected, dfirst.values()) < kFp32Error);
        BOOST_TEST(normalised_error(dsecond_expected, dsecond.values()) < kFp32Error);
    }
    for (const int n : kSizes) {
        const auto count = static_cast<std::size_t>(n);
        const auto logits = random_values(count, 8);
        const auto targets = random_values(count, 9);
        const auto weights = random_values(count, 10);
        OnDevice<float> x(logits);
        OnDevice<float> t(targets);
        OnDevice<float> w(weights);
        OnDevice<float> losses(count);
        std::vector<double> losses_expected(count);
        std::vector<double> dx_expected(count);
        cuda::squared_error(stream(), n, x.data(), t.data(), w.data(), losses.data(), x.data());
        reference().squared_error(n, widened(logits).data(), widened(targets).data(), widened(weights).data(),
                                  losses_expected.data(), dx_expected.data());
        BOOST_TEST(normalised_error(losses_expected, losses.values()) < kFp32Error);
        BOOST_TEST(normalised_error(dx_expected, x.values()) < kFp32Error);
    }
}

BOOST_AUTO_TEST_CASE(adamw_has_the_bits_of_the_cpu) {
    const std::vector<ArraySpan> spans = {{0, 1000}, {1000, 7}, {1010, 33}, {1044, 0}, {1044, 2052}, {3100, 1}};
    constexpr std::size_t kTotal = 3104;
    std::vector<TensorUpdate> tensors;
    for (const ArraySpan& span : spans) {
        TensorUpdate tensor{span.offset, span.count, {}};
        tensor.update.learning_rate = 1e-3;
        tensor.update.weight_decay = tensors.size() % 2 == 0 ? 0.1 : 0.0;
        tensor.update.gradient_scale = 0.7;
        tensor.update.step = 1 + static_cast<std::int64_t>(tensors.size());
        tensors.push_back(tensor);
    }
    const cuda::AdamWTable table = cuda::adamw_table(tensors);
    OnDevice<cuda::AdamWTensor> placed(table.tensors);
    const auto g = random_values(kTotal, 1);
    auto w = random_values(kTotal, 2);
    std::vector<float> m(kTotal);
    std::vector<float> v(kTotal);
    for (const int shift : {0, 1}) {
        OnDevice<float> gradient(g, shift);
        OnDevice<float> weights(w, shift);
        OnDevice<float> first(m, shift);
        OnDevice<float> second(v, shift);
        OnDevice<int> flags(std::vector<int>{0, 1});
        for (const int* finite : {static_cast<const int*>(flags.data()), static_cast<const int*>(flags.data() + 1),
                                  static_cast<const int*>(nullptr)}) {
            cuda::adamw_tensors(stream(), placed.data(), static_cast<int>(spans.size()), table.blocks, gradient.data(),
                                weights.data(), first.data(), second.data(), finite);
            if (finite != flags.data()) {
                cpu_kernels().adamw_tensors(tensors, g.data(), w.data(), m.data(), v.data());
            }
            BOOST_TEST(same_bits(weights.values(), w));
        }
        const AdamWUpdate& update = tensors[2].update;
        cuda::adamw(stream(), update, 1009, gradient.data(), weights.data(), first.data(), second.data(), flags.data());
        cuda::adamw(stream(), update, 1009, gradient.data(), weights.data(), first.data(), second.data());
        cpu_kernels().adamw(update, 1009, g.data(), w.data(), m.data(), v.data());
        BOOST_TEST(same_bits(weights.values(), w));
        BOOST_TEST(same_bits(first.values(), m));
        BOOST_TEST(same_bits(second.values(), v));
    }
}

BOOST_AUTO_TEST_CASE(the_order_of_threads_and_blocks_does_not_matter) {
    if (std::getenv("LADLE_TEST_DIGEST") != nullptr) {
        return;  // one of the runs below
    }
    std::array<char, 4096> program{};
    BOOST_REQUIRE(readlink("/proc/self/exe", program.data(), program.size() - 1) > 0);
    const std::string path = "/tmp/ladle_test_digest_" + std::to_string(getpid());
    std::vector<std::string> digests;
    for (const char* order : {"SIMT_ORDER=forward", "SIMT_ORDER=reverse", "SIMT_ORDER=random SIMT_SEED=3",
                              "SIMT_ORDER=random SIMT_SEED=4"}) {
        const std::string command = std::string(order) + " LADLE_TEST_DIGEST=" + path + " " + program.data() +
                                    " --log_level=nothing --report_level=no >/dev/null 2>&1";
        BOOST_TEST(std::system(command.c_str()) == 0, order);
        std::ostringstream digest;
        digest << std::ifstream(path).rdbuf();
        digests.push_back(digest.str());
        BOOST_TEST(!digests.back().empty());
        BOOST_TEST(digests.back() == digests.front(), order);
        std::remove(path.c_str());
    }
}
