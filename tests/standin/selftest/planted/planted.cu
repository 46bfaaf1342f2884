// Mistakes that only a sanitizer finds for sure, one per name on the command line, and the same programs without them.
// Every missing line is marked "planted". Built with sanitizers; expect_report.sh requires the report.
#include <cuda_bf16.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "backends/cuda/launch.hpp"

using ladle::cuda::check_cuda;
using ladle::cuda::dynamic_shared;
using ladle::cuda::launch;
using ladle::cuda::launch_independent;

namespace {

// Column sums over 8 rows of threads.
template <class T, bool right>
__global__ void column_sums(const T* x, float* sums) {
    __shared__ float part[8][32];
    part[threadIdx.y][threadIdx.x] = static_cast<float>(x[threadIdx.y * 32 + threadIdx.x]);
    if (right) {
        __syncthreads();  // planted
    }
    if (threadIdx.y == 0) {
        float sum = 0.f;
        for (int row = 0; row < 8; ++row) {
            sum += part[row][threadIdx.x];
        }
        sums[threadIdx.x] = sum;
    }
}

// Tiles in dynamic shared memory that are overwritten for the next block of keys.
template <bool right>
__global__ void tiles(const float* keys, float* out, int n) {
    float* tile = dynamic_shared<float>();
    float sum = 0.f;
    for (int begin = 0; begin < n; begin += static_cast<int>(blockDim.x)) {
        tile[threadIdx.x] = keys[begin + static_cast<int>(threadIdx.x)];
        __syncthreads();
        for (unsigned i = 0; i < blockDim.x; ++i) {
            sum += tile[i];
        }
        if (right) {
            __syncthreads();  // planted
        }
    }
    out[threadIdx.x] = sum;
}

// A warp writes shared memory, then reads across lanes. A shuffle between them orders no memory.
template <bool right>
__global__ void across_lanes(float* out) {
    __shared__ float part[32];
    part[threadIdx.x] = static_cast<float>(threadIdx.x);
    const float other = __shfl_xor_sync(0xffffffffu, 1.f, 1);
    if (right) {
        __syncwarp();  // planted
    }
    out[threadIdx.x] = part[31 - threadIdx.x] + other;
}

__global__ void increment(float* x) {
    x[threadIdx.x] += 1.f;
}
__global__ void add(const float* x, float* y) {
    y[threadIdx.x] += x[threadIdx.x];
}
__global__ void store_past_the_end(float* x) {
    x[threadIdx.x + 1] = 0.f;
}
__global__ void store_past_shared(float* x) {
    __shared__ float part[32];
    part[threadIdx.x + 1] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = part[threadIdx.x];
}
__global__ void load_misaligned(const float* x, float* out) {
    const float4 v = *reinterpret_cast<const float4*>(x + threadIdx.x * 4 + 1);
    out[threadIdx.x] = v.x + v.w;
}

cudaStream_t make_stream() {
    cudaStream_t stream = nullptr;
    check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "create a stream");
    return stream;
}

template <class T>
T* zeros(std::size_t count) {
    T* begin = nullptr;
    check_cuda(cudaMalloc(reinterpret_cast<void**>(&begin), count * sizeof(T)), "allocate");
    check_cuda(cudaMemset(begin, 0, count * sizeof(T)), "fill");
    check_cuda(cudaDeviceSynchronize(), "wait");
    return begin;
}

template <class T, bool right>
void run_column_sums() {
    const cudaStream_t stream = make_stream();
    launch(column_sums<T, right>, dim3(1), dim3(32, 8), 0, stream, zeros<T>(256), zeros<float>(32));
    check_cuda(cudaStreamSynchronize(stream), "wait");
}

template <bool right>
void run_tiles() {
    const cudaStream_t stream = make_stream();
    launch(tiles<right>, dim3(1), dim3(64), 64 * sizeof(float), stream, zeros<float>(128), zeros<float>(64), 128);
    check_cuda(cudaStreamSynchronize(stream), "wait");
}

template <bool right>
void run_across_lanes() {
    const cudaStream_t stream = make_stream();
    launch(across_lanes<right>, dim3(1), dim3(32), 0, stream, zeros<float>(32));
    check_cuda(cudaStreamSynchronize(stream), "wait");
}

// Gradient on one stream, its sum on a second, the optimizer on the first again.
void run_streams(bool wait_for_gradient, bool wait_for_sum) {
    const cudaStream_t compute = make_stream();
    const cudaStream_t communication = make_stream();
    cudaEvent_t gradient_done = nullptr;
    cudaEvent_t sum_done = nullptr;
    check_cuda(cudaEventCreateWithFlags(&gradient_done, cudaEventDisableTiming), "create an event");
    check_cuda(cudaEventCreateWithFlags(&sum_done, cudaEventDisableTiming), "create an event");
    auto* gradient = zeros<float>(32);
    auto* sum = zeros<float>(32);
    launch_independent(increment, dim3(1), dim3(32), compute, gradient);
    check_cuda(cudaEventRecord(gradient_done, compute), "record");
    if (wait_for_gradient) {
        check_cuda(cudaStreamWaitEvent(communication, gradient_done, 0), "wait");  // planted
    }
    launch_independent(add, dim3(1), dim3(32), communication, gradient, sum);
    check_cuda(cudaEventRecord(sum_done, communication), "record");
    if (wait_for_sum) {
        check_cuda(cudaStreamWaitEvent(compute, sum_done, 0), "wait");  // planted
    }
    launch_independent(increment, dim3(1), dim3(32), compute, sum);
    check_cuda(cudaStreamSynchronize(communication), "wait");
    check_cuda(cudaStreamSynchronize(compute), "wait");
    check_cuda(cudaEventDestroy(gradient_done), "destroy an event");
    check_cuda(cudaEventDestroy(sum_done), "destroy an event");
}

// The host fills a pinned buffer again while the copy out of it may still run.
void run_staging(bool wait) {
    const cudaStream_t stream = make_stream();
    float* staging = nullptr;
    check_cuda(cudaMallocHost(reinterpret_cast<void**>(&staging), 32 * sizeof(float)), "allocate");
    auto* x = zeros<float>(32);
    for (int step = 0; step < 2; ++step) {
        for (int i = 0; i < 32; ++i) {
            staging[i] = static_cast<float>(step);
        }
        check_cuda(cudaMemcpyAsync(x, staging, 32 * sizeof(float), cudaMemcpyHostToDevice, stream), "copy");
        if (wait) {
            check_cuda(cudaStreamSynchronize(stream), "wait");  // planted
        }
    }
    check_cuda(cudaStreamSynchronize(stream), "wait");
}

void run_increment_of_freed() {
    const cudaStream_t stream = make_stream();
    auto* x = zeros<float>(32);
    const std::vector<float*> hidden = {x};  // no pointer argument of a launch: those are checked
    check_cuda(cudaFree(x), "free");
    struct Holder {
        float* x;
    };
    void (*kernel)(Holder) = [](Holder holder) { holder.x[threadIdx.x] += 1.f; };
    launch_independent(kernel, dim3(1), dim3(32), stream, Holder{hidden[0]});
    check_cuda(cudaStreamSynchronize(stream), "wait");
}

void run_single(void (*kernel)(float*)) {
    const cudaStream_t stream = make_stream();
    launch(kernel, dim3(1), dim3(32), 0, stream, zeros<float>(32));
    check_cuda(cudaStreamSynchronize(stream), "wait");
}

void run_misaligned() {
    const cudaStream_t stream = make_stream();
    launch_independent(load_misaligned, dim3(1), dim3(32), stream, zeros<float>(132), zeros<float>(32));
    check_cuda(cudaStreamSynchronize(stream), "wait");
}

void run_clean() {
    run_column_sums<float, true>();
    run_column_sums<__nv_bfloat16, true>();
    run_tiles<true>();
    run_across_lanes<true>();
    run_streams(true, true);
    run_staging(true);
    run_single(increment);
}

}  // namespace

int main(int count, char** arguments) {
    const std::map<std::string, void (*)()> cases = {
        {"clean", run_clean},
        {"missing_barrier", run_column_sums<float, false>},
        {"missing_barrier_bf16", run_column_sums<__nv_bfloat16, false>},
        {"missing_barrier_tiles", run_tiles<false>},
        {"missing_warp_barrier", run_across_lanes<false>},
        {"missing_wait_for_gradient", [] { run_streams(false, true); }},
        {"missing_wait_for_sum", [] { run_streams(true, false); }},
        {"staging_reused", [] { run_staging(false); }},
        {"store_past_the_end", [] { run_single(store_past_the_end); }},
        {"store_past_shared", [] { run_single(store_past_shared); }},
        {"use_after_free", run_increment_of_freed},
        {"misaligned_load", run_misaligned},
    };
    const auto found = cases.find(count > 1 ? arguments[1] : "");
    if (found == cases.end()) {
        std::fprintf(stderr, "no such case\n");
        return 2;
    }
    found->second();
    return 0;
}
