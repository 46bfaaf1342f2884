// Communication between ranks: MPI, or a single process. The number of ranks comes from MPI alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace ladle {

class Communicator {
public:
    virtual ~Communicator() = default;
    virtual int world_rank() const = 0;
    virtual int world_size() const = 0;
    /// Element-wise sum over ranks, in place; exact, so independent of algorithm and number of ranks.
    virtual void all_reduce_sum(std::int64_t* values, std::size_t count) = 0;
    /// Element-wise sum over ranks, in place, in fp32 (`comm.reduction = fast`: bits depend on the number of ranks).
    virtual void all_reduce_sum(float* values, std::size_t count) = 0;
    /// Copies `bytes` bytes of rank 0 to all ranks.
    virtual void broadcast(void* data, std::size_t bytes) = 0;
    /// Rank 0 receives the concatenation of all ranks' bytes in rank order; other ranks receive nothing.
    virtual std::string gather(const std::string& bytes) = 0;
    virtual void barrier() = 0;

    bool is_root() const { return world_rank() == 0; }
    /// Rank 0's text on all ranks.
    std::string broadcast_text(const std::string& text);
};

/// One process: sums and broadcasts leave everything as it is.
std::unique_ptr<Communicator> make_single_communicator();

/// Starts MPI on construction and ends it on destruction; made once, in run_job (design.md: one session per process).
/// Throws DeviceError when this process is a singleton while the environment shows a wider job step.
class MpiSession {
public:
    MpiSession();
    ~MpiSession();
    MpiSession(const MpiSession&) = delete;
    MpiSession& operator=(const MpiSession&) = delete;
    std::unique_ptr<Communicator> make_communicator();
    /// Ends all ranks with this exit code; does not return.
    [[noreturn]] void abort(int exit_code);
};

}  // namespace ladle
