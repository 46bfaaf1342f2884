// What `ladle bench` measures. Every measurement gives JSON records; their keys are documented in CONTRIBUTING.md and
// stay.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ladle/bench/flops.hpp"
#include "ladle/bench/measure.hpp"
#include "ladle/bench/workload.hpp"
#include "ladle/comm/communicator.hpp"
#include "ladle/config/job_options.hpp"
#include "ladle/models/decoder_weights.hpp"

namespace ladle {

/// A measurement's settings, complete.
struct BenchOptions {
    Config config;  ///< precision, adapter, batch, passes (train.consistency 0: one, else two), threads, reduction
    BenchDimensions dimensions;             ///< of a decoder the name alone
    std::optional<DecoderWeights> decoder;  ///< what is measured instead of an encoder
    std::optional<double> selected;         ///< share of the pairs of a token and an expert that Sparse MoA computes
    BenchLengths lengths;                   ///< empty where the measurement takes none
    int steps = 4;                          ///< of one repetition
    int repetitions = 5;                    ///< the median of which is reported
    int rows = 1024;                        ///< of single products and loops
    int tokens = 64;                        ///< of the samples that those rows make up
    std::vector<int> prompts = {1, 32};     ///< that generation continues together, one measurement for each number
    int prompt_tokens = 64;                 ///< of each prompt
    int new_tokens = 64;                    ///< that decoding adds to each

    Precision precision() const;
    UsefulWork work() const;
    /// The first steps * train.batch lengths; throws ConfigError if there are fewer.
    std::vector<int> used_lengths() const;
};

/// What a measurement is of.
struct BenchSubject {
    bool lengths = false;  ///< samples of given lengths
    bool encoders = false;
    bool decoders = false;  ///< with encoders: those whose experts moa.system names
    bool gpus = false;
};

/// Reads the job's switches and fills in what depends on them: of encoders bottleneck and batch where not given and two
/// passes unless train.consistency says otherwise, of decoders the weights. Throws ConfigError or DataError.
BenchOptions bench_options(const JobOptions& job, const BenchSubject& subject);

/// Receives each record on rank 0; called on no other rank.
using BenchOutput = std::function<void(const BenchRecord&)>;

/// Every product of a layer, forward and transposed, alone on one thread.
void bench_gemm(const BenchOptions& options, Communicator& comm, const BenchOutput& output);

/// Every other kernel alone on one thread: time per element and bytes moved per second.
void bench_kernels(const BenchOptions& options, Communicator& comm, const BenchOutput& output);

/// Whole training steps as `ladle train` runs them, of an encoder or a decoder, then what their exact sums cost over
/// fp32 ones.
void bench_step(const BenchOptions& options, Communicator& comm, const BenchOutput& output);

/// The evaluation of a soup as `ladle evaluate` runs it.
void bench_eval(const BenchOptions& options, Communicator& comm, const BenchOutput& output);

/// Prompts, then token by token what follows, as `ladle generate` computes them. Throws ConfigError with several ranks.
void bench_generate(const BenchOptions& options, Communicator& comm, const BenchOutput& output);

}  // namespace ladle
