// Fibers of the block executor: switching, with what the sanitizers must be told about it.
#include "fiber.hpp"

#include <sys/mman.h>

#include <cstdlib>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define STANDIN_ASAN(...) __VA_ARGS__
#else
#define STANDIN_ASAN(...)
#endif

namespace standin {
namespace {

using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

constexpr std::size_t kStackBytes = 64 * 1024;
constexpr std::size_t kGuardBytes = 4096;
constexpr std::size_t kColours = 32;  // stacks begin at different places of a page, or they would share cache lines
constexpr std::size_t kColourBytes = 128;

// Only one block runs at a time in a process.
Fiber* running = nullptr;
boost::context::detail::fcontext_t scheduler = nullptr;
[[maybe_unused]] void* scheduler_tsan = nullptr;
[[maybe_unused]] const void* scheduler_stack = nullptr;
[[maybe_unused]] std::size_t scheduler_stack_bytes = 0;

}  // namespace

Fiber::Fiber() {
    static std::size_t fibers = 0;
    colour_ = fibers++ % kColours;
    void* memory = mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        report("out of memory for the stacks of a block's threads");
        std::abort();
    }
    stack_ = static_cast<char*>(memory);
    mprotect(stack_, kGuardBytes, PROT_NONE);
    STANDIN_TSAN(tsan_ = __tsan_create_fiber(0);)
}

void Fiber::prepare(Body body) {
    body_ = body;
    // A thread abandoned by a fault leaves its frames poisoned.
    STANDIN_ASAN(__asan_unpoison_memory_region(stack_ + kGuardBytes, kStackBytes);)
    const std::size_t offset = colour_ * kColourBytes;
    context_ = make_fcontext(stack_ + kGuardBytes + kStackBytes - offset, kStackBytes - offset, begin);
}

void Fiber::begin(transfer_t from) {
    STANDIN_ASAN(__sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_bytes);)
    scheduler = from.fctx;
    running->body_();
    finish();
}

void Fiber::enter() {
    running = this;
    STANDIN_TSAN(scheduler_tsan = __tsan_get_current_fiber(); __tsan_switch_to_fiber(tsan_, 1);)
    STANDIN_ASAN(void* own = nullptr; __sanitizer_start_switch_fiber(&own, stack_ + kGuardBytes, kStackBytes);)
    context_ = jump_fcontext(context_, nullptr).fctx;
    STANDIN_ASAN(__sanitizer_finish_switch_fiber(own, nullptr, nullptr);)
    running = nullptr;
}

void Fiber::leave() {
    [[maybe_unused]] Fiber* self = running;
    STANDIN_TSAN(__tsan_switch_to_fiber(scheduler_tsan, 1);)
    STANDIN_ASAN(__sanitizer_start_switch_fiber(&self->fake_stack_, scheduler_stack, scheduler_stack_bytes);)
    const transfer_t from = jump_fcontext(scheduler, nullptr);
    STANDIN_ASAN(__sanitizer_finish_switch_fiber(self->fake_stack_, &scheduler_stack, &scheduler_stack_bytes);)
    scheduler = from.fctx;
}

void Fiber::finish() {
    STANDIN_TSAN(__tsan_switch_to_fiber(scheduler_tsan, 1);)
    STANDIN_ASAN(__sanitizer_start_switch_fiber(nullptr, scheduler_stack, scheduler_stack_bytes);)
    jump_fcontext(scheduler, nullptr);
    std::abort();  // a finished fiber is prepared anew before it is entered
}

}  // namespace standin
