// The GPUs a process may use, and the one it uses.
#include "device.hpp"

#include <fmt/format.h>

#include "ladle/backends/gpu_choice.hpp"
#include "ladle/core/error.hpp"
#include "launch.hpp"

namespace ladle {
namespace {

constexpr int kBusIdBytes = 32;

/// A CUDA version number as people write it.
std::string version_text(int version) {
    return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

[[noreturn]] void refuse_driver(cudaError_t status) {
    int driver = 0;
    int runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0) {
        throw DeviceError("cannot use train.device = cuda", "this machine has no NVIDIA driver",
                          "run on a node with NVIDIA GPUs, or set train.device = cpu");
    }
    throw DeviceError("cannot use train.device = cuda",
                      fmt::format("this build needs CUDA {} and the driver supports CUDA {} ({})",
                                  version_text(runtime), version_text(driver), cudaGetErrorString(status)),
                      "install a newer driver, build ladle with an older CUDA, or set train.device = cpu");
}

}  // namespace

std::vector<VisibleGpu> visible_gpus() {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaErrorInsufficientDriver) {
        refuse_driver(status);
    }
    if (status == cudaErrorNoDevice) {
        count = 0;
    } else {
        cuda::check_cuda(status, "count the GPUs");
    }
    std::vector<VisibleGpu> gpus;
    for (int i = 0; i < count; ++i) {
        cudaDeviceProp properties{};
        char bus_id[kBusIdBytes] = {};
        cuda::check_cuda(cudaGetDeviceProperties(&properties, i), "ask a GPU what it is");
        cuda::check_cuda(cudaDeviceGetPCIBusId(bus_id, kBusIdBytes, i), "ask a GPU for its bus");
        gpus.push_back({properties.name, properties.major, properties.minor, bus_id});
    }
    // Names the lack, if there is one.
    if (gpus.empty()) {
        choose_gpu(0, 1, gpus);
    }
    return gpus;
}

namespace cuda {

Device::Device(int index) : index_(index) {
    bind();
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "create a stream");
    cudaDeviceProp properties{};
    int driver = 0;
    int runtime = 0;
    check_cuda(cudaGetDeviceProperties(&properties, index), "ask the GPU what it is");
    check_cuda(cudaDriverGetVersion(&driver), "ask for the driver's version");
    check_cuda(cudaRuntimeGetVersion(&runtime), "ask for CUDA's version");
    description_ = fmt::format("{} compute {}.{} with {} multiprocessors, driver for CUDA {}, CUDA {}", properties.name,
                               properties.major, properties.minor, properties.multiProcessorCount, version_text(driver),
                               version_text(runtime));
#ifdef LADLE_GPU_IS_STANDIN
    description_ += " (NOT A GPU: CPU stand-in)";
#endif
}

Device::~Device() {
    // At the end of the program the runtime may be gone already; there is nobody left to tell.
    static_cast<void>(cudaStreamDestroy(stream_));
}

void Device::bind() const {
    thread_local int bound = -1;
    if (bound != index_) {
        check_cuda(cudaSetDevice(index_), "use the GPU");
        bound = index_;
    }
}

void Device::wait() const {
    bind();
    check_cuda(cudaStreamSynchronize(stream_), "wait for the GPU");
}

}  // namespace cuda
}  // namespace ladle
