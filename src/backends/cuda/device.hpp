// The GPU of this process and its compute stream.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

namespace ladle::cuda {

/// Opens GPU `index` of the visible ones for the life of the object. One per process.
class Device {
public:
    explicit Device(int index);
    ~Device();
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    /// Makes this GPU the current one of the calling thread; to be called before any other call of the runtime.
    void bind() const;
    /// The one stream on which all kernels, products and copies run, in the order they were asked for.
    cudaStream_t stream() const { return stream_; }
    /// Waits for everything asked of the stream.
    void wait() const;
    int index() const { return index_; }
    /// Name, compute capability, number of multiprocessors, driver and runtime: what results may depend on.
    const std::string& description() const { return description_; }

private:
    int index_;
    cudaStream_t stream_ = nullptr;
    std::string description_;
};

}  // namespace ladle::cuda
