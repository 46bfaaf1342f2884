// What the threads of a block call: barriers, warp primitives, shared memory. What CUDA leaves undefined is reported,
// not guessed. Compiled without ThreadSanitizer even in its build; happens-before is told by hand.
#include "simt.hpp"

#include "executor.hpp"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace standin {
namespace {

bool same_place(const Location& a, const Location& b) {
    return a.line() == b.line() && (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
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
            fail("shuffle reads lane " + std::to_string(thread.source) + ", which is not in the mask, " + text(thread) +
                 ", " + text(call.where));
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

}  // namespace

Executor& executor() {
    static auto* instance = new Executor;
    return *instance;
}

std::string text(const Location& where) {
    return std::string(where.file_name()) + ":" + std::to_string(where.line());
}

std::string text(const Thread& thread) {
    return "thread " + std::to_string(thread.linear) + " of block (" + std::to_string(blockIdx.x) + "," +
           std::to_string(blockIdx.y) + "," + std::to_string(blockIdx.z) + ")";
}

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

void sync_warp(std::uint32_t mask, const Location& where) {
    warp_call(CallKind::sync, mask, 0, 0, where);
}

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

}  // namespace standin
