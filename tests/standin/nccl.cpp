// Stand-in for NCCL: ranks of one machine meet in POSIX shared memory named by the unique id; it knows nothing of MPI.
// Sums are taken in the order of ranks. Every piece carries what its rank is doing, so that ranks which issue different
// collectives learn it instead of computing nonsense. A rank that does not come is waited for, as on a GPU.
#include <fcntl.h>
#include <nccl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "standin.hpp"

namespace standin {
namespace {

constexpr int kMaxRanks = 64;
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

enum class Kind : std::uint64_t { all_reduce = 1, broadcast = 2 };

/// What a rank does, as the others see it.
struct Signature {
    Kind kind;
    std::uint64_t count;
    std::uint64_t type;
    std::uint64_t operation;  // of a reduction
    std::uint64_t root;       // of a broadcast
    bool operator==(const Signature&) const = default;
};

struct alignas(64) Slot {
    std::atomic<std::uint64_t> posted;    // pieces this rank has put into its place
    std::atomic<std::uint64_t> consumed;  // pieces of all ranks it has read
    Signature signature;
    char device[64];  // node and bus id
};

struct Meeting {
    std::atomic<int> ranks;  // as the first rank said
    std::atomic<int> attached;
    Slot slots[kMaxRanks];
    alignas(4096) unsigned char places[kMaxRanks][kPieceBytes];
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

struct Communicator {
    Meeting* meeting = nullptr;
    int rank = 0;
    int ranks = 0;
    std::string name;
    std::uint64_t pieces = 0;        // done so far
    const void* active = nullptr;    // the collective in progress; others of this communicator wait
    std::atomic<ncclResult_t> error{ncclSuccess};
    std::atomic<bool> aborted{false};
    std::string message;
    ~Communicator() {
        if (meeting != nullptr) {
            munmap(meeting, sizeof(Meeting));
        }
    }
};

/// One call; lives as long as the stream or graph that runs it.
struct Collective {
    std::shared_ptr<Communicator> communicator;
    Signature signature;
    const unsigned char* send;
    unsigned char* receive;
    std::size_t bytes;
    std::size_t done_bytes = 0;
    bool posted = false;
};

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

ncclResult_t refuse_nccl(ncclResult_t code, const std::string& message) {
    report("NCCL: " + message);
    return code;
}

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

std::string text(const Signature& s) {
    return std::string(s.kind == Kind::all_reduce ? "all-reduce" : "broadcast") + " of " + std::to_string(s.count) +
           " elements of type " + std::to_string(s.type) +
           (s.kind == Kind::all_reduce ? ", operation " + std::to_string(s.operation)
                                       : " from rank " + std::to_string(s.root));
}

std::shared_ptr<Communicator> find(ncclComm_t handle) {
    const std::lock_guard lock(handles().mutex);
    if (handles().living.count(handle) == 0) {
        return nullptr;
    }
    return *reinterpret_cast<std::shared_ptr<Communicator>*>(handle);
}

void set_error(Communicator& c, ncclResult_t code, const std::string& message) {
    if (c.error == ncclSuccess) {
        report("NCCL: " + message);
        c.message = message;
        c.error = code;
    }
}

bool all_ranks(const Communicator& c, std::atomic<std::uint64_t> Slot::*counter, std::uint64_t reached) {
    for (int rank = 0; rank < c.ranks; ++rank) {
        if ((c.meeting->slots[rank].*counter).load(std::memory_order_acquire) < reached) {
            return false;
        }
    }
    return true;
}

/// Puts this rank's next piece into its place once everybody has read the last one.
bool post(Collective& x, std::size_t piece) {
    Communicator& c = *x.communicator;
    if (!all_ranks(c, &Slot::consumed, c.pieces)) {
        return false;
    }
    Slot& slot = c.meeting->slots[c.rank];
    if (piece > 0) {
        note_read(x.send + x.done_bytes, piece);
        std::memcpy(c.meeting->places[c.rank], x.send + x.done_bytes, piece);
    }
    slot.signature = x.signature;
    slot.posted.store(c.pieces + 1, std::memory_order_release);
    return true;
}

bool signatures_agree(const Collective& x) {
    Communicator& c = *x.communicator;
    for (int rank = 0; rank < c.ranks; ++rank) {
        const Signature& other = c.meeting->slots[rank].signature;
        if (!(other == x.signature)) {
            set_error(c, ncclInvalidUsage,
                      "ranks issued different collectives: rank " + std::to_string(c.rank) + " " + text(x.signature) +
                          ", rank " + std::to_string(rank) + " " + text(other));
            return false;
        }
    }
    return true;
}

// The unsigned sum: overflow wraps, as the GPU's does.
template <class T>
void add_in_rank_order(const Communicator& c, unsigned char* out, std::size_t bytes) {
    for (std::size_t at = 0; at < bytes; at += sizeof(T)) {
        T sum;
        std::memcpy(&sum, c.meeting->places[0] + at, sizeof sum);
        for (int rank = 1; rank < c.ranks; ++rank) {
            T value;
            std::memcpy(&value, c.meeting->places[rank] + at, sizeof value);
            sum += value;
        }
        std::memcpy(out + at, &sum, sizeof sum);
    }
}

void read_result(const Collective& x, std::size_t piece) {
    const Communicator& c = *x.communicator;
    if (piece == 0) {
        return;
    }
    unsigned char* out = x.receive + x.done_bytes;
    note_write(out, piece);
    if (x.signature.kind == Kind::broadcast) {
        std::memcpy(out, c.meeting->places[x.signature.root], piece);
    } else if (x.signature.type == ncclInt64) {
        add_in_rank_order<std::uint64_t>(c, out, piece);
    } else {
        add_in_rank_order<float>(c, out, piece);
    }
}

/// One piece; false while other ranks are missing.
bool advance_piece(Collective& x) {
    Communicator& c = *x.communicator;
    const std::size_t piece = std::min(kPieceBytes, x.bytes - x.done_bytes);
    if (!x.posted) {
        x.posted = post(x, piece);
    }
    if (!x.posted || !all_ranks(c, &Slot::posted, c.pieces + 1)) {
        return false;
    }
    if (signatures_agree(x)) {
        read_result(x, piece);
    }
    ++c.pieces;
    c.meeting->slots[c.rank].consumed.store(c.pieces, std::memory_order_release);
    x.done_bytes += piece;
    x.posted = false;
    note_progress();
    return true;
}

Progress run(Collective& x) {
    Communicator& c = *x.communicator;
    if (c.active == nullptr) {
        c.active = &x;
    }
    if (c.active != &x) {
        return Progress::waiting;
    }
    // An empty collective is a piece, too: the ranks must agree on it.
    bool done = c.aborted || c.error != ncclSuccess;
    while (!done) {
        if (!advance_piece(x)) {
            return Progress::elsewhere;
        }
        done = x.done_bytes == x.bytes || c.error != ncclSuccess;
    }
    x.done_bytes = 0;
    x.posted = false;
    c.active = nullptr;
    return Progress::done;
}

ncclResult_t check_buffers(const void* send, const void* receive, std::size_t bytes) {
    if (bytes > 0 && (!require_device(send, bytes, "NCCL's send buffer") ||
                      !require_device(receive, bytes, "NCCL's receive buffer"))) {
        return ncclInvalidArgument;
    }
    return ncclSuccess;
}

ncclResult_t start(const Signature& signature, const void* send, void* receive, ncclComm_t handle, cudaStream_t stream) {
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
    auto collective = std::make_shared<Collective>(
        Collective{c, signature, static_cast<const unsigned char*>(reads ? send : receive),
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

/// Two ranks on one device hang or crash the real library's kernels; it refuses them, too.
void check_devices(Communicator& c) {
    for (int rank = 0; rank < c.ranks; ++rank) {
        if (rank != c.rank && std::strcmp(c.meeting->slots[rank].device, c.meeting->slots[c.rank].device) == 0) {
            set_error(c, ncclInvalidUsage,
                      "duplicate GPU: rank " + std::to_string(c.rank) + " and rank " + std::to_string(rank) +
                          " both on device " + c.meeting->slots[rank].device);
            return;
        }
    }
}

/// Once all ranks are attached; the name is then not needed any more.
bool complete(Communicator& c) {
    if (c.meeting->attached.load() < c.ranks) {
        return false;
    }
    if (!c.name.empty()) {
        if (c.rank == 0) {
            shm_unlink(c.name.c_str());
        }
        c.name.clear();
        check_devices(c);
    }
    return true;
}

ncclResult_t attach(Communicator& c) {
    const int file = shm_open(c.name.c_str(), O_CREAT | O_RDWR, 0600);
    const auto own = static_cast<off_t>(offsetof(Meeting, places) + static_cast<std::size_t>(c.rank) * kPieceBytes);
    if (file < 0 || ftruncate(file, sizeof(Meeting)) != 0 || posix_fallocate(file, 0, offsetof(Meeting, places)) != 0 ||
        posix_fallocate(file, own, kPieceBytes) != 0) {
        close(file);
        return refuse_nccl(ncclSystemError, "no shared memory for the ranks to meet in");
    }
    void* memory = mmap(nullptr, sizeof(Meeting), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED) {
        return refuse_nccl(ncclSystemError, "cannot map the shared memory");
    }
    c.meeting = static_cast<Meeting*>(memory);
    int expected = 0;
    if (!c.meeting->ranks.compare_exchange_strong(expected, c.ranks) && expected != c.ranks) {
        return refuse_nccl(ncclInvalidArgument, "ranks disagree on their number: " + std::to_string(c.ranks) + " and " +
                                                    std::to_string(expected));
    }
    int device = 0;
    char bus[32] = "";
    if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetPCIBusId(bus, sizeof bus, device) != cudaSuccess) {
        return ncclUnhandledCudaError;
    }
    const char* node = std::getenv("LADLE_STANDIN_NODE");
    std::snprintf(c.meeting->slots[c.rank].device, sizeof Slot::device, "%.30s/%s", node != nullptr ? node : "", bus);
    c.meeting->attached.fetch_add(1);
    return ncclSuccess;
}

ncclResult_t wait_for_ranks(Communicator& c) {
    const auto begin = std::chrono::steady_clock::now();
    while (!complete(c)) {
        if (std::chrono::steady_clock::now() - begin > options().stall_limit) {
            shm_unlink(c.name.c_str());
            return refuse_nccl(ncclSystemError, "only " + std::to_string(c.meeting->attached.load()) + " of " +
                                                    std::to_string(c.ranks) + " ranks came");
        }
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return c.error;
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
    static constexpr std::array kTexts{"no error",         "unhandled cuda error", "unhandled system error",
                                       "internal error",   "invalid argument",     "invalid usage",
                                       "remote process exited or there was a network error", "NCCL operation in progress"};
    const auto index = static_cast<std::size_t>(code);
    return index < kTexts.size() ? kTexts[index] : "unknown result code";
}

const char* ncclGetLastError(ncclComm_t handle) {
    const std::shared_ptr<Communicator> c = find(handle);
    return c != nullptr ? c->message.c_str() : "";
}

}  // extern "C"
