// oneDNN's engine, versions and threads; see the header.
#include "onednn.hpp"

#include <fmt/format.h>

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
#include <omp.h>
#endif

namespace ladle::cpu {

const dnnl::engine& onednn_engine() {
    static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    return engine;
}

dnnl::stream& onednn_stream() {
    thread_local dnnl::stream stream(onednn_engine());
    return stream;
}

std::string onednn_version() {
    const dnnl_version_t* version = dnnl_version();
    return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

bool limit_onednn_isa(dnnl::cpu_isa isa) {
    return dnnl::set_max_cpu_isa(isa) == dnnl::status::success;
}

bool onednn_has_isa(dnnl::cpu_isa isa) {
    const auto wanted = static_cast<unsigned>(isa);
    return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
}

OneThread::OneThread() {
#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
    // The number of threads is a setting of each OpenMP thread, so this touches the caller alone.
    threads_before_ = omp_get_max_threads();
    omp_set_num_threads(1);
#endif
}

OneThread::~OneThread() {
#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
    omp_set_num_threads(threads_before_);
#endif
}

dnnl::matmul::primitive_desc make_matmul(const dnnl::memory::desc& x, const dnnl::memory::desc& w,
                                         const dnnl::memory::desc& bias, const dnnl::memory::desc& y) {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
#if DNNL_VERSION_MAJOR >= 3
    return dnnl::matmul::primitive_desc(onednn_engine(), x, w, bias, y, attributes);
#else
    return dnnl::matmul::primitive_desc(dnnl::matmul::desc(x, w, bias, y), attributes, onednn_engine());
#endif
}

}  // namespace ladle::cpu
