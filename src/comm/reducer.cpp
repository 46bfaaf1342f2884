// The reducer of arrays in the process's memory, and which reducer a memory takes.
#include "ladle/comm/reducer.hpp"

namespace ladle {
namespace {

class HostReducer final : public Reducer {
public:
    explicit HostReducer(Communicator& comm) : comm_(comm) {}
    void all_reduce_sum(std::int64_t* values, std::size_t count) override { comm_.all_reduce_sum(values, count); }
    void all_reduce_sum(float* values, std::size_t count) override { comm_.all_reduce_sum(values, count); }
    std::string description() const override { return mpi_library(); }

private:
    Communicator& comm_;
};

/// One rank has all there is.
class NoReducer final : public Reducer {
public:
    void all_reduce_sum(std::int64_t*, std::size_t) override {}
    void all_reduce_sum(float*, std::size_t) override {}
    std::string description() const override { return "none: one rank"; }
};

}  // namespace

std::unique_ptr<Reducer> make_reducer(Communicator& comm, DeviceMemory& memory) {
    if (comm.world_size() == 1) {
        return std::make_unique<NoReducer>();
    }
    return memory.is_host() ? std::make_unique<HostReducer>(comm) : make_nccl_reducer(comm, memory);
}

}  // namespace ladle
