// Fibers on which the threads of a block run: a stack with a guard page and the context to continue with.
#pragma once

#include <boost/context/detail/fcontext.hpp>

#include "standin.hpp"

namespace standin {

/// Stack and saved context. Stacks are never given back: there are at most 1024, one per thread of a block.
class Fiber {
public:
    using Body = void (*)();
    Fiber();
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;
    /// Prepares the fiber to begin with body, whatever it did before.
    void prepare(Body body);
    /// From the scheduler: runs the fiber until it leaves.
    void enter();
    /// From the fiber that runs: back to the scheduler; returns when entered again.
    static void leave();
    /// The same for the last time.
    [[noreturn]] static void finish();

private:
    static void begin(boost::context::detail::transfer_t from);

    char* stack_;
    std::size_t colour_;
    boost::context::detail::fcontext_t context_ = nullptr;
    Body body_ = nullptr;
    void* fake_stack_ = nullptr;  // AddressSanitizer's
    void* tsan_ = nullptr;
};

}  // namespace standin
