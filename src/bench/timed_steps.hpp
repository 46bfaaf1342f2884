// What training steps of encoders and of decoders have in common.
#pragma once

#include "ladle/train/objective.hpp"
#include "run_record.hpp"

namespace ladle {

/// Times options.steps global batches of `split` and prints the record, for which `run` says what they are, then that
/// of the step's sums. A collective call.
void time_steps(const BenchOptions& options, Communicator& comm, Objective& objective, const Split& split, TimedRun run,
                const BenchOutput& output);

/// Training steps of a decoder with experts.
void bench_decoder_step(const BenchOptions& options, Communicator& comm, const BenchOutput& output);

}  // namespace ladle
