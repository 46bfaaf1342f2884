// What one GPU can do at most and holds; `ladle bench` sets steps and evaluations against it.
#pragma once

#include <cstdint>

#include "ladle/backends/kernels.hpp"

namespace ladle {

struct GpuPeak {
    int multiprocessors = 0;
    double clock_ghz = 0;       ///< the highest that the driver allows; a GPU under load often runs below
    double flop_per_clock = 0;  ///< of one multiprocessor; 0 where it is not known

    double gflops() const { return multiprocessors * clock_ghz * flop_per_clock; }
};

/// FLOP of one multiprocessor and clock by compute capability: products of bfloat16 on tensor cores (dense, sums in
/// fp32), or fp32 multiply-adds on CUDA cores. 0 for generations that are not in the table.
/// Source: NVIDIA's white papers of A100 (312 TFLOP/s bf16, 19.5 fp32) and H100 SXM (989 and 67).
double gpu_flop_per_clock(int major, int minor, Precision precision);

/// Peak of the GPU with this number among visible_gpus(). Throws DeviceError, also in a build without CUDA.
GpuPeak gpu_peak(int gpu, Precision precision);

/// Bytes of that GPU that are in use, by all processes together. Throws DeviceError as gpu_peak does.
std::int64_t gpu_bytes_in_use(int gpu);

}  // namespace ladle
