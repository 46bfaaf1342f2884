// Attention forward and backward against double, with dropout, short queries, shared heads of keys, causal masks and
// bfloat16 operands; and its bits.
#include "cpu_loops.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

/// One call's arrays; `first_token_only`: one query per segment, as in the last layer; `group` query heads share a head
/// of keys and values.
struct Setup {
    Setup(const std::vector<int>& lengths, int heads, int head_dim, bool first_token_only, Precision precision,
          double dropout, int group = 1, bool causal = false)
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
        key_value = random_values(count(keys * 2 * width / group), 2, 2.0F);
        dcontext = random_values(count(queries * width), 3);
        call.precision = precision;
        call.segments = static_cast<int>(lengths.size());
        call.heads = heads;
        call.kv_heads = heads / group;
        call.causal = causal;
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
        result.kv_heads = call.kv_heads;
        result.causal = call.causal;
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
    for (const Precision precision : precisions()) {
        const Setup setup({512}, 1, 32, false, precision, 0.1);
        compare_with_double(setup, "512 tokens", usual_tolerance(setup));
    }
}

// Of tiles of 16 by 16: one and a half, two and a half, five.
BOOST_AUTO_TEST_CASE(attention_of_heads_that_are_no_pairs_of_tiles) {
    for (const Precision precision : precisions()) {
        for (const int head_dim : {24, 40, 80}) {
            for (const auto& lengths : {std::vector<int>{33, 16, 53}, std::vector<int>{129, 17}}) {
                const Setup setup(lengths, 2, head_dim, false, precision, 0.1);
                compare_with_double(setup, "head_dim " + std::to_string(head_dim), usual_tolerance(setup));
            }
        }
    }
}

// Sanitizers do not see what the tile unit reads and writes; it takes whole tiles of rows that may hold anything.
BOOST_AUTO_TEST_CASE(attention_keeps_to_its_scratch_and_reads_only_what_it_wrote,
                     *boost::unit_test::precondition(is_on_cpu)) {
    constexpr int kZone = 4096;
    constexpr float kUntouched = 12345.0F;
    for (const Precision precision : precisions()) {
        for (const int head_dim : {1, 40, 64}) {
            for (const int length : {1, 17, 53, 129}) {
                const Setup setup({length}, 2, head_dim, false, precision, 0.1);
                const Results expected = compute(setup);
                const auto floats = static_cast<int>(cpu::attention_scratch_floats(length, head_dim));
                std::vector<float> room(Setup::count(floats + 2 * kZone), kUntouched);
                void* aligned = room.data() + kZone;
                std::size_t space = Setup::count(floats + kZone) * sizeof(float);
                auto* scratch =
                    static_cast<float*>(std::align(64, Setup::count(floats) * sizeof(float), aligned, space));
                const auto run = [&](auto loop) {
                    std::fill(scratch, scratch + floats, std::numeric_limits<float>::quiet_NaN());
                    loop();
                };
                Results found = expected;
                auto call = setup.shape<float>();
                call.query = setup.query.data();
                call.key_value = setup.key_value.data();
                call.context = found.context.data();
                call.log_sum = found.log_sum.data();
                run([&] { loops_under_test().attention(call, scratch); });
                run([&] {
                    loops_under_test().attention_backward(
                        {call, setup.dcontext.data(), found.dquery.data(), found.dkey_value.data()}, scratch);
                });
                const auto untouched = [](float v) { return v == kUntouched; };
                BOOST_TEST(std::all_of(room.data(), scratch, untouched), "written before the scratch");
                BOOST_TEST(std::all_of(scratch + floats, room.data() + room.size(), untouched), "written beyond it");
                BOOST_TEST(found.context == expected.context);
                BOOST_TEST(found.log_sum == expected.log_sum);
                BOOST_TEST(found.dquery == expected.dquery);
                BOOST_TEST(found.dkey_value == expected.dkey_value);
            }
        }
    }
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
    for (const Precision precision : precisions()) {
        Setup setup({17}, 1, 32, false, precision, 0.0);
        for (float& q : setup.query) {
            q *= 1000;
        }
        const Results found = compute(setup);
        const auto is_finite = [](float v) { return std::isfinite(v); };
        BOOST_TEST(std::all_of(found.dquery.begin(), found.dquery.end(), is_finite));
        BOOST_TEST(std::all_of(found.dkey_value.begin(), found.dkey_value.end(), is_finite));
        // A context is a mean of values, and these are within 2.
        const auto is_within_values = [](float v) { return std::abs(v) < 2.0001F; };
        BOOST_TEST(std::all_of(found.context.begin(), found.context.end(), is_within_values));
    }
}

BOOST_AUTO_TEST_CASE(causal_attention_of_shared_heads_equals_double_loops) {
    const std::vector<std::vector<int>> packings = {{7, 1, 2}, {11, 53}, {100, 33}};
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
        for (const auto& lengths : packings) {
            for (const int head_dim : {2, 12, 128}) {
                for (const int group : {1, 2, 4}) {
                    const double dropout = head_dim == 12 ? 0.1 : 0.0;
                    const Setup setup(lengths, 4, head_dim, false, precision, dropout, group, true);
                    compare_with_double(setup,
                                        "causal, first length " + std::to_string(lengths[0]) + ", head_dim " +
                                            std::to_string(head_dim) + ", group " + std::to_string(group) + ", bf16 " +
                                            std::to_string(precision == Precision::bf16),
                                        usual_tolerance(setup));
                }
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(shared_heads_without_a_mask_equal_double_loops) {
    for (const Precision precision : precisions()) {
        const Setup setup({11, 53}, 6, 32, false, precision, 0.1, 3, false);
        compare_with_double(setup, "shared heads", usual_tolerance(setup));
        const Setup last({11, 53}, 6, 32, true, precision, 0.0, 3, true);
        compare_with_double(last, "one causal query", usual_tolerance(last));
    }
}

// Of the double loops themselves: what they are compared with has one head of keys per query head and no mask.
BOOST_AUTO_TEST_CASE(a_causal_query_of_shared_heads_attends_to_a_prefix_of_repeated_heads) {
    constexpr int kLength = 9;
    constexpr int kHeads = 4;
    constexpr int kDim = 6;
    const Setup setup({kLength}, kHeads, kDim, false, Precision::fp32, 0.0, 2, true);
    const auto query = widened(setup.query);
    const auto key_value = widened(setup.key_value);
    std::vector<double> context(query.size());
    std::vector<double> log_sum(Setup::count(kLength * kHeads));
    auto call = setup.shape<double>();
    call.query = query.data();
    call.key_value = key_value.data();
    call.context = context.data();
    call.log_sum = log_sum.data();
    reference().attention(call);

    std::vector<double> repeated;
    for (int key = 0; key < kLength; ++key) {
        for (const int value : {0, 1}) {
            for (int head = 0; head < kHeads; ++head) {
                const auto from = key_value.begin() + ((key * 2 + value) * 2 + head / 2) * kDim;
                repeated.insert(repeated.end(), from, from + kDim);
            }
        }
    }
    for (int row = 0; row < kLength; ++row) {
        const std::vector<int> one_query = {0, 1};
        const std::vector<int> prefix = {0, row + 1};
        std::vector<double> expected(kHeads * kDim);
        std::vector<double> expected_log_sum(kHeads);
        auto plain = setup.shape<double>();
        plain.kv_heads = kHeads;
        plain.causal = false;
        plain.query_offsets = one_query.data();
        plain.key_offsets = prefix.data();
        plain.query = query.data() + row * kHeads * kDim;
        plain.key_value = repeated.data();
        plain.context = expected.data();
        plain.log_sum = expected_log_sum.data();
        reference().attention(plain);
        for (std::size_t i = 0; i < expected.size(); ++i) {
            BOOST_TEST(expected[i] == context[Setup::count(row) * expected.size() + i]);
        }
    }
}

BOOST_AUTO_TEST_CASE(last_queries_over_a_cache_have_the_bits_of_the_whole) {
    for (const Precision precision : precisions()) {
        const std::vector<int> lengths = {11, 53, 40};
        constexpr int kQueries = 3;
        constexpr int kGap = 5;
        const Setup whole(lengths, 4, 32, false, precision, 0.0, 2, true);
        const Results expected = compute(whole);
        const std::size_t width = Setup::count(whole.width);
        // Segments lie apart in the cache, in another order; nobody may read what is between them.
        std::vector<float> cache;
        std::vector<int> begins(lengths.size());
        std::vector<int> ends(lengths.size());
        for (const std::size_t s : {std::size_t{2}, std::size_t{0}, std::size_t{1}}) {
            cache.insert(cache.end(), kGap * width, std::numeric_limits<float>::quiet_NaN());
            begins[s] = static_cast<int>(cache.size() / width);
            cache.insert(cache.end(), whole.key_value.begin() + whole.key_offsets[s] * whole.width,
                         whole.key_value.begin() + whole.key_offsets[s + 1] * whole.width);
            ends[s] = static_cast<int>(cache.size() / width);
        }
        std::vector<int> query_offsets = {0};
        std::vector<float> query;
        for (std::size_t s = 0; s < lengths.size(); ++s) {
            const auto end = whole.query.begin() + whole.query_offsets[s + 1] * whole.width;
            query.insert(query.end(), end - kQueries * whole.width, end);
            query_offsets.push_back(query_offsets.back() + kQueries);
        }
        Guarded<float> context(query.size());
        Guarded<float> log_sum(Setup::count(4 * kQueries) * lengths.size());
        auto call = whole.shape<float>();
        call.query_offsets = query_offsets.data();
        call.key_offsets = begins.data();
        call.key_ends = ends.data();
        call.query = query.data();
        call.key_value = cache.data();
        call.context = context.data();
        call.log_sum = log_sum.data();
        kernels_under_test().attention(call);
        for (std::size_t s = 0; s < lengths.size(); ++s) {
            const std::size_t first = (Setup::count(whole.query_offsets[s + 1]) - kQueries) * width;
            BOOST_TEST(
                same_bits(expected.context.data() + first, context.data() + kQueries * s * width, kQueries * width));
        }
    }
}

BOOST_AUTO_TEST_CASE(causal_attention_of_a_segment_does_not_depend_on_the_others) {
    for (const Precision precision : precisions()) {
        const Setup together({11, 53, 90}, 4, 32, false, precision, 0.0, 2, true);
        Setup alone({53}, 4, 32, false, precision, 0.0, 2, true);
        const std::ptrdiff_t begin = 11 * 128;
        const std::ptrdiff_t end = 64 * 128;
        alone.query.assign(together.query.begin() + begin, together.query.begin() + end);
        alone.key_value.assign(together.key_value.begin() + begin, together.key_value.begin() + end);
        alone.dcontext.assign(together.dcontext.begin() + begin, together.dcontext.begin() + end);
        const Results whole = compute(together);
        const Results found = compute(alone);
        BOOST_TEST(same_bits(whole.context.data() + begin, found.context.data(), found.context.size()));
        BOOST_TEST(same_bits(whole.dquery.data() + begin, found.dquery.data(), found.dquery.size()));
        BOOST_TEST(same_bits(whole.dkey_value.data() + begin, found.dkey_value.data(), found.dkey_value.size()));
    }
}
