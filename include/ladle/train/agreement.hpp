// Whether all ranks work on the same thing: inputs and kernels before the first step, parameters during the run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/core/parameters.hpp"
#include "ladle/data/shard.hpp"
#include "ladle/optim/adamw.hpp"

namespace ladle {

/// What one rank holds, as "name = value" lines, and for the messages where it found it ("name = path", names may be
/// missing).
struct RankHolding {
    std::string values;
    std::string places;
};

using PlaceOfSplit = std::function<std::string(const Split&)>;

/// The splits that this rank has read, and the files of a backbone ("<file> = <digest>" lines).
RankHolding inputs_held(const std::vector<const Split*>& splits, const PlaceOfSplit& place_of,
                        const std::string& backbone_files, const std::string& backbone_dir);

/// Throws DataError on every rank unless all hold the same values; names the ranks, hosts, values and places that
/// differ. `what` is e.g. "the input of this run".
void require_same_on_all_ranks(Communicator& comm, const std::string& what, const RankHolding& mine);

/// The same for build, kernels and processor (the machine part of an identity); throws DeviceError.
void require_same_machine(Communicator& comm, const std::string& machine);

/// Throws DeviceError on every rank, naming tensor and rank, unless all hold the same bits of the parameters and of the
/// optimizer's state after `step` steps. Exact sums and equal updates keep ranks equal; a difference means that memory,
/// a network or a processor failed. Costs one SHA-256 over the state.
void require_same_state(Communicator& comm, const ParameterTable& table, const std::vector<float>& parameters,
                        const AdamWState<float>& state, std::int64_t step);

}  // namespace ladle
