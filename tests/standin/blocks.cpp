// Runs kernels: blocks one after another, a block's threads as fibers that meet at barriers and warp primitives, or as
// a plain loop where there are none. Order of threads and blocks is adversarial but fixed by the seed.
#include <algorithm>

#include "executor.hpp"

// Bounds of all static shared arrays, set by the linker; absent if the program has none.
extern "C" {
extern char __start_ladle_shared[] __attribute__((weak));
extern char __stop_ladle_shared[] __attribute__((weak));
}

namespace standin {
namespace {

constexpr unsigned char kTailByte = 0xCB;
constexpr std::size_t kBlocksWithPoisonedStatics = 2;

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
            fault(cudaErrorIllegalAddress,
                  "a kernel wrote past its " + std::to_string(bytes) + " bytes of dynamic shared memory");
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
