// Sums over the GPUs of all ranks by NCCL, on a stream of their own between two events of the compute stream.
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nccl.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "ladle/comm/reducer.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

constexpr auto kPollInterval = std::chrono::microseconds(20);
constexpr const char* kFix =
    "look at the log of that host's NCCL with NCCL_DEBUG=INFO, then start again: the run resumes";

/// Rings add in an order that follows from the ranks alone; other algorithms may not. Integers do not care, fp32 sums
/// do. What the user has set stays.
std::string fix_algorithm() {
    std::string settings;
    for (const auto& [name, value] : {std::pair{"NCCL_ALGO", "Ring"}, std::pair{"NCCL_PROTO", "Simple"}}) {
        setenv(name, value, 0);
        settings += fmt::format(", {}={}", name, std::getenv(name));
    }
    return settings;
}

class NcclReducer final : public Reducer {
public:
    NcclReducer(Communicator& comm, DeviceMemory& memory)
        : compute_(static_cast<cudaStream_t>(memory.stream())),
          place_(fmt::format("rank {} on {}", comm.world_rank(), comm.place().host)),
          settings_(fix_algorithm()) {
        ncclUniqueId id{};
        if (comm.is_root()) {
            require(ncclGetUniqueId(&id), "get an id");
        }
        comm.broadcast(&id, sizeof(id));
        require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "make a stream");
        require(cudaEventCreateWithFlags(&computed_, cudaEventDisableTiming), "make an event");
        require(cudaEventCreateWithFlags(&summed_, cudaEventDisableTiming), "make an event");
        require(ncclCommInitRank(&nccl_, comm.world_size(), id, comm.world_rank()), "join the other ranks");
    }
    // After an error the communicator is gone; on the way of another rank's error the process ends without this.
    ~NcclReducer() override {
        if (nccl_ != nullptr) {
            ncclCommDestroy(nccl_);
        }
        cudaEventDestroy(summed_);
        cudaEventDestroy(computed_);
        cudaStreamDestroy(stream_);
    }
    NcclReducer(const NcclReducer&) = delete;
    NcclReducer& operator=(const NcclReducer&) = delete;

    void all_reduce_sum(std::int64_t* values, std::size_t count) override { sum(values, count, ncclInt64); }
    void all_reduce_sum(float* values, std::size_t count) override { sum(values, count, ncclFloat32); }
    std::string description() const override {
        int version = 0;
        ncclGetVersion(&version);
        return fmt::format("NCCL {}.{}.{}{}", version / 10000, version / 100 % 100, version % 100, settings_);
    }

private:
    void sum(void* values, std::size_t count, ncclDataType_t type) {
        require(cudaEventRecord(computed_, compute_), "record an event");
        require(cudaStreamWaitEvent(stream_, computed_, 0), "wait for an event");
        require(ncclAllReduce(values, values, count, type, ncclSum, nccl_, stream_), "sum over ranks");
        require(cudaEventRecord(summed_, stream_), "record an event");
        require(cudaStreamWaitEvent(compute_, summed_, 0), "wait for an event");
        wait();
    }

    /// A peer that died shows as an asynchronous error, never as the end of the stream's work.
    void wait() {
        for (cudaError_t state = cudaEventQuery(summed_); state != cudaSuccess; state = cudaEventQuery(summed_)) {
            if (state != cudaErrorNotReady) {
                require(state, "sum over ranks");
            }
            ncclResult_t failure = ncclSuccess;
            require(ncclCommGetAsyncError(nccl_, &failure), "ask for errors");
            if (failure != ncclSuccess) {
                const std::string why = ncclGetLastError(nccl_);
                ncclCommAbort(nccl_);
                nccl_ = nullptr;
                throw DeviceError(fmt::format("{}: NCCL could not sum over ranks", place_),
                                  fmt::format("{} ({})", ncclGetErrorString(failure), why), kFix);
            }
            std::this_thread::sleep_for(kPollInterval);
        }
    }

    void require(ncclResult_t result, const char* what) const {
        if (result != ncclSuccess) {
            throw DeviceError(fmt::format("{}: NCCL could not {}", place_, what),
                              fmt::format("{} ({})", ncclGetErrorString(result), ncclGetLastError(nccl_)), kFix);
        }
    }
    void require(cudaError_t result, const char* what) const {
        if (result != cudaSuccess) {
            throw DeviceError(fmt::format("{}: CUDA could not {}", place_, what), cudaGetErrorString(result), kFix);
        }
    }

    cudaStream_t compute_;
    std::string place_;
    std::string settings_;
    cudaStream_t stream_ = nullptr;
    cudaEvent_t computed_ = nullptr;
    cudaEvent_t summed_ = nullptr;
    ncclComm_t nccl_ = nullptr;
};

}  // namespace

std::unique_ptr<Reducer> make_nccl_reducer(Communicator& comm, DeviceMemory& memory) {
    return std::make_unique<NcclReducer>(comm, memory);
}

}  // namespace ladle
