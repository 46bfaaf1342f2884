// What the driver says of a GPU's speed and memory.
#include "ladle/backends/gpu_peak.hpp"

#include <cuda_runtime_api.h>

#include "launch.hpp"

namespace ladle {
namespace {

int attribute(cudaDeviceAttr name, int gpu) {
    int value = 0;
    cuda::check_cuda(cudaDeviceGetAttribute(&value, name, gpu), "ask the GPU what it is");
    return value;
}

}  // namespace

GpuPeak gpu_peak(int gpu, Precision precision) {
    constexpr double kKilohertz = 1e-6;  // in GHz
    GpuPeak peak;
    peak.multiprocessors = attribute(cudaDevAttrMultiProcessorCount, gpu);
    peak.clock_ghz = attribute(cudaDevAttrClockRate, gpu) * kKilohertz;
    peak.flop_per_clock = gpu_flop_per_clock(attribute(cudaDevAttrComputeCapabilityMajor, gpu),
                                             attribute(cudaDevAttrComputeCapabilityMinor, gpu), precision);
    return peak;
}

std::int64_t gpu_bytes_in_use(int gpu) {
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    int before = 0;
    cuda::check_cuda(cudaGetDevice(&before), "ask which GPU is in use");
    cuda::check_cuda(cudaSetDevice(gpu), "use the GPU");
    cuda::check_cuda(cudaMemGetInfo(&free_bytes, &total_bytes), "ask the GPU for its free memory");
    cuda::check_cuda(cudaSetDevice(before), "use the GPU");
    return static_cast<std::int64_t>(total_bytes - free_bytes);
}

}  // namespace ladle
