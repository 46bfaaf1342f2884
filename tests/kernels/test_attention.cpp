// Attention forward and backward against double, with dropout, short queries and bfloat16 operands; and its bits.
#include "kernel_support.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

/// One call's arrays; `first_token_only`: one query per segment, as in the last layer.
struct Setup {
    Setup(const std::vector<int>& lengths, int heads, int head_dim, bool first_token_only, Precision precision,
          double dropout)
        : lengths(lengths), origins(lengths) {
        int keys = 0;
        for (const int length : lengths) {
            key_offsets.push_back(keys);
            query_offsets.push_back(first_token_only ? static_cast<int>(query_offsets.size()) : keys);
            keys += length;
        }
        key_offsets.push_back(keys);
        query_offsets.push_back(first_token_only ? static_cast<int>(lengths.size()) : keys);
        if (first_token_only) {
            Origins first;
            for (std::size_t s = 0; s < lengths.size(); ++s) {
                const auto row = static_cast<std::size_t>(key_offsets[s]);
                first.sample.push_back(origins.sample[row]);
                first.token.push_back(origins.token[row]);
                first.pass.push_back(origins.pass[row]);
            }
            origins = first;
        }
        width = heads * head_dim;
        queries = query_offsets.back();
        query = random_values(count(queries * width), 1, 2.0F);
        key_value = random_values(count(keys * 2 * width), 2, 2.0F);
        dcontext = random_values(count(queries * width), 3);
        call.precision = precision;
        call.segments = static_cast<int>(lengths.size());
        call.heads = heads;
        call.head_dim = head_dim;
        call.dropout = dropout_site(dropout);
    }
    static std::size_t count(int n) { return static_cast<std::size_t>(n); }

    template <class Real>
    Attention<Real> shape() const {
        Attention<Real> result;
        result.precision = call.precision;
        result.segments = call.segments;
        result.heads = call.heads;
        result.head_dim = call.head_dim;
        result.query_offsets = query_offsets.data();
        result.key_offsets = key_offsets.data();
        result.query_origins = origins.view();
        result.dropout = call.dropout;
        return result;
    }

    std::vector<int> lengths;
    Origins origins;
    Attention<float> call;
    int width = 0;
    int queries = 0;
    std::vector<int> query_offsets;
    std::vector<int> key_offsets;
    std::vector<float> query;
    std::vector<float> key_value;
    std::vector<float> dcontext;
};

struct Results {
    std::vector<float> context;
    std::vector<float> log_sum;
    std::vector<float> dquery;
    std::vector<float> dkey_value;
};

Results compute(const Setup& setup) {
    Guarded<float> context(setup.query.size());
    Guarded<float> log_sum(Setup::count(setup.queries * setup.call.heads));
    Guarded<float> dquery(setup.query.size());
    Guarded<float> dkey_value(setup.key_value.size());
    auto call = setup.shape<float>();
    call.query = setup.query.data();
    call.key_value = setup.key_value.data();
    call.context = context.data();
    call.log_sum = log_sum.data();
    kernels_under_test().attention(call);
    kernels_under_test().attention_backward({call, setup.dcontext.data(), dquery.data(), dkey_value.data()});
    return {context.values(), log_sum.values(), dquery.values(), dkey_value.values()};
}

// Gradients of scores are differences of nearly equal numbers, hence more than kFp32Error. In bf16 a probability on a
// boundary may round the other way (2^-9 off, one in some ten thousand); leaving the rounding out at one place gives
// 1e-6.
double usual_tolerance(const Setup& setup) {
    return setup.call.precision == Precision::bf16 ? 3e-8 : 1e-10;
}

void compare_with_double(const Setup& setup, const std::string& name, double tolerance) {
    const auto query = widened(setup.query);
    const auto key_value = widened(setup.key_value);
    const auto dcontext = widened(setup.dcontext);
    std::vector<double> context(query.size());
    std::vector<double> log_sum(Setup::count(setup.queries * setup.call.heads));
    std::vector<double> dquery(query.size());
    std::vector<double> dkey_value(key_value.size());
    auto call = setup.shape<double>();
    call.query = query.data();
    call.key_value = key_value.data();
    call.context = context.data();
    call.log_sum = log_sum.data();
    reference().attention(call);
    reference().attention_backward({call, dcontext.data(), dquery.data(), dkey_value.data()});
    const Results found = compute(setup);
    BOOST_TEST(normalised_error(context, found.context) < tolerance, "context, " << name);
    BOOST_TEST(normalised_error(log_sum, found.log_sum) < kFp32Error, "log_sum, " << name);
    BOOST_TEST(normalised_error(dquery, found.dquery) < tolerance, "dquery, " << name);
    BOOST_TEST(normalised_error(dkey_value, found.dkey_value) < tolerance, "dkey_value, " << name);
}

}  // namespace

BOOST_AUTO_TEST_CASE(attention_equals_double_loops) {
    const std::vector<std::vector<int>> packings = {{1}, {7, 1, 2}, {11, 53}, {129, 16, 17}, {64, 33}};
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
        for (const auto& lengths : packings) {
            for (const int head_dim : {1, 8, 12, 32, 64}) {
                for (const bool first_only : {false, true}) {
                    for (const double dropout : {0.0, 0.1}) {
                        const Setup setup(lengths, 3, head_dim, first_only, precision, dropout);
                        compare_with_double(setup,
                                            "first length " + std::to_string(lengths[0]) + ", head_dim " +
                                                std::to_string(head_dim) + ", first only " +
                                                std::to_string(first_only) + ", dropout " + std::to_string(dropout) +
                                                ", bf16 " + std::to_string(precision == Precision::bf16),
                                            usual_tolerance(setup));
                    }
                }
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(attention_of_512_tokens) {
    const Setup setup({512}, 1, 32, false, Precision::fp32, 0.1);
    compare_with_double(setup, "512 tokens", usual_tolerance(setup));
}

BOOST_AUTO_TEST_CASE(attention_of_a_segment_does_not_depend_on_the_others) {
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
        const Setup together({11, 53, 7}, 2, 32, false, precision, 0.1);
        Setup alone({53}, 2, 32, false, precision, 0.1);
        const std::ptrdiff_t row = 11;
        const std::ptrdiff_t end = 64;
        const auto part = [](const auto& values, std::ptrdiff_t from, std::ptrdiff_t to) {
            return std::decay_t<decltype(values)>(values.begin() + from, values.begin() + to);
        };
        alone.query = part(together.query, row * 64, end * 64);
        alone.key_value = part(together.key_value, row * 128, end * 128);
        alone.dcontext = part(together.dcontext, row * 64, end * 64);
        alone.origins.sample = part(together.origins.sample, row, end);
        alone.origins.pass = part(together.origins.pass, row, end);
        const Results whole = compute(together);
        const Results found = compute(alone);
        BOOST_TEST(same_bits(whole.context.data() + row * 64, found.context.data(), found.context.size()));
        BOOST_TEST(same_bits(whole.log_sum.data() + row * 2, found.log_sum.data(), found.log_sum.size()));
        BOOST_TEST(same_bits(whole.dquery.data() + row * 64, found.dquery.data(), found.dquery.size()));
        BOOST_TEST(same_bits(whole.dkey_value.data() + row * 128, found.dkey_value.data(), found.dkey_value.size()));
    }
}

BOOST_AUTO_TEST_CASE(attention_survives_large_scores) {
    Setup setup({17}, 1, 32, false, Precision::fp32, 0.0);
    for (float& q : setup.query) {
        q *= 1000;
    }
    const Results found = compute(setup);
    const auto is_finite = [](float v) { return std::isfinite(v); };
    BOOST_TEST(std::all_of(found.dquery.begin(), found.dquery.end(), is_finite));
    BOOST_TEST(std::all_of(found.dkey_value.begin(), found.dkey_value.end(), is_finite));
    // A context is a mean of values, and these are within 2.
    BOOST_TEST(std::all_of(found.context.begin(), found.context.end(), [](float v) { return std::abs(v) < 2.0001F; }));
}
