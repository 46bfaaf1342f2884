// Runs kernels: blocks one after another, a block's threads as fibers that meet at barriers and warp primitives.
// Order of threads and blocks is adversarial but fixed by the seed. What CUDA leaves undefined is reported, not guessed.
// Compiled without ThreadSanitizer even in its build; happens-before is told by hand.
#include "simt.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fiber.hpp"
#include "standin.hpp"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

// Bounds of all static shared arrays, set by the linker; absent if the program has none.
extern "C" {
extern char __start_ladle_shared[] __attribute__((weak));
extern char __stop_ladle_shared[] __attribute__((weak));
}

namespace standin {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kWarp = 32;
constexpr std::size_t kTailBytes = 64;
constexpr unsigned char kTailByte = 0xCB;
constexpr std::size_t kBlocksWithPoisonedStatics = 2;

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

// Fibers, and tags of what happens before what. ThreadSanitizer takes each fiber for a thread of the program, so under it
// every stream has a team of its own: one shared by two streams would order their kernels.
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
    int count = 0;         // threads of a block
    int unstarted = 0;     // place in order of the first thread that has not begun
    int returned = 0;
    int at_barrier = 0;
    unsigned barriers = 0;
    Location barrier;
    bool failed = false;
    alignas(128) unsigned char shared[kMaxSharedBytes + kTailBytes];
};

Executor& executor() {
    static auto* instance = new Executor;
    return *instance;
}

struct Abandoned {};  // thrown out of a thread that runs without a fiber

std::string text(const Location& where) {
    return std::string(where.file_name()) + ":" + std::to_string(where.line());
}

bool same_place(const Location& a, const Location& b) {
    return a.line() == b.line() && (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

std::string text(const Thread& thread) {
    return "thread " + std::to_string(thread.linear) + " of block (" + std::to_string(blockIdx.x) + "," +
           std::to_string(blockIdx.y) + "," + std::to_string(blockIdx.z) + ")";
}

/// Ends the block: from a fiber by never coming back, from a plain call by an exception.
[[noreturn]] void fail(const std::string& message) {
    Executor& e = executor();
    fault(cudaErrorLaunchFailure, message);
    e.failed = true;
    if (e.current == nullptr) {
        throw Abandoned{};
    }
    Fiber::leave();
    std::abort();  // threads of a failed block are not resumed
}

Thread& current_thread(const char* primitive, const Location& where) {
    Executor& e = executor();
    if (e.launch == nullptr) {
        report(std::string(primitive) + " called outside a kernel, " + text(where));
        std::abort();
    }
    if (e.launch->independent) {
        fail(std::string("a kernel started by launch_independent() uses ") + primitive + ", " + text(where));
    }
    return *e.current;
}

void suspend(Thread& thread) {
    Fiber::leave();
    executor().current = &thread;
    threadIdx = thread.index;
}

void release_barrier(Executor& e) {
    e.at_barrier = 0;
    ++e.barriers;
    for (int i = 0; i < e.count; ++i) {
        if (e.threads[static_cast<std::size_t>(i)].state == State::at_barrier) {
            e.threads[static_cast<std::size_t>(i)].state = State::ready;
        }
    }
}

/// Gives the lanes of a complete call their results and removes it.
void complete(Executor& e, int warp_index, std::size_t call_index) {
    Warp& warp = e.warps[static_cast<std::size_t>(warp_index)];
    const WarpCall call = warp.calls[call_index];
    warp.calls.erase(warp.calls.begin() + static_cast<std::ptrdiff_t>(call_index));
    Thread* lanes = &e.threads[static_cast<std::size_t>(warp_index * kWarp)];
    std::uint32_t ballot = 0;
    for (std::uint32_t rest = call.arrived; rest != 0; rest &= rest - 1) {
        const int lane = __builtin_ctz(rest);
        ballot |= static_cast<std::uint32_t>(lanes[lane].value & 1) << lane;
    }
    for (std::uint32_t rest = call.arrived; rest != 0; rest &= rest - 1) {
        Thread& thread = lanes[__builtin_ctz(rest)];
        thread.state = State::ready;
        if (call.kind != CallKind::shuffle) {
            thread.result = ballot;
        } else if ((call.mask >> thread.source & 1) == 0) {
            fail("shuffle reads lane " + std::to_string(thread.source) + ", which is not in the mask, " +
                 text(thread) + ", " + text(call.where));
        } else {
            thread.result = lanes[thread.source].value;
        }
    }
    warp.syncs += call.kind == CallKind::sync;
}

/// Completes a call whose lanes are all there. Lanes that have returned are missed only by __syncwarp without harm.
bool complete_if_all_arrived(Executor& e, int warp_index, std::size_t call_index) {
    const Warp& warp = e.warps[static_cast<std::size_t>(warp_index)];
    const WarpCall& call = warp.calls[call_index];
    if ((call.mask & ~warp.returned) != call.arrived) {
        return false;
    }
    if (call.kind != CallKind::sync && (call.mask & warp.returned) != 0) {
        fail("the mask of a shuffle or vote names lanes that have returned, " + text(call.where));
    }
    complete(e, warp_index, call_index);
    return true;
}

std::uint64_t warp_call(CallKind kind, std::uint32_t mask, std::uint64_t value, int source, const Location& where) {
    Thread& self = current_thread("a warp primitive", where);
    Executor& e = executor();
    Warp& warp = e.warps[static_cast<std::size_t>(self.warp)];
    mask &= warp.lanes;
    if ((mask >> self.lane & 1) == 0) {
        fail("warp primitive: own lane is not in the mask, " + text(self) + ", " + text(where));
    }
    // Only __syncwarp orders memory; CUDA promises that neither of shuffles nor of votes.
    [[maybe_unused]] char* tag = &e.team->warp_tags[warp.syncs & 1][self.warp];
    STANDIN_TSAN(if (kind == CallKind::sync) __tsan_release(tag);)
    self.state = State::in_warp_call;
    self.value = value;
    self.source = source;
    self.where = where;
    std::size_t index = 0;
    while (index < warp.calls.size() && warp.calls[index].mask != mask) {
        ++index;
    }
    if (index == warp.calls.size()) {
        warp.calls.push_back({mask, 0, kind, where});
    }
    WarpCall& call = warp.calls[index];
    if (call.kind != kind || !same_place(call.where, where)) {
        fail("lanes of one warp meet in different warp primitives: " + text(where) + " and " + text(call.where));
    }
    call.arrived |= 1u << self.lane;
    if (!complete_if_all_arrived(e, self.warp, index)) {
        suspend(self);
    }
    STANDIN_TSAN(if (kind == CallKind::sync) __tsan_acquire(tag);)
    return self.result;
}

/// Runs the kernel for the current thread and notes that it returned.
void run_current_thread() {
    Executor& e = executor();
    STANDIN_TSAN(__tsan_acquire(&e.team->start_tag);)
    e.launch->thread();
    STANDIN_TSAN(__tsan_release(&e.team->end_tag);)
    Thread& self = *e.current;
    self.state = State::returned;
    ++e.returned;
    if (e.at_barrier != 0 && e.at_barrier == e.count - e.returned) {
        release_barrier(e);
    }
    Warp& warp = e.warps[static_cast<std::size_t>(self.warp)];
    warp.returned |= 1u << self.lane;
    for (std::size_t i = 0; i < warp.calls.size();) {
        i += complete_if_all_arrived(e, self.warp, i) ? 0u : 1u;
    }
}

Thread* begin_next_thread(Executor& e) {
    if (e.unstarted == e.count) {
        return nullptr;
    }
    Thread& thread = e.threads[static_cast<std::size_t>(e.order[static_cast<std::size_t>(e.unstarted++)])];
    thread.state = State::ready;
    return &thread;
}

/// A fiber runs threads as long as they return without waiting; one that waits keeps the fiber.
void fiber_body() {
    Executor& e = executor();
    for (;;) {
        Fiber* fiber = e.current->fiber;
        run_current_thread();
#ifdef LADLE_STANDIN_TSAN
        return;  // each CUDA thread is a fiber of its own, so that the races between them show
#endif
        Thread* next = begin_next_thread(e);
        if (next == nullptr) {
            e.team->idle.push_back(fiber);
            return;
        }
        next->fiber = fiber;
        e.current = next;
        threadIdx = next->index;
    }
}

Fiber* take_fiber(Executor& e, [[maybe_unused]] int thread) {
#ifdef LADLE_STANDIN_TSAN
    while (e.team->fibers.size() <= static_cast<std::size_t>(thread)) {
        e.team->fibers.push_back(std::make_unique<Fiber>());
    }
    return e.team->fibers[static_cast<std::size_t>(thread)].get();
#else
    if (e.team->idle.empty()) {
        e.team->fibers.push_back(std::make_unique<Fiber>());
        return e.team->fibers.back().get();
    }
    Fiber* fiber = e.team->idle.back();
    e.team->idle.pop_back();
    return fiber;
#endif
}

void resume(Executor& e, Thread& thread) {
    e.current = &thread;
    threadIdx = thread.index;
    thread.fiber->enter();
    e.current = nullptr;
}

void report_deadlock(Executor& e) {
    std::string message = "deadlock: a barrier or warp primitive waits for threads that never arrive: ";
    int named = 0;
    for (int i = 0; i < e.count && named < 4; ++i) {
        const Thread& thread = e.threads[static_cast<std::size_t>(i)];
        if (thread.state == State::at_barrier || thread.state == State::in_warp_call) {
            message += (named++ > 0 ? "; " : "") + text(thread) + " waits at " + text(thread.where);
        }
    }
    fault(cudaErrorLaunchFailure, message);
    e.failed = true;
}

/// memset that ThreadSanitizer does not see: blocks of different streams share this memory, which no GPU does.
void fill_unseen(void* begin, int value, std::size_t bytes) {
#ifdef LADLE_STANDIN_TSAN
    auto* at = static_cast<volatile unsigned char*>(begin);
    for (std::size_t i = 0; i < bytes; ++i) {
        at[i] = static_cast<unsigned char>(value);
    }
#else
    std::memset(begin, value, bytes);
#endif
}

/// Poisons shared memory: reading what the block did not write gives NaN. The static arrays are those of all kernels
/// of the program, so they are filled only before a launch's first blocks; later ones find what another block left.
void poison_shared(Executor& e, std::size_t bytes, bool statics) {
    if (bytes > 0) {
        fill_unseen(e.shared, 0xFF, bytes);
        fill_unseen(e.shared + bytes, kTailByte, kTailBytes);
    }
    if (statics && __start_ladle_shared != nullptr) {
        fill_unseen(__start_ladle_shared, 0xFF, static_cast<std::size_t>(__stop_ladle_shared - __start_ladle_shared));
    }
}

void check_shared_tail(Executor& e, std::size_t bytes) {
    for (std::size_t i = 0; bytes > 0 && i < kTailBytes; ++i) {
        if (e.shared[bytes + i] != kTailByte) {
            fault(cudaErrorIllegalAddress, "a kernel wrote past its " + std::to_string(bytes) +
                                               " bytes of dynamic shared memory");
            e.failed = true;
            return;
        }
    }
}

void run_block(Executor& e) {
    STANDIN_TSAN(__tsan_release(&e.team->start_tag);)
    e.unstarted = e.returned = e.at_barrier = 0;
    for (int i = 0; i < e.count; ++i) {
        e.threads[static_cast<std::size_t>(i)].state = State::unstarted;
    }
    for (int w = 0; w * kWarp < e.count; ++w) {
        e.warps[static_cast<std::size_t>(w)].calls.clear();
        e.warps[static_cast<std::size_t>(w)].returned = 0;
    }
    if (options().order == Order::random) {
        e.random.shuffle(e.order.data(), static_cast<std::size_t>(e.count));
    }
    while (!e.failed) {
        Thread* next = begin_next_thread(e);
        if (next == nullptr) {
            break;
        }
        next->fiber = take_fiber(e, next->linear);
        next->fiber->prepare(fiber_body);
        resume(e, *next);
    }
    while (!e.failed && e.returned < e.count) {
        int ran = 0;
        for (int i = 0; i < e.count && !e.failed; ++i) {
            Thread& thread = e.threads[static_cast<std::size_t>(e.order[static_cast<std::size_t>(i)])];
            if (thread.state == State::ready) {
                ++ran;
                resume(e, thread);
            }
        }
        if (ran == 0) {
            report_deadlock(e);
        }
    }
    STANDIN_TSAN(__tsan_acquire(&e.team->end_tag);)
}

/// Without barriers a thread is a plain call. Every second block runs backwards, unless an order is asked for.
[[maybe_unused]] void run_independent_block(Executor& e, bool backwards) {
    for (int i = 0; i < e.count; ++i) {
        threadIdx = e.threads[static_cast<std::size_t>(backwards ? e.count - 1 - i : i)].index;
        e.launch->thread();
    }
}

void prepare_threads(Executor& e, const Launch& launch) {
    const dim3 block = launch.block;
    e.count = static_cast<int>(block.x * block.y * block.z);
    for (int i = 0; i < e.count; ++i) {
        const auto linear = static_cast<unsigned>(i);
        Thread& thread = e.threads[linear];
        thread.index = {linear % block.x, linear / block.x % block.y, linear / (block.x * block.y)};
        thread.linear = i;
        thread.lane = i % kWarp;
        thread.warp = i / kWarp;
        e.order[linear] = options().order == Order::reverse ? e.count - 1 - i : i;
    }
    for (int w = 0; w * kWarp < e.count; ++w) {
        const int lanes = std::min(kWarp, e.count - w * kWarp);
        e.warps[static_cast<std::size_t>(w)].lanes = lanes == kWarp ? ~0u : (1u << lanes) - 1;
    }
}

}  // namespace

void sync_threads(const Location& where) {
    Thread& self = current_thread("__syncthreads", where);
    Executor& e = executor();
    if (e.at_barrier == 0) {
        e.barrier = where;
    } else if (!same_place(e.barrier, where)) {
        fail("divergent barriers: threads of one block wait at different __syncthreads: " + text(where) + " and " +
             text(e.barrier));
    }
    [[maybe_unused]] char* tag = &e.team->barrier_tags[e.barriers & 1];
    STANDIN_TSAN(__tsan_release(tag);)
    self.state = State::at_barrier;
    self.where = where;
    ++e.at_barrier;
    if (e.at_barrier == e.count - e.returned) {
        release_barrier(e);
    } else {
        suspend(self);
    }
    STANDIN_TSAN(__tsan_acquire(tag);)
}

void sync_warp(std::uint32_t mask, const Location& where) { warp_call(CallKind::sync, mask, 0, 0, where); }

std::uint64_t shuffle(std::uint32_t mask, std::uint64_t value, int lane, const Location& where) {
    return warp_call(CallKind::shuffle, mask, value, lane, where);
}

std::uint32_t vote(std::uint32_t mask, bool predicate, const Location& where) {
    return static_cast<std::uint32_t>(warp_call(CallKind::vote, mask, predicate ? 1 : 0, 0, where));
}

int lane() {
    const Executor& e = executor();
    return e.current != nullptr ? e.current->lane : 0;
}

void* dynamic_shared_memory() {
    Executor& e = executor();
    if (e.launch->shared_bytes == 0) {
        fail("a kernel uses dynamic shared memory but was started without any");
    }
    return e.shared;
}

void run_kernel(const Launch& launch) {
    Executor& e = executor();
    e.launch = &launch;
    void* stream = nullptr;
    STANDIN_TSAN(stream = __tsan_get_current_fiber();)
    e.team = &e.teams[stream];
    e.failed = false;
    blockDim = launch.block;
    gridDim = launch.grid;
    prepare_threads(e, launch);
    const std::size_t blocks = std::size_t{launch.grid.x} * launch.grid.y * launch.grid.z;
    std::vector<std::uint32_t> order;
    if (options().order == Order::random) {
        order.resize(blocks);
        for (std::size_t i = 0; i < blocks; ++i) {
            order[i] = static_cast<std::uint32_t>(i);
        }
        e.random.shuffle(order.data(), blocks);
    }
    for (std::size_t i = 0; i < blocks && !e.failed; ++i) {
        const bool reverse = options().order == Order::reverse;
        const std::size_t b = !order.empty() ? order[i] : reverse ? blocks - 1 - i : i;
        const std::size_t x = launch.grid.x;
        const std::size_t y = launch.grid.y;
        blockIdx = {static_cast<unsigned>(b % x), static_cast<unsigned>(b / x % y), static_cast<unsigned>(b / (x * y))};
        note_progress();
#ifndef LADLE_STANDIN_TSAN
        if (launch.independent) {
            try {
                run_independent_block(e, reverse || (!order.empty() && (b & 1) != 0));
            } catch (const Abandoned&) {
            }
            continue;
        }
#endif
        poison_shared(e, launch.shared_bytes, i < kBlocksWithPoisonedStatics);
        run_block(e);
        check_shared_tail(e, launch.shared_bytes);
    }
    if (e.failed) {
        // Abandoned threads keep what they hold; their stacks are used again.
        e.team->idle.clear();
        for (const auto& fiber : e.team->fibers) {
            e.team->idle.push_back(fiber.get());
        }
    }
    e.launch = nullptr;
}

}  // namespace standin
