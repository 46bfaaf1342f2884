// How the ranks of the NCCL stand-in meet, and their collectives, piece by piece. Sums are taken in the order of ranks.
// Every piece carries what its rank is doing, so that ranks which issue different collectives learn it instead of
// computing nonsense. A rank that does not come is waited for, as on a GPU.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "nccl.hpp"

namespace standin {
namespace {

std::string text(const Signature& s) {
    return std::string(s.kind == Kind::all_reduce ? "all-reduce" : "broadcast") + " of " + std::to_string(s.count) +
           " elements of type " + std::to_string(s.type) +
           (s.kind == Kind::all_reduce ? ", operation " + std::to_string(s.operation)
                                       : " from rank " + std::to_string(s.root));
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

}  // namespace

Communicator::~Communicator() {
    if (meeting != nullptr) {
        munmap(meeting, sizeof(Meeting));
    }
}

ncclResult_t refuse_nccl(ncclResult_t code, const std::string& message) {
    report("NCCL: " + message);
    return code;
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

}  // namespace standin
