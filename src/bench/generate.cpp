// Prompts and the tokens that follow them, timed.
#include <fmt/format.h>

#include <algorithm>

#include "bandwidth.hpp"
#include "ladle/bench/decoder_workload.hpp"
#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"
#include "ladle/train/decoder_experts.hpp"
#include "run_record.hpp"

namespace ladle {
namespace {

/// Bytes that decoding reads.
struct DecodeBytes {
    double weights = 0;  ///< per step, whatever the number of prompts
    double cache = 0;    ///< per step and prompt, the mean over the steps
};

Timing now() {
    return {wall_seconds(), process_seconds()};
}

Timing difference(const Timing& end, const Timing& begin) {
    return {end.wall - begin.wall, end.core - begin.core};
}

class GenerationBench {
public:
    GenerationBench(const BenchOptions& options, Communicator& comm, const BenchOutput& output)
        : options_(options), comm_(comm), output_(output) {
        DecoderWeights weights = *options.decoder;
        weights.config.max_positions = options.prompt_tokens + options.new_tokens;
        const Config& config = options.config;
        model_["system"] = trains_decoder(config) ? config.moa.system : "none";
        if (trains_decoder(config)) {
            const MoaOptions experts = decoder_experts(config.moa, weights.config.layers);
            engine_ = std::make_unique<DecoderEngine>(config, weights, experts, comm);
            start_experts(*engine_, config.run.seed);
        } else {
            engine_ = std::make_unique<DecoderEngine>(config, weights, comm);
        }
        work_ = {weights.config, engine_->experts(), {}};
        model_["trained"] = engine_->table().total_count();
        model_["prompt_tokens"] = options.prompt_tokens;
        model_["new_tokens"] = options.new_tokens;
    }

    void run(int prompts) {
        const Split split = random_instructions(
            work_.decoder.vocab, std::vector<int>(static_cast<std::size_t>(prompts), options_.prompt_tokens),
            options_.config.run.seed, true);
        if (options_.selected) {
            select_share(*engine_, split, *options_.selected);
        }
        work_.computed = computed_shares(*engine_, split);
        model_["computed_pairs"] = rounded(work_.computed.all);
        TimedRun prefill = timed_run("prefill", prompts, options_.prompt_tokens);
        prefill.flop = work_.forward(prefill.lengths, prompts);
        TimedRun decode = timed_run("decode", prompts, options_.new_tokens);
        for (int token = 1; token <= options_.new_tokens; ++token) {
            decode.flop += prompts * work_.next_token(options_.prompt_tokens + token);
        }
        bandwidth_ = loop_bandwidth(engine_->kernels(), decode_bytes().weights);
        time_generation(split, prefill, decode);
        bandwidth_ = std::max(bandwidth_, loop_bandwidth(engine_->kernels(), decode_bytes().weights));
        print(1, prefill, BenchRecord::object());
        print(options_.new_tokens, decode, bandwidth_record(decode));
    }

private:
    TimedRun timed_run(const char* kind, int prompts, int tokens) const {
        TimedRun run;
        run.kind = kind;
        run.batch = prompts;
        run.model = model_;
        run.lengths.assign(static_cast<std::size_t>(prompts), tokens);
        return run;
    }

    std::vector<std::vector<std::int32_t>> prompts_of(const Split& split) const {
        std::vector<std::vector<std::int32_t>> prompts;
        for (std::size_t s = 0; s < split.samples(); ++s) {
            prompts.emplace_back(split.input_ids.begin() + split.offsets[s],
                                 split.input_ids.begin() + split.offsets[s + 1]);
        }
        return prompts;
    }

    /// The prompts with the choice of one token each, and the tokens behind those.
    void time_generation(const Split& split, TimedRun& prefill, TimedRun& decode) {
        const auto prompts = prompts_of(split);
        engine_->prepare();
        GenerationOptions generation;
        generation.max_new_tokens = options_.new_tokens + 1;
        Timing begin;
        Timing middle;
        generation.on_prompts = [&] { middle = now(); };
        const auto repetition = [&] {
            begin = now();
            generate(engine_->kernels(), engine_->model(), prompts, 0, generation);
            prefill.timings.push_back(difference(middle, begin));
            decode.timings.push_back(difference(now(), middle));
        };
        TimedRun whole;
        time_repetitions(options_, comm_, repetition, whole);
        for (TimedRun* run : {&prefill, &decode}) {
            // That was to warm up.
            run->timings.erase(run->timings.begin());
            run->peak = whole.peak;
            run->gpu_peak = whole.gpu_peak;
            run->gpu_bytes = whole.gpu_bytes;
        }
    }

    DecodeBytes decode_bytes() const {
        const double bytes = options_.precision() == Precision::bf16 ? 2 : 4;
        const double context = options_.prompt_tokens + (options_.new_tokens + 1) / 2.0;
        return {work_.weights() * bytes,
                context * static_cast<double>(KeyValueCache<float>::token_bytes(work_.decoder))};
    }

    BenchRecord bandwidth_record(const TimedRun& decode) const {
        const DecodeBytes bytes = decode_bytes();
        const double per_token = bytes.weights / decode.batch + bytes.cache;
        const Timing time = median(decode.timings);
        const double seconds = engine_->kernels().memory().is_host() ? time.core : time.wall;
        const double rate = per_token * decode.batch * options_.new_tokens / seconds;
        BenchRecord record;
        record["weight_bytes_per_step"] = bytes.weights;
        record["cache_bytes_per_token"] = bytes.cache;
        record["bytes_per_token"] = rounded(per_token);
        record["gigabytes_per_second"] = rounded(rate * 1e-9);
        record["loop_gigabytes_per_second"] = rounded(bandwidth_ * 1e-9);
        record["share_of_bandwidth"] = rounded(rate / bandwidth_);
        return record;
    }

    void print(int steps, const TimedRun& run, const BenchRecord& more) {
        BenchOptions options = options_;
        options.steps = steps;
        options.lengths.label = fmt::format("{} x {}", run.batch, run.lengths.front());
        BenchRecord record = run_record(options, comm_, engine_->kernels().description(), run);
        record.update(more);
        output_(record);
    }

    const BenchOptions& options_;
    Communicator& comm_;
    const BenchOutput& output_;
    std::unique_ptr<DecoderEngine> engine_;
    DecoderWork work_;
    BenchRecord model_;
    double bandwidth_ = 0;  ///< bytes per second
};

}  // namespace

void bench_generate(const BenchOptions& options, Communicator& comm, const BenchOutput& output) {
    if (comm.world_size() > 1) {
        throw ConfigError(fmt::format("cannot measure generation on {} ranks", comm.world_size()), "it runs on one",
                          "start it without mpirun");
    }
    GenerationBench bench(options, comm, output);
    for (const int prompts : options.prompts) {
        bench.run(prompts);
    }
}

}  // namespace ladle
