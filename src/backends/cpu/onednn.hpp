// What the CPU kernels share about oneDNN: engine, instruction set, one thread per call.
// The only difference between its versions 2 and 3 that matters here is hidden in make_matmul.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>
#include <string>

namespace ladle::cpu {

/// The process's CPU engine.
const dnnl::engine& onednn_engine();
/// The calling thread's stream.
dnnl::stream& onednn_stream();
/// "2.6.3"
std::string onednn_version();

/// Limits oneDNN to an instruction set; must come before its first primitive. Returns false if it is already fixed.
bool limit_onednn_isa(dnnl::cpu_isa isa);
/// Whether oneDNN may use all of that instruction set (the processor has it and no limit forbids it).
bool onednn_has_isa(dnnl::cpu_isa isa);

/// While it lives, oneDNN called from this thread makes and runs primitives on this thread alone.
class OneThread {
public:
    OneThread();
    ~OneThread();
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

private:
    int threads_before_ = 0;
};

/// Descriptor of y = x w (+ bias) with a scratchpad given by the caller; `bias` may be an empty descriptor.
dnnl::matmul::primitive_desc make_matmul(const dnnl::memory::desc& x, const dnnl::memory::desc& w,
                                         const dnnl::memory::desc& bias, const dnnl::memory::desc& y);

}  // namespace ladle::cpu
