// The feed-forward part: the same bits as its parts one after the other, which have tests of their own.
#include "kernel_support.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

constexpr int kHidden = 48;
constexpr int kWide = 200;

struct Part {
    explicit Part(Precision precision)
        : inner(kernels_under_test().make_matrix(kWide, kHidden, precision, true)),
          outer(kernels_under_test().make_matrix(kHidden, kWide, precision, true)) {
        kernels_under_test().pack(*inner, random_values(kWide * kHidden, 21).data());
        kernels_under_test().pack(*outer, random_values(kWide * kHidden, 22).data());
    }
    std::unique_ptr<Matrix> inner;
    std::unique_ptr<Matrix> outer;
    std::vector<float> inner_bias = random_values(kWide, 23);
    std::vector<float> outer_bias = random_values(kHidden, 24);
};

std::size_t wide(int rows) {
    return static_cast<std::size_t>(rows * kWide);
}
std::size_t narrow(int rows) {
    return static_cast<std::size_t>(rows * kHidden);
}

/// dx in place of dy.
FeedForwardBackward<float> backward_call(const Part& part, int rows, const std::vector<float>& before,
                                         Guarded<float>& dy) {
    FeedForwardBackward<float> call;
    call.inner = part.inner.get();
    call.outer = part.outer.get();
    call.rows = rows;
    call.before_gelu = before.data();
    call.dy = dy.data();
    call.dx = dy.data();
    return call;
}

}  // namespace

BOOST_AUTO_TEST_CASE(feed_forward_equals_its_parts) {
    const auto& kernels = kernels_under_test();
    for (const Precision precision : precisions()) {
        const Part part(precision);
        for (const int rows : {1, 64, 70, 256, 449}) {
            const auto x = random_values(narrow(rows), 25);
            std::vector<float> before(wide(rows));
            std::vector<float> activated(wide(rows));
            std::vector<float> expected(narrow(rows));
            kernels.product(*part.inner, rows, x.data(), part.inner_bias.data(), before.data());
            kernels.gelu(before.size(), before.data(), activated.data());
            kernels.product(*part.outer, rows, activated.data(), part.outer_bias.data(), expected.data());

            Guarded<float> before_gelu(wide(rows));
            Guarded<float> y(narrow(rows));
            FeedForward<float> call;
            call.inner = part.inner.get();
            call.outer = part.outer.get();
            call.rows = rows;
            call.inner_bias = part.inner_bias.data();
            call.outer_bias = part.outer_bias.data();
            call.x = x.data();
            call.before_gelu = before_gelu.data();
            call.y = y.data();
            kernels.feed_forward(call);
            BOOST_TEST(same_bits(before.data(), before_gelu.data(), before.size()), rows << " rows");
            BOOST_TEST(same_bits(expected.data(), y.data(), expected.size()), rows << " rows");
        }
    }
}

BOOST_AUTO_TEST_CASE(feed_forward_backward_equals_its_parts) {
    const auto& kernels = kernels_under_test();
    for (const Precision precision : precisions()) {
        const Part part(precision);
        for (const int rows : {1, 64, 70, 256, 449}) {
            const auto before = random_values(wide(rows), 26, 3.0F);
            const auto dy = random_values(narrow(rows), 27);
            std::vector<float> gradient(wide(rows));
            std::vector<float> expected(narrow(rows));
            kernels.product_transposed(*part.outer, rows, dy.data(), gradient.data());
            kernels.gelu_backward(gradient.size(), before.data(), gradient.data(), gradient.data());
            kernels.product_transposed(*part.inner, rows, gradient.data(), expected.data());

            for (const bool wanted : {false, true}) {
                Guarded<float> dx(dy);
                Guarded<float> dbefore(wide(rows));
                FeedForwardBackward<float> call = backward_call(part, rows, before, dx);
                call.dbefore_gelu = wanted ? dbefore.data() : nullptr;
                kernels.feed_forward_backward(call);
                BOOST_TEST(same_bits(expected.data(), dx.data(), expected.size()), rows << " rows");
                BOOST_TEST((!wanted || same_bits(gradient.data(), dbefore.data(), gradient.size())), rows << " rows");
            }
            const auto before_sum = random_values(narrow(rows), 28);
            Guarded<float> room(dy);
            Guarded<float> sum(before_sum);
            FeedForwardBackward<float> call = backward_call(part, rows, before, room);
            call.sum = sum.data();
            kernels.feed_forward_backward(call);
            for (std::size_t i = 0; i < expected.size(); ++i) {
                expected[i] += before_sum[i];
            }
            BOOST_TEST(same_bits(expected.data(), sum.data(), expected.size()), rows << " rows, added");
        }
    }
}
