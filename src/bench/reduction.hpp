// What exact sums of gradients cost over plain fp32 ones.
#pragma once

#include "ladle/bench/bench.hpp"
#include "ladle/train/step.hpp"

namespace ladle {

/// Repeats the sums of one step both ways, in turns: every leaf's partial gradients added up on each rank, the workers'
/// sums joined, the sum over ranks, the conversion back. Exact: fixed-point int64. Plain: fp32. With several ranks the
/// comparison of their states every comm.check_every steps counts as a cost of exactness, too. `last` tells how many
/// leaves used each tensor; `step_record` is the record of the timed steps. A collective call; the result is valid on
/// rank 0.
BenchRecord reduction_record(const BenchOptions& options, Communicator& comm, ComputeEngine& engine, TrainingStep& step,
                             const StepResult& last, const BenchRecord& step_record);

}  // namespace ladle
