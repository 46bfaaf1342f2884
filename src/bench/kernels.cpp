// Element-wise loops, norms, attention, sums and updates, each alone.
#include <algorithm>

#include "ladle/bench/bench.hpp"

namespace ladle {
namespace {

/// One kernel call and what it moves.
struct KernelCase {
    const char* name;
    int width;        ///< of its rows; 0: a flat array of the trainable parameters' kind
    double elements;  ///< results of one call
    double bytes;     ///< arrays read and written by one call, each once
    double flop;      ///< of products inside; 0 where there are none
    std::function<void()> run;
};

/// Arrays that all cases share, large enough for the widest one.
struct Buffers {
    explicit Buffers(const BenchOptions& options)
        : rows(options.rows),
          hidden(options.dimensions.backbone.hidden_size),
          inner(options.dimensions.backbone.intermediate_size),
          heads(options.dimensions.backbone.num_heads),
          count(static_cast<std::size_t>(rows) * static_cast<std::size_t>(std::max(inner, 3 * hidden))),
          a(random_values(count, 0, 1, 1)),
          b(random_values(count, 0, 2, 1)),
          c(random_values(count, 0, 3, 1)),
          d(random_values(count, 0, 4, 1)),
          squares(count, 1e-4F),
          sums(count) {
        for (int row = 0; row < rows; ++row) {
            ids.push_back(row);
            sample.push_back(static_cast<std::uint32_t>(row / options.tokens));
            token.push_back(static_cast<std::uint32_t>(row % options.tokens));
            pass.push_back(0);
            if (row % options.tokens == 0) {
                offsets.push_back(row);
                pairs += static_cast<double>(options.tokens) * options.tokens;
            }
        }
        const int last = rows - offsets.back();
        pairs += static_cast<double>(last) * last - static_cast<double>(options.tokens) * options.tokens;
        offsets.push_back(rows);
        site.seed = 1;
        site.threshold = 429496730;
        site.scale = 1 / 0.9;
    }

    RowOrigins origins() const { return {sample.data(), token.data(), pass.data()}; }
    double row_elements(int width) const { return static_cast<double>(rows) * width; }

    int rows;
    int hidden;
    int inner;
    int heads;
    double pairs = 0;  ///< query and key of one sample, per head
    std::size_t count;
    std::vector<float> a, b, c, d;  ///< [rows, widest]
    std::vector<float> squares;     ///< second moments: never negative
    std::vector<std::int64_t> sums;
    std::vector<std::int32_t> ids;
    std::vector<std::uint32_t> sample, token, pass;
    std::vector<int> offsets;
    DropoutSite site;
};

using Cases = std::vector<KernelCase>;

void add_row_cases(const Kernels<float>& k, Buffers& m, Cases& cases) {
    const int w = m.hidden;
    const double n = m.row_elements(w);
    const std::int32_t* index = m.ids.data();
    cases.push_back({"embed", w, n, 16 * n, 0, [&k, &m, w, index] {
                         k.embed(m.rows, w, index, index, index, m.a.data(), m.b.data(), m.c.data(), m.d.data());
                     }});
    cases.push_back({"gather_rows", w, n, 8 * n, 0,
                     [&k, &m, w, index] { k.gather_rows(m.rows, w, index, m.a.data(), m.d.data()); }});
    cases.push_back({"scatter_rows", w, n, 8 * n, 0,
                     [&k, &m, w, index] { k.scatter_rows(m.rows, w, index, m.a.data(), m.d.data()); }});
    cases.push_back({"add_scattered_rows", w, n, 12 * n, 0,
                     [&k, &m, w, index] { k.add_scattered_rows(m.rows, w, index, m.a.data(), m.d.data()); }});
    cases.push_back(
        {"add", w, n, 12 * n, 0, [&k, &m, n] { k.add(static_cast<std::size_t>(n), m.a.data(), m.d.data()); }});
    cases.push_back({"dropout", w, n, 8 * n, 0,
                     [&k, &m, w] { k.dropout(m.rows, w, m.origins(), m.site, m.a.data(), m.d.data()); }});
}

void add_function_cases(const Kernels<float>& k, Buffers& m, Cases& cases) {
    const int w = m.inner;
    const double n = m.row_elements(w);
    const auto count = static_cast<std::size_t>(n);
    cases.push_back({"gelu", w, n, 8 * n, 0, [&k, &m, count] { k.gelu(count, m.a.data(), m.d.data()); }});
    cases.push_back({"gelu_backward", w, n, 12 * n, 0,
                     [&k, &m, count] { k.gelu_backward(count, m.a.data(), m.b.data(), m.d.data()); }});
    cases.push_back({"tanh", w, n, 8 * n, 0, [&k, &m, count] { k.tanh(count, m.a.data(), m.d.data()); }});
    cases.push_back({"tanh_backward", w, n, 12 * n, 0,
                     [&k, &m, count] { k.tanh_backward(count, m.a.data(), m.b.data(), m.d.data()); }});
}

/// The two weights of a feed-forward part, for the cases that need them.
struct FeedForwardWeights {
    FeedForwardWeights(const Kernels<float>& k, Precision precision, int hidden, int inner_size)
        : inner(k.make_matrix(inner_size, hidden, precision, true)),
          outer(k.make_matrix(hidden, inner_size, precision, true)) {
        const auto count = static_cast<std::size_t>(inner_size) * static_cast<std::size_t>(hidden);
        k.pack(*inner, random_values(count, 0, 5, 0.03F).data());
        k.pack(*outer, random_values(count, 0, 6, 0.03F).data());
    }
    std::unique_ptr<Matrix> inner;
    std::unique_ptr<Matrix> outer;
};

void add_feed_forward_cases(const Kernels<float>& k, const FeedForwardWeights& weights, Buffers& m, Cases& cases) {
    FeedForward<float> forward;
    forward.inner = weights.inner.get();
    forward.outer = weights.outer.get();
    forward.rows = m.rows;
    forward.inner_bias = m.c.data();
    forward.outer_bias = m.c.data();
    forward.x = m.a.data();
    forward.before_gelu = m.d.data();
    forward.y = m.b.data();
    FeedForwardBackward<float> backward;
    backward.inner = weights.inner.get();
    backward.outer = weights.outer.get();
    backward.rows = m.rows;
    backward.before_gelu = m.d.data();
    backward.dy = m.c.data();
    backward.dx = m.b.data();
    const double n = m.row_elements(m.hidden);
    const double inner = m.row_elements(m.inner);
    const double flop = 4 * inner * m.hidden;
    cases.push_back({"feed_forward", m.hidden, n, 8 * n + 4 * inner, flop, [&k, forward] { k.feed_forward(forward); }});
    cases.push_back({"feed_forward_backward", m.hidden, n, 8 * n + 4 * inner, flop,
                     [&k, backward] { k.feed_forward_backward(backward); }});
}

void add_norm_cases(const Kernels<float>& k, Buffers& m, Cases& cases) {
    ResidualNorm<float> forward;
    forward.rows = m.rows;
    forward.width = m.hidden;
    forward.origins = m.origins();
    forward.dropout = m.site;
    forward.gamma = m.c.data();
    forward.beta = m.c.data() + m.hidden;
    forward.x = m.a.data();
    forward.residual = m.b.data();
    const double n = m.row_elements(m.hidden);
    const auto count = static_cast<std::size_t>(n);
    forward.y = m.d.data();
    forward.normalized = m.d.data() + count;
    forward.inverse_deviation = m.d.data() + 2 * count;
    ResidualNormBackward<float> backward;
    backward.rows = m.rows;
    backward.width = m.hidden;
    backward.origins = m.origins();
    backward.dropout = m.site;
    backward.gamma = m.c.data();
    backward.normalized = m.a.data();
    backward.inverse_deviation = m.b.data() + count;
    backward.dy = m.b.data();
    backward.dx = m.d.data();
    backward.dresidual = m.d.data() + count;
    cases.push_back({"residual_norm", m.hidden, n, 16 * n, 0, [&k, forward] { k.residual_norm(forward); }});
    cases.push_back(
        {"residual_norm_backward", m.hidden, n, 16 * n, 0, [&k, backward] { k.residual_norm_backward(backward); }});
}

void add_attention_cases(const Kernels<float>& k, Precision precision, Buffers& m, Cases& cases) {
    const auto count = static_cast<std::size_t>(m.row_elements(m.hidden));
    Attention<float> forward;
    forward.precision = precision;
    forward.segments = static_cast<int>(m.offsets.size()) - 1;
    forward.heads = forward.kv_heads = m.heads;
    forward.head_dim = m.hidden / m.heads;
    forward.query_offsets = m.offsets.data();
    forward.key_offsets = m.offsets.data();
    forward.query_origins = m.origins();
    forward.dropout = m.site;
    forward.query = m.a.data();
    forward.key_value = m.b.data();
    forward.context = m.d.data();
    forward.log_sum = m.d.data() + count;
    AttentionBackward<float> backward;
    backward.forward = forward;
    backward.dcontext = m.c.data();
    backward.dquery = m.a.data() + count;
    backward.dkey_value = m.c.data() + count;
    const double n = m.row_elements(m.hidden);
    const double flop = 4 * m.pairs * m.hidden;
    cases.push_back({"attention", m.hidden, n, 16 * n, flop, [&k, forward] { k.attention(forward); }});
    // Before it, attention itself must have left its log_sum: cases run in order.
    cases.push_back(
        {"attention_backward", m.hidden, 3 * n, 32 * n, 2 * flop, [&k, backward] { k.attention_backward(backward); }});
}

void add_sum_cases(const Kernels<float>& k, int bottleneck, Buffers& m, Cases& cases) {
    const int w = m.hidden;
    const double n = static_cast<double>(w) * bottleneck;
    const auto count = std::min(static_cast<std::size_t>(n), m.count);
    const double rows = m.row_elements(w);
    cases.push_back({"add_weight_gradient", w, n, 4 * (rows + m.row_elements(bottleneck)) + 8 * n,
                     2 * m.row_elements(bottleneck) * w, [&k, &m, w, bottleneck] {
                         k.add_weight_gradient(m.rows, bottleneck, w, m.b.data(), m.a.data(), m.d.data());
                     }});
    cases.push_back({"add_column_sums", w, rows, 4 * rows, 0,
                     [&k, &m, w] { k.add_column_sums(m.rows, w, m.a.data(), m.d.data()); }});
    // As in a step, sums start anew every so often: no sum of this many values below 2 leaves the range.
    constexpr int kCallsBeforeReset = 1024;
    cases.push_back({"add_fixed_point", 0, n, 20 * n, 0, [&k, &m, count, calls = 0]() mutable {
                         if (calls++ % kCallsBeforeReset == 0) {
                             std::fill(m.sums.begin(), m.sums.end(), 0);
                         }
                         std::int64_t rejected = 0;
                         k.add_fixed_point(count, m.a.data(), 2.0, m.sums.data(), &rejected);
                     }});
    cases.push_back({"from_fixed_point", 0, n, 12 * n, 0,
                     [&k, &m, count] { k.from_fixed_point(count, m.sums.data(), m.d.data()); }});
    cases.push_back({"sum_of_squares", 0, n, 4 * n, 0,
                     [&k, &m, count] { m.d[0] = static_cast<float>(k.sum_of_squares(count, m.a.data())); }});
    AdamWUpdate update;
    update.learning_rate = 1e-4;
    update.weight_decay = 0.1;
    cases.push_back({"adamw", 0, n, 28 * n, 0, [&k, &m, update, count] {
                         k.adamw(update, count, m.a.data(), m.b.data(), m.c.data(), m.squares.data());
                     }});
}

}  // namespace

void bench_kernels(const BenchOptions& options, Communicator& comm, const BenchOutput& output) {
    const auto kernels = make_cpu_kernels(options.config.cpu.isa, options.precision());
    Buffers memory(options);
    Cases cases;
    add_row_cases(*kernels, memory, cases);
    add_function_cases(*kernels, memory, cases);
    const FeedForwardWeights weights(*kernels, options.precision(), memory.hidden, memory.inner);
    add_feed_forward_cases(*kernels, weights, memory, cases);
    add_norm_cases(*kernels, memory, cases);
    add_attention_cases(*kernels, options.precision(), memory, cases);
    add_sum_cases(*kernels, options.config.adapter.size, memory, cases);
    for (const KernelCase& item : cases) {
        const double seconds = core_seconds_per_call(item.run, options.repetitions);
        BenchRecord record;
        record["bench"] = "kernels";
        record["dims"] = options.dimensions.name;
        record["precision"] = options.config.model.precision;
        record["kernels"] = kernels->description();
        record["kernel"] = item.name;
        record["rows"] = item.width > 0 ? options.rows : 1;
        record["width"] = item.width > 0 ? item.width : static_cast<std::int64_t>(item.elements);
        record["tokens_per_sample"] = options.tokens;
        record["microseconds"] = rounded(seconds * 1e6);
        record["ns_per_element"] = rounded(seconds * 1e9 / item.elements);
        record["gigabytes_per_second"] = rounded(item.bytes / seconds * 1e-9);
        if (item.flop > 0) {
            record["gflops_per_core"] = rounded(item.flop / seconds * 1e-9);
        }
        if (comm.is_root()) {
            output(record);
        }
    }
}

}  // namespace ladle
