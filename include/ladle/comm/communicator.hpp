// Communication between ranks: MPI, or a single process. The number of ranks comes from MPI alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "ladle/core/weight_store.hpp"

namespace ladle {

/// Where a rank runs.
struct RankPlace {
    std::string host;
    int local_rank = 0;  ///< among the ranks that share this host's memory
    int local_size = 1;
};

/// Where a rank's frozen weights are kept.
struct FrozenMemory {
    std::unique_ptr<WeightStore> store;
    int sharers = 1;          ///< ranks that use the same memory
    std::string why_private;  ///< why this rank has memory of its own; empty where it is shared
};

/// Every method throws DeviceError with the library's text when communication fails.
class Communicator {
public:
    virtual ~Communicator() = default;
    virtual int world_rank() const = 0;
    virtual int world_size() const = 0;
    virtual const RankPlace& place() const = 0;
    /// Element-wise sum over ranks, in place; exact, so independent of algorithm and number of ranks.
    virtual void all_reduce_sum(std::int64_t* values, std::size_t count) = 0;
    /// Element-wise sum over ranks, in place, in fp32 (`comm.reduction = fast`: bits depend on the number of ranks).
    virtual void all_reduce_sum(float* values, std::size_t count) = 0;
    /// Copies `bytes` bytes of rank 0 to all ranks.
    virtual void broadcast(void* data, std::size_t bytes) = 0;
    /// Rank 0 receives the concatenation of all ranks' bytes in rank order; other ranks receive nothing.
    virtual std::string gather(const std::string& bytes) = 0;
    virtual void barrier() = 0;
    /// Memory for `bytes` bytes of frozen weights (as PlannedWeights counts them): a window that all ranks of the node
    /// share and the first of them writes, or memory of each rank's own where the node has no room for a window or MPI
    /// makes none. All ranks together. A window lives until the session ends.
    virtual FrozenMemory frozen_memory(std::size_t bytes) = 0;
    /// Who would share that memory, without taking it: the store is of this rank and empty. All ranks together.
    virtual FrozenMemory planned_frozen_memory(std::size_t bytes) = 0;

    bool is_root() const { return world_rank() == 0; }
    /// Rank 0's text on all ranks.
    std::string broadcast_text(const std::string& text);
};

/// One process: sums and broadcasts leave everything as it is.
std::unique_ptr<Communicator> make_single_communicator();

/// What the launcher's environment variables say about this process. Only used to notice wrong launches: ranks and
/// their number come from MPI.
struct Launch {
    int width = 1;         ///< processes of the job step
    int rank = 0;          ///< of this process, as the launcher counts
    std::string variable;  ///< the variable that told the width; empty if none did
};
Launch launch_environment();

/// Name and version of the MPI library in use; "none" in a build without MPI.
std::string mpi_library();

/// Starts MPI on construction and ends it on destruction; made once, in run_job (design: one session per process).
/// Throws DeviceError when this process is alone while the environment shows a wider job step.
class MpiSession {
public:
    MpiSession();
    ~MpiSession();
    MpiSession(const MpiSession&) = delete;
    MpiSession& operator=(const MpiSession&) = delete;
    /// All ranks together.
    std::unique_ptr<Communicator> make_communicator();
    /// For a rank whose job has thrown. Waits up to `seconds` for all other ranks to call this too; then they are in
    /// step again and get a communicator of their own. Null if some rank did not come: it still works, or hangs in a
    /// collective that this rank will never join, and only abort() ends it.
    std::unique_ptr<Communicator> join_failed_ranks(double seconds);
    /// Ends all ranks with this exit code; does not return.
    [[noreturn]] void abort(int exit_code);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace ladle
