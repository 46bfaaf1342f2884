// What the runtime tells about devices and versions. Number, name and memory come from the environment.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstring>

#include "standin.hpp"

namespace {

using namespace standin;

thread_local int current_device = 0;

constexpr int kMultiprocessors = 4;
constexpr int kClockKilohertz = 1000000;
constexpr int kComputeMajor = 9;
constexpr int kComputeMinor = 0;

cudaError_t check_device(int device) {
    if (const cudaError_t code = status(); code != cudaSuccess) {
        return result(code);
    }
    if (device < 0 || device >= options().devices) {
        return refuse(cudaErrorInvalidDevice,
                      "device " + std::to_string(device) + " of " + std::to_string(options().devices));
    }
    return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
    *count = options().no_driver ? 0 : options().devices;
    return result(status());
}

cudaError_t cudaSetDevice(int device) {
    const cudaError_t code = check_device(device);
    if (code == cudaSuccess) {
        current_device = device;
    }
    return code;
}

cudaError_t cudaGetDevice(int* device) {
    *device = current_device;
    return result(status());
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    if (const cudaError_t code = check_device(device); code != cudaSuccess) {
        return code;
    }
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "%s", options().device_name.c_str());
    std::memset(properties->uuid.bytes, device + 1, sizeof properties->uuid.bytes);
    properties->totalGlobalMem = options().memory_bytes;
    properties->sharedMemPerBlock = kDefaultSharedBytes;
    properties->sharedMemPerBlockOptin = kMaxSharedBytes;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    properties->maxThreadsDim[0] = 1024;
    properties->maxThreadsDim[1] = 1024;
    properties->maxThreadsDim[2] = 64;
    properties->maxGridSize[0] = 0x7fffffff;
    properties->maxGridSize[1] = 65535;
    properties->maxGridSize[2] = 65535;
    properties->major = kComputeMajor;
    properties->minor = kComputeMinor;
    properties->multiProcessorCount = kMultiprocessors;
    properties->maxThreadsPerMultiProcessor = 2048;
    properties->pciBusID = device + 1;
    properties->unifiedAddressing = 1;
    properties->concurrentKernels = 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    if (const cudaError_t code = check_device(device); code != cudaSuccess) {
        return code;
    }
    switch (attribute) {
        case cudaDevAttrMaxThreadsPerBlock:
            *value = 1024;
            return cudaSuccess;
        case cudaDevAttrMaxSharedMemoryPerBlock:
            *value = static_cast<int>(kDefaultSharedBytes);
            return cudaSuccess;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin:
            *value = static_cast<int>(kMaxSharedBytes);
            return cudaSuccess;
        case cudaDevAttrWarpSize:
            *value = 32;
            return cudaSuccess;
        case cudaDevAttrMultiProcessorCount:
            *value = kMultiprocessors;
            return cudaSuccess;
        case cudaDevAttrComputeCapabilityMajor:
            *value = kComputeMajor;
            return cudaSuccess;
        case cudaDevAttrComputeCapabilityMinor:
            *value = kComputeMinor;
            return cudaSuccess;
        case cudaDevAttrClockRate:
            *value = kClockKilohertz;
            return cudaSuccess;
        case cudaDevAttrUnifiedAddressing:
            *value = 1;
            return cudaSuccess;
        default:
            return refuse(cudaErrorNotSupported,
                          "cudaDeviceGetAttribute: attribute " + std::to_string(attribute) + " is not modelled");
    }
}

cudaError_t cudaDeviceGetPCIBusId(char* bus_id, int bytes, int device) {
    if (const cudaError_t code = check_device(device); code != cudaSuccess) {
        return code;
    }
    if (bytes < 13) {
        return refuse(cudaErrorInvalidValue, "cudaDeviceGetPCIBusId: a bus id needs 13 bytes");
    }
    std::snprintf(bus_id, static_cast<std::size_t>(bytes), "0000:%02x:00.0", static_cast<unsigned>(device + 1) & 0xffu);
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
    *version = options().no_driver ? 0 : CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

}  // extern "C"
