// State of the block that runs, shared by the primitives of its threads (simt.cpp) and the loop that runs them
// (blocks.cpp). Test only.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fiber.hpp"
#include "simt.hpp"
#include "standin.hpp"

namespace standin {

constexpr int kMaxThreads = 1024;
constexpr int kWarp = 32;
constexpr std::size_t kTailBytes = 64;

enum class State : std::uint8_t { unstarted, ready, at_barrier, in_warp_call, returned };
enum class CallKind : std::uint8_t { shuffle, vote, sync };

struct Thread {
    uint3 index;
    int linear = 0;
    int lane = 0;
    int warp = 0;
    State state = State::unstarted;
    Fiber* fiber = nullptr;
    std::uint64_t value = 0;   // what the thread brings to a warp call
    std::uint64_t result = 0;  // what it takes away
    int source = 0;            // lane that a shuffle reads
    Location where;            // of the barrier or warp call in which it waits
};

// Lanes with one mask that meet in one primitive.
struct WarpCall {
    std::uint32_t mask = 0;
    std::uint32_t arrived = 0;
    CallKind kind = CallKind::sync;
    Location where;
};

struct Warp {
    std::vector<WarpCall> calls;
    std::uint32_t lanes = 0;     // that exist
    std::uint32_t returned = 0;  // of these
    unsigned syncs = 0;
};

// Fibers, and tags of what happens before what. ThreadSanitizer takes each fiber for a thread of the program, so under
// it every stream has a team of its own: one shared by two streams would order their kernels.
struct Team {
    std::vector<std::unique_ptr<Fiber>> fibers;  // under ThreadSanitizer one per thread of a block, for life
    std::vector<Fiber*> idle;
    char start_tag = 0;  // apart from the end: a late thread must not inherit the writes of one that has returned
    char end_tag = 0;
    char barrier_tags[2] = {};
    char warp_tags[2][kMaxThreads / kWarp] = {};
};

struct Executor {
    std::array<Thread, kMaxThreads> threads;
    std::array<Warp, kMaxThreads / kWarp> warps;
    std::array<int, kMaxThreads> order;
    std::map<void*, Team> teams;
    Team* team = nullptr;
    Random random{options().seed};
    const Launch* launch = nullptr;
    Thread* current = nullptr;
    int count = 0;      // threads of a block
    int unstarted = 0;  // place in order of the first thread that has not begun
    int returned = 0;
    int at_barrier = 0;
    unsigned barriers = 0;
    Location barrier;
    bool failed = false;
    alignas(128) unsigned char shared[kMaxSharedBytes + kTailBytes];
};

/// Only one block runs at a time in a process.
Executor& executor();

struct Abandoned {};  // thrown out of a thread that runs without a fiber

std::string text(const Location& where);
std::string text(const Thread& thread);
/// Runs the kernel for the current thread and notes that it returned.
void run_current_thread();

}  // namespace standin
