// Stand-in for the calls of NCCL; the unique id names the ranks' shared memory, and nothing here knows of MPI.
#include "nccl.hpp"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <random>
#include <set>
#include <vector>

namespace standin {
namespace {

struct Handles {
    std::mutex mutex;
    std::set<ncclComm_t> living;
};

Handles& handles() {
    static auto* instance = new Handles;
    return *instance;
}

thread_local int group_depth = 0;
thread_local std::vector<std::function<void()>> group;

std::size_t type_bytes(ncclDataType_t type) {
    switch (type) {
        case ncclInt8:
        case ncclUint8:
            return 1;
        case ncclFloat16:
        case ncclBfloat16:
            return 2;
        case ncclInt32:
        case ncclUint32:
        case ncclFloat32:
            return 4;
        case ncclInt64:
        case ncclUint64:
        case ncclFloat64:
            return 8;
        default:
            return 0;
    }
}

std::shared_ptr<Communicator> find(ncclComm_t handle) {
    const std::lock_guard lock(handles().mutex);
    if (handles().living.count(handle) == 0) {
        return nullptr;
    }
    return *reinterpret_cast<std::shared_ptr<Communicator>*>(handle);
}

ncclResult_t check_buffers(const void* send, const void* receive, std::size_t bytes) {
    if (bytes > 0 && (!require_device(send, bytes, "NCCL's send buffer") ||
                      !require_device(receive, bytes, "NCCL's receive buffer"))) {
        return ncclInvalidArgument;
    }
    return ncclSuccess;
}

ncclResult_t start(const Signature& signature, const void* send, void* receive, ncclComm_t handle,
                   cudaStream_t stream) {
    const std::shared_ptr<Communicator> c = find(handle);
    if (c == nullptr) {
        return refuse_nccl(ncclInvalidArgument, "a communicator that does not exist");
    }
    if (c->meeting->attached.load() < c->ranks) {
        return refuse_nccl(ncclInvalidUsage, "the communicator is not complete yet");
    }
    if (c->error != ncclSuccess) {
        return c->error;
    }
    const std::size_t element = type_bytes(static_cast<ncclDataType_t>(signature.type));
    if (element == 0 || signature.root >= static_cast<std::uint64_t>(c->ranks)) {
        return refuse_nccl(ncclInvalidArgument, "an unknown type, or a root that is no rank");
    }
    const std::size_t bytes = signature.count * element;
    const bool reads = signature.kind != Kind::broadcast || signature.root == static_cast<std::uint64_t>(c->rank);
    if (const ncclResult_t code = check_buffers(reads ? send : receive, receive, bytes); code != ncclSuccess) {
        return code;
    }
    if (check_stream(stream, "an NCCL collective") != cudaSuccess) {
        return ncclUnhandledCudaError;
    }
    auto collective =
        std::make_shared<Collective>(Collective{c, signature, static_cast<const unsigned char*>(reads ? send : receive),
                                                static_cast<unsigned char*>(receive), bytes});
    const auto begin = [stream, collective] {
        enqueue(stream, collective->signature.kind == Kind::all_reduce ? "ncclAllReduce" : "ncclBroadcast",
                [collective] { return run(*collective); });
    };
    if (group_depth > 0) {
        group.emplace_back(begin);
    } else {
        begin();
    }
    return ncclSuccess;
}

}  // namespace
}  // namespace standin

using namespace standin;

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
    std::memset(id, 0, sizeof *id);
    std::random_device random;
    std::snprintf(id->internal, sizeof id->internal, "/ladle_standin_%d_%08x%08x", static_cast<int>(getpid()), random(),
                  random());
    return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* handle, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
    *handle = nullptr;
    if (status() != cudaSuccess) {
        return ncclUnhandledCudaError;
    }
    if (ranks < 1 || ranks > kMaxRanks || rank < 0 || rank >= ranks || id.internal[0] != '/') {
        return refuse_nccl(ncclInvalidArgument, "a rank, a number of ranks or an id that cannot be");
    }
    auto c = std::make_shared<Communicator>();
    c->rank = rank;
    c->ranks = ranks;
    c->name = id.internal;
    if (const ncclResult_t code = attach(*c); code != ncclSuccess) {
        return code;
    }
    const bool blocking = config == nullptr || config->blocking != 0;
    if (blocking) {
        if (const ncclResult_t code = wait_for_ranks(*c); code != ncclSuccess) {
            return code;
        }
    }
    *handle = reinterpret_cast<ncclComm_t>(new std::shared_ptr<Communicator>(c));
    const std::lock_guard lock(handles().mutex);
    handles().living.insert(*handle);
    return blocking || complete(*c) ? c->error.load() : ncclInProgress;
}

ncclResult_t ncclCommInitRank(ncclComm_t* handle, int ranks, ncclUniqueId id, int rank) {
    return ncclCommInitRankConfig(handle, ranks, id, rank, nullptr);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t handle, ncclResult_t* error) {
    const std::shared_ptr<Communicator> c = find(handle);
    if (c == nullptr) {
        return refuse_nccl(ncclInvalidArgument, "ncclCommGetAsyncError of a communicator that does not exist");
    }
    *error = complete(*c) ? c->error.load() : ncclInProgress;
    return ncclSuccess;
}

static ncclResult_t forget(ncclComm_t handle) {
    {
        const std::lock_guard lock(handles().mutex);
        handles().living.erase(handle);
    }
    delete reinterpret_cast<std::shared_ptr<Communicator>*>(handle);
    return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t handle) {
    if (find(handle) == nullptr) {
        return refuse_nccl(ncclInvalidArgument, "ncclCommFinalize of a communicator that does not exist");
    }
    wait_for_all_streams();
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t handle) {
    const ncclResult_t code = ncclCommFinalize(handle);
    return code == ncclSuccess ? forget(handle) : code;
}

ncclResult_t ncclCommAbort(ncclComm_t handle) {
    const std::shared_ptr<Communicator> c = find(handle);
    if (c == nullptr) {
        return refuse_nccl(ncclInvalidArgument, "ncclCommAbort of a communicator that does not exist");
    }
    c->aborted = true;
    return forget(handle);
}

ncclResult_t ncclCommCount(const ncclComm_t handle, int* count) {
    const std::shared_ptr<Communicator> c = find(handle);
    *count = c != nullptr ? c->ranks : 0;
    return c != nullptr ? ncclSuccess : ncclInvalidArgument;
}

ncclResult_t ncclCommUserRank(const ncclComm_t handle, int* rank) {
    const std::shared_ptr<Communicator> c = find(handle);
    *rank = c != nullptr ? c->rank : -1;
    return c != nullptr ? ncclSuccess : ncclInvalidArgument;
}

ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count, ncclDataType_t type, ncclRedOp_t operation,
                           ncclComm_t handle, cudaStream_t stream) {
    if (operation != ncclSum || (type != ncclInt64 && type != ncclFloat32)) {
        return refuse_nccl(ncclInvalidArgument, "only sums of int64 and float32 are modelled");
    }
    return start({Kind::all_reduce, count, type, operation, 0}, send, receive, handle, stream);
}

ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count, ncclDataType_t type, int root,
                           ncclComm_t handle, cudaStream_t stream) {
    return start({Kind::broadcast, count, type, 0, static_cast<std::uint64_t>(root)}, send, receive, handle, stream);
}

ncclResult_t ncclGroupStart() {
    ++group_depth;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
    if (group_depth == 0) {
        return refuse_nccl(ncclInvalidUsage, "ncclGroupEnd without ncclGroupStart");
    }
    if (--group_depth == 0) {
        for (const auto& begin : std::exchange(group, {})) {
            begin();
        }
    }
    return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t code) {
    static constexpr std::array kTexts{"no error",
                                       "unhandled cuda error",
                                       "unhandled system error",
                                       "internal error",
                                       "invalid argument",
                                       "invalid usage",
                                       "remote process exited or there was a network error",
                                       "NCCL operation in progress"};
    const auto index = static_cast<std::size_t>(code);
    return index < kTexts.size() ? kTexts[index] : "unknown result code";
}

const char* ncclGetLastError(ncclComm_t handle) {
    const std::shared_ptr<Communicator> c = find(handle);
    return c != nullptr ? c->message.c_str() : "";
}

}  // extern "C"
