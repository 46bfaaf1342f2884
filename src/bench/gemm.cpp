// The products of one layer, each alone.
#include "ladle/backends/cpu_peak.hpp"
#include "ladle/bench/bench.hpp"

namespace ladle {
namespace {

struct Product {
    const char* name;
    int out;
    int in;
};

std::vector<Product> layer_products(const BenchOptions& options) {
    const int hidden = options.dimensions.backbone.hidden_size;
    const int inner = options.dimensions.backbone.intermediate_size;
    const int bottleneck = options.config.adapter.size;
    return {{"query", hidden, hidden},
            {"key_value", 2 * hidden, hidden},
            {"attention_output", hidden, hidden},
            {"feed_forward_inner", inner, hidden},
            {"feed_forward_outer", hidden, inner},
            {"adapter_down", bottleneck, hidden},
            {"adapter_up", hidden, bottleneck}};
}

}  // namespace

void bench_gemm(const BenchOptions& options, Communicator& comm, const BenchOutput& output) {
    const Precision precision = options.precision();
    const auto kernels = make_cpu_kernels(options.config.cpu.isa, precision);
    const auto elements = [&](int width) {
        return static_cast<std::size_t>(options.rows) * static_cast<std::size_t>(width);
    };
    for (const Product& product : layer_products(options)) {
        const auto matrix = kernels->make_matrix(product.out, product.in, precision, true);
        const auto weights = static_cast<std::size_t>(product.out) * static_cast<std::size_t>(product.in);
        kernels->pack(*matrix, random_values(weights, 0, 1, 0.03F).data());
        std::vector<float> x = random_values(elements(product.in), 0, 2, 1);
        std::vector<float> y = random_values(elements(product.out), 0, 3, 1);
        const auto bias = random_values(static_cast<std::size_t>(product.out), 0, 4, 1);
        const double flop = 2.0 * options.rows * product.out * product.in;
        for (const bool forward : {true, false}) {
            const auto run = [&] {
                if (forward) {
                    kernels->product(*matrix, options.rows, x.data(), bias.data(), y.data());
                } else {
                    kernels->product_transposed(*matrix, options.rows, y.data(), x.data());
                }
            };
            const double seconds = core_seconds_per_call(run, options.repetitions);
            const CpuPeak peak = measure_cpu_peak(options.config.cpu.isa, precision);
            BenchRecord record;
            record["bench"] = "gemm";
            record["dims"] = options.dimensions.name;
            record["precision"] = options.config.model.precision;
            record["kernels"] = kernels->description();
            record["product"] = product.name;
            record["direction"] = forward ? "forward" : "transposed";
            record["rows"] = options.rows;
            record["out"] = product.out;
            record["in"] = product.in;
            record["microseconds"] = rounded(seconds * 1e6);
            record["gflops_per_core"] = rounded(flop / seconds * 1e-9);
            record["clock_ghz"] = rounded(peak.clock_ghz);
            record["peak_gflops_per_core"] = rounded(peak.gflops());
            record["share_of_peak"] = rounded(flop / seconds * 1e-9 / peak.gflops());
            record["loop_gflops_per_core"] = rounded(peak.loop_gflops);
            if (comm.is_root()) {
                output(record);
            }
        }
    }
}

}  // namespace ladle
