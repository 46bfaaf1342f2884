// Helpers of the stand-in's tests: device arrays, and runs in a child process, since faults are sticky.
#pragma once

#include <cuda_runtime.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "backends/cuda/launch.hpp"

using ladle::cuda::check_cuda;

/// A non-blocking stream.
class TestStream {
public:
    TestStream() { check_cuda(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "create a stream"); }
    TestStream(const TestStream&) = delete;
    TestStream& operator=(const TestStream&) = delete;
    ~TestStream() { cudaStreamDestroy(handle_); }
    operator cudaStream_t() const { return handle_; }

private:
    cudaStream_t handle_ = nullptr;
};

/// Device memory with the contents of a vector.
template <class T>
class TestArray {
public:
    explicit TestArray(const std::vector<T>& values) : count_(values.size()) {
        check_cuda(cudaMalloc(reinterpret_cast<void**>(&begin_), count_ * sizeof(T)), "allocate");
        check_cuda(cudaMemcpy(begin_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), "copy");
    }
    explicit TestArray(std::size_t count, T value = T()) : TestArray(std::vector<T>(count, value)) {}
    TestArray(const TestArray&) = delete;
    TestArray& operator=(const TestArray&) = delete;
    ~TestArray() { cudaFree(begin_); }
    operator T*() const { return begin_; }
    /// Waits for the stream, then copies to the host.
    std::vector<T> read(cudaStream_t stream) const {
        check_cuda(cudaStreamSynchronize(stream), "wait");
        std::vector<T> values(count_);
        check_cuda(cudaMemcpy(values.data(), begin_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "copy back");
        return values;
    }

private:
    T* begin_ = nullptr;
    std::size_t count_;
};

/// What a child process printed on stderr and how it ended.
struct ChildResult {
    std::string text;
    int exit_code = -1;
    int signal = 0;
    bool says(const std::string& part) const { return text.find(part) != std::string::npos; }
};

/// Runs the function in a child with additional environment variables "NAME=value". Exit 3: it threw; 4: a
/// check in it failed. The child is this test case again up to this call, so what precedes the call must not depend on
/// earlier results.
ChildResult run_in_child(const std::vector<std::string>& environment, const std::function<int()>& function);

/// Checks of the present test case that failed so far, in this process.
unsigned long failed_checks();
