// Every key that a measurement promises, on a model small enough for any machine. No figure is judged.
#include <boost/test/unit_test.hpp>
#include <set>
#include <string>
#include <vector>

#include "ladle/backends/gpu_peak.hpp"
#include "ladle/bench/bench.hpp"
#include "ladle/bench/decoder_workload.hpp"
#include "ladle/core/error.hpp"
#include "support/tiny_decoder.hpp"

namespace {

using namespace ladle;

BenchOptions tiny_options() {
    BenchOptions options;
    options.dimensions = find_dimensions("minilm");
    BackboneConfig& backbone = options.dimensions.backbone;
    backbone.hidden_size = 32;
    backbone.num_layers = 2;
    backbone.num_heads = 4;
    backbone.intermediate_size = 64;
    backbone.vocab_size = 50;
    options.lengths = {"tiny", {3, 9, 4, 1, 7, 5, 2, 6}, 4};
    options.config.train.batch = 4;
    options.config.train.consistency = 1;
    options.config.adapter.size = 4;
    options.steps = 2;
    options.repetitions = 2;
    options.rows = 70;
    options.tokens = 32;
    return options;
}

BenchOptions tiny_decoder_options(const std::string& system) {
    BenchOptions options = tiny_options();
    DecoderConfig decoder = test::tiny_decoder();
    decoder.vocab = 50;
    options.dimensions.name = "tiny";
    options.decoder = random_decoder(decoder, 1);
    options.config.moa.system = system;
    options.config.train.leaf = 1;
    options.prompts = {2};
    options.prompt_tokens = 2;
    options.new_tokens = 40;
    return options;
}

using Measurement = void (*)(const BenchOptions& options, Communicator& comm, const BenchOutput& output);

std::vector<BenchRecord> records_of(Measurement measure, const BenchOptions& options) {
    std::vector<BenchRecord> records;
    const auto comm = make_single_communicator();
    measure(options, *comm, [&](const BenchRecord& record) {
        // What a reader of the line gets.
        records.push_back(BenchRecord::parse(record.dump()));
    });
    return records;
}

void require_positive(const BenchRecord& record, const std::vector<const char*>& keys) {
    for (const char* key : keys) {
        BOOST_REQUIRE_MESSAGE(record.contains(key), key << " is missing in " << record.dump());
        BOOST_TEST(record[key].is_number(), key);
        BOOST_TEST(record[key].get<double>() > 0, key);
    }
}

const std::vector<const char*> kRunKeys = {"ranks",
                                           "threads",
                                           "batch",
                                           "passes",
                                           "steps",
                                           "repetitions",
                                           "samples",
                                           "tokens",
                                           "seconds_per_step",
                                           "core_seconds_per_step",
                                           "samples_per_second",
                                           "samples_per_core_second",
                                           "tokens_per_second",
                                           "tokens_per_core_second",
                                           "useful_gflop_per_sample",
                                           "useful_gflops",
                                           "useful_gflops_per_core",
                                           "clock_ghz",
                                           "peak_gflops_per_core",
                                           "share_of_peak",
                                           "loop_gflops_per_core",
                                           "share_of_loop"};

}  // namespace

BOOST_AUTO_TEST_CASE(step) {
    const auto records = records_of(bench_step, tiny_options());
    BOOST_REQUIRE(records.size() == 2);
    require_positive(records[0], kRunKeys);
    require_positive(records[0], {"bottleneck", "experts"});
    BOOST_TEST(records[0]["bench"] == "step");
    BOOST_TEST(records[0]["samples"] == 8);
    BOOST_TEST(records[0]["tokens"] == 37);
    BOOST_TEST(records[0]["passes"] == 2);
    BOOST_TEST(records[0]["resident_bytes"] == records[0]["resident_bytes_per_rank"][0]);
    for (const char* key : {"dims", "lengths", "precision", "kernels", "reduction"}) {
        BOOST_TEST(!records[0][key].get<std::string>().empty(), key);
    }
    require_positive(records[1], {"parameters", "leaves", "exact_seconds", "plain_seconds", "exact_core_seconds",
                                  "plain_core_seconds", "check_every", "check_seconds", "check_core_seconds"});
    BOOST_TEST(records[1]["bench"] == "reduction");
    for (const char* key : {"extra_share_of_step", "extra_share_of_core_seconds"}) {
        BOOST_TEST(records[1][key].is_number(), key);
    }
}

BOOST_AUTO_TEST_CASE(step_of_a_decoder) {
    BenchOptions options = tiny_decoder_options("sparse-moa");
    options.config.moa.constant_threshold = true;
    options.config.moa.max_threshold = 0.5;
    options.selected = 0.5;
    const auto records = records_of(bench_step, options);
    BOOST_REQUIRE(records.size() == 2);
    require_positive(records[0], kRunKeys);
    require_positive(records[0], {"trained", "computed_pairs", "targets"});
    BOOST_TEST(records[0]["bench"] == "step");
    BOOST_TEST(records[0]["system"] == "sparse-moa");
    BOOST_TEST(records[0]["passes"] == 1);
    // Half of each sample, rounded down.
    BOOST_TEST(records[0]["targets"] == 1 + 4 + 2 + 0 + 3 + 2 + 1 + 3);
    // Experts move the scores that the share was set by, though little.
    BOOST_CHECK_CLOSE(records[0]["computed_pairs"].get<double>(), 0.5, 10);
    BOOST_TEST(records[1]["bench"] == "reduction");
    BOOST_TEST(records[1]["parameters"] == records[0]["trained"]);
}

BOOST_AUTO_TEST_CASE(generation) {
    const std::vector<const char*> own = {"prompt_tokens", "new_tokens", "computed_pairs"};
    for (const char* system : {"", "soft-moa"}) {
        const auto records = records_of(bench_generate, tiny_decoder_options(system));
        BOOST_REQUIRE(records.size() == 2);
        for (const BenchRecord& record : records) {
            require_positive(record, kRunKeys);
            require_positive(record, own);
            BOOST_TEST(record["batch"] == 2);
            BOOST_TEST(record["computed_pairs"] == 1.0);
        }
        BOOST_TEST(records[0]["bench"] == "prefill");
        BOOST_TEST(records[0]["tokens"] == 4);
        BOOST_TEST(records[1]["bench"] == "decode");
        BOOST_TEST(records[1]["tokens"] == 80);
        require_positive(records[1], {"weight_bytes_per_step", "cache_bytes_per_token", "bytes_per_token",
                                      "gigabytes_per_second", "loop_gigabytes_per_second", "share_of_bandwidth"});
        // Of 2 layers, keys and values of 2 heads of 4 floats; 2 to 41 tokens before the new one, and itself.
        BOOST_TEST(records[1]["cache_bytes_per_token"] == 2 * 2 * 2 * 4 * 4 * 22.5);
        BOOST_TEST(records[1]["bytes_per_token"].get<double>() ==
                       records[1]["weight_bytes_per_step"].get<double>() / 2 + 2 * 2 * 2 * 4 * 4 * 22.5,
                   boost::test_tools::tolerance(1e-5));
    }
}

BOOST_AUTO_TEST_CASE(eval) {
    const auto records = records_of(bench_eval, tiny_options());
    BOOST_REQUIRE(records.size() == 1);
    require_positive(records[0], kRunKeys);
    BOOST_TEST(records[0]["bench"] == "eval");
    BOOST_TEST(records[0]["passes"] == 1);
}

BOOST_AUTO_TEST_CASE(gemm) {
    const auto records = records_of(bench_gemm, tiny_options());
    BOOST_TEST(records.size() == 14U);
    for (const BenchRecord& record : records) {
        require_positive(record, {"rows", "out", "in", "microseconds", "gflops_per_core", "clock_ghz",
                                  "peak_gflops_per_core", "share_of_peak", "loop_gflops_per_core"});
    }
}

BOOST_AUTO_TEST_CASE(kernels) {
    const auto records = records_of(bench_kernels, tiny_options());
    std::set<std::string> names;
    for (const BenchRecord& record : records) {
        require_positive(
            record, {"rows", "width", "tokens_per_sample", "microseconds", "ns_per_element", "gigabytes_per_second"});
        names.insert(record["kernel"].get<std::string>());
    }
    BOOST_TEST(names.size() == records.size());
    for (const char* name : {"gelu", "residual_norm", "feed_forward_backward", "attention", "attention_backward",
                             "dropout", "adamw", "add_fixed_point", "add_weight_gradient"}) {
        BOOST_TEST(names.contains(name), name);
    }
}

BOOST_AUTO_TEST_CASE(peak_of_gpus) {
    // Data sheets of A100 and H100 SXM, in TFLOP/s.
    const GpuPeak a100 = {108, 1.41, gpu_flop_per_clock(8, 0, Precision::bf16)};
    BOOST_TEST(a100.gflops() * 1e-3 == 312.0, boost::test_tools::tolerance(1e-3));
    BOOST_TEST(GpuPeak({108, 1.41, gpu_flop_per_clock(8, 0, Precision::fp32)}).gflops() * 1e-3 == 19.5,
               boost::test_tools::tolerance(2e-3));
    const GpuPeak h100 = {132, 1.83, gpu_flop_per_clock(9, 0, Precision::bf16)};
    BOOST_TEST(h100.gflops() * 1e-3 == 989.4, boost::test_tools::tolerance(1e-3));
    BOOST_TEST(gpu_flop_per_clock(7, 0, Precision::fp32) == 0.0);
}

BOOST_AUTO_TEST_CASE(too_few_lengths) {
    BenchOptions options = tiny_options();
    options.steps = 3;
    BOOST_CHECK_THROW(options.used_lengths(), ConfigError);
}
