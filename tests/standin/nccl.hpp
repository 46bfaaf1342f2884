// Communicators and collectives of the NCCL stand-in: ranks of one machine meet in POSIX shared memory. Test only.
#pragma once

#include <nccl.h>

#include <atomic>
#include <memory>
#include <string>

#include "standin.hpp"

namespace standin {

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
    std::uint64_t pieces = 0;      // done so far
    const void* active = nullptr;  // the collective in progress; others of this communicator wait
    std::atomic<ncclResult_t> error{ncclSuccess};
    std::atomic<bool> aborted{false};
    std::string message;
    ~Communicator();
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

/// Reports and returns the code.
ncclResult_t refuse_nccl(ncclResult_t code, const std::string& message);
/// Joins the meeting that the communicator's name stands for.
ncclResult_t attach(Communicator& c);
/// Whether all ranks are attached; the name is then not needed any more.
bool complete(Communicator& c);
ncclResult_t wait_for_ranks(Communicator& c);
/// The collective as far as the other ranks allow. Called again for each replay of a graph.
Progress run(Collective& x);

}  // namespace standin
