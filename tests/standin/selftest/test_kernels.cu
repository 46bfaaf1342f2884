// Kernels that are right: results in every order of threads and blocks, intrinsics, shared memory, the plain-loop path.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "support.hpp"

using ladle::cuda::dynamic_shared;
using ladle::cuda::launch;
using ladle::cuda::launch_independent;

namespace {

std::vector<float> random_floats(std::size_t count, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values) {
        value = normal(generator);
    }
    return values;
}

__global__ void __launch_bounds__(256) tree_sum(const float* __restrict__ x, float* __restrict__ sums, int n) {
    __shared__ float part[256];
    float sum = 0.f;
    for (int i = static_cast<int>(threadIdx.x); i < n; i += 256) {
        sum += x[blockIdx.x * static_cast<unsigned>(n) + static_cast<unsigned>(i)];
    }
    part[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            part[threadIdx.x] += part[threadIdx.x + half];
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        sums[blockIdx.x] = part[0];
    }
}

float host_tree_sum(const float* x, int n) {
    std::vector<float> part(256, 0.f);
    for (int t = 0; t < 256; ++t) {
        for (int i = t; i < n; i += 256) {
            part[static_cast<std::size_t>(t)] += x[i];
        }
    }
    for (std::size_t half = 128; half > 0; half /= 2) {
        for (std::size_t t = 0; t < half; ++t) {
            part[t] += part[t + half];
        }
    }
    return part[0];
}

__global__ void warp_sums(const float* x, float* sums, int* positive) {
    float value = x[blockIdx.x * blockDim.x + threadIdx.x];
    const unsigned ballot = __ballot_sync(0xffffffffu, value > 0.f);
    for (int mask = 16; mask > 0; mask /= 2) {
        value += __shfl_xor_sync(0xffffffffu, value, mask);
    }
    if (threadIdx.x % 32 == 0) {
        const unsigned warp = blockIdx.x * blockDim.x / 32 + threadIdx.x / 32;
        sums[warp] = value;
        positive[warp] = __popc(ballot);
    }
}

__global__ void shuffles(int* out) {
    const int lane = static_cast<int>(threadIdx.x);
    out[lane] = __shfl_sync(0xffffffffu, lane * 10, 3);
    out[32 + lane] = __shfl_up_sync(0xffffffffu, lane, 1);
    out[64 + lane] = __shfl_down_sync(0xffffffffu, lane, 2, 8);
    out[96 + lane] = __any_sync(0xffffffffu, lane == 7) + 2 * __all_sync(0xffffffffu, lane < 32);
    // Halves of a warp on their own masks, in different order of calls.
    const unsigned half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
    out[128 + lane] = __shfl_xor_sync(half, lane, 1);
}

__global__ void reverse_through_shared(const double* in, double* out) {
    double* buffer = dynamic_shared<double>();
    buffer[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = buffer[blockDim.x - 1 - threadIdx.x];
}

__global__ void read_unwritten_shared(float* fixed, float* dynamic) {
    __shared__ float part[64];
    const float* buffer = dynamic_shared<float>();
    if (threadIdx.x == 40) {
        part[0] = 1.f;
    }
    __syncthreads();
    fixed[threadIdx.x] = part[threadIdx.x];
    dynamic[threadIdx.x] = buffer[threadIdx.x];
}

__global__ void count_and_index(unsigned* count, unsigned* index) {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const unsigned position = block * blockDim.x * blockDim.y * blockDim.z + thread;
    index[position] = position;
    atomicAdd(count, 1u);
}

__global__ void early_return(int* out, int active) {
    if (static_cast<int>(threadIdx.x) >= active) {
        return;
    }
    __syncthreads();
    __syncwarp();
    out[threadIdx.x] = 1;
}

__global__ void intrinsics(long long* integers, float* floats) {
    integers[0] = __umulhi(0xffffffffu, 0xffffffffu);
    integers[1] = __double2ll_rn(2.5);
    integers[2] = __double2ll_rn(1e300);
    integers[3] = __double2ll_rn(-3.5);
    integers[4] = __ffs(8);
    integers[5] = static_cast<long long>(__float_as_uint(1.0f));
    integers[6] = min(3, 4) + max(3u, 7u);
    floats[0] = __fmaf_rn(1.0f + 0x1p-12f, 1.0f + 0x1p-12f, -1.0f - 0x1p-11f);
    floats[1] = __fadd_rn(__fmul_rn(1.0f + 0x1p-12f, 1.0f + 0x1p-12f), -1.0f - 0x1p-11f);
    floats[2] = rsqrtf(4.0f);
    floats[3] = max(NAN, 1.0f);
    floats[4] = __uint_as_float(0x40000000u);
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(kernels)

// The host adds in the same tree, so every order of threads and blocks must give these bits.
BOOST_AUTO_TEST_CASE(tree_reduction_has_the_same_bits_in_every_order) {
    const int rows = 5;
    const int n = 1000;
    const auto x = random_floats(rows * n, 1);
    std::vector<float> expected;
    for (int row = 0; row < rows; ++row) {
        expected.push_back(host_tree_sum(x.data() + row * n, n));
    }
    TestStream stream;
    TestArray<float> input(x);
    TestArray<float> sums(rows);
    launch(tree_sum, dim3(rows), dim3(256), 0, stream, input, sums, n);
    BOOST_TEST(same_bits(sums.read(stream), expected));
}

BOOST_AUTO_TEST_CASE(warp_reductions) {
    const auto x = random_floats(256, 2);
    TestStream stream;
    TestArray<float> input(x);
    TestArray<float> sums(8);
    TestArray<int> positive(8);
    launch(warp_sums, dim3(2), dim3(128), 0, stream, input, sums, positive);
    const auto got = sums.read(stream);
    const auto counts = positive.read(stream);
    for (std::size_t warp = 0; warp < 8; ++warp) {
        std::vector<float> lanes(x.begin() + static_cast<long>(warp) * 32,
                                 x.begin() + static_cast<long>(warp + 1) * 32);
        int above = 0;
        for (const float value : lanes) {
            above += value > 0;
        }
        for (std::size_t mask = 16; mask > 0; mask /= 2) {
            const auto before = lanes;
            for (std::size_t lane = 0; lane < 32; ++lane) {
                lanes[lane] = before[lane] + before[lane ^ mask];
            }
        }
        BOOST_TEST(got[warp] == lanes[0]);
        BOOST_TEST(counts[warp] == above);
    }
}

BOOST_AUTO_TEST_CASE(shuffles_and_votes) {
    TestStream stream;
    TestArray<int> out(160);
    launch(shuffles, dim3(1), dim3(32), 0, stream, out);
    const auto got = out.read(stream);
    for (int lane = 0; lane < 32; ++lane) {
        const auto at = static_cast<std::size_t>(lane);
        BOOST_TEST(got[at] == 30);
        BOOST_TEST(got[32 + at] == (lane == 0 ? 0 : lane - 1));
        BOOST_TEST(got[64 + at] == (lane % 8 < 6 ? lane + 2 : lane));
        BOOST_TEST(got[96 + at] == 3);
        BOOST_TEST(got[128 + at] == (lane ^ 1));
    }
}

BOOST_AUTO_TEST_CASE(dynamic_shared_memory) {
    std::vector<double> x(1024);
    std::iota(x.begin(), x.end(), 0.0);
    TestStream stream;
    TestArray<double> input(x);
    TestArray<double> output(x.size());
    launch(reverse_through_shared, dim3(1), dim3(1024), x.size() * sizeof(double), stream, input, output);
    const std::vector<double> expected(x.rbegin(), x.rend());
    BOOST_TEST(output.read(stream) == expected);
}

BOOST_AUTO_TEST_CASE(shared_and_device_memory_begin_as_nan) {
    TestStream stream;
    TestArray<float> fixed(64);
    TestArray<float> dynamic(64);
    launch(read_unwritten_shared, dim3(1), dim3(64), 64 * sizeof(float), stream, fixed, dynamic);
    const auto read = dynamic.read(stream);
    BOOST_TEST(std::all_of(read.begin(), read.end(), [](float x) { return std::isnan(x); }));
#ifndef __SANITIZE_ADDRESS__
    const auto fixed_read = fixed.read(stream);
    BOOST_TEST(fixed_read[0] == 1.f);
    BOOST_TEST(std::isnan(fixed_read[1]));
#endif
    float* fresh = nullptr;
    check_cuda(cudaMalloc(reinterpret_cast<void**>(&fresh), 4), "allocate");
    float value = 0;
    check_cuda(cudaMemcpy(&value, fresh, 4, cudaMemcpyDeviceToHost), "copy");
    BOOST_TEST(std::isnan(value));
    check_cuda(cudaFree(fresh), "free");
}

BOOST_AUTO_TEST_CASE(every_thread_of_every_block_runs_once_on_both_paths) {
    const dim3 grid(3, 4, 2);
    const dim3 block(8, 4, 2);
    const std::size_t count = 24 * 64;
    for (const bool independent : {false, true}) {
        TestStream stream;
        TestArray<unsigned> counter(1);
        TestArray<unsigned> index(count, 9u);
        if (independent) {
            launch_independent(count_and_index, grid, block, stream, counter, index);
        } else {
            launch(count_and_index, grid, block, 0, stream, counter, index);
        }
        BOOST_TEST(counter.read(stream)[0] == count);
        std::vector<unsigned> expected(count);
        std::iota(expected.begin(), expected.end(), 0u);
        BOOST_TEST(index.read(stream) == expected);
    }
}

BOOST_AUTO_TEST_CASE(threads_that_returned_do_not_count_at_barriers) {
    TestStream stream;
    TestArray<int> out(96);
    launch(early_return, dim3(1), dim3(96), 0, stream, out, 40);
    const auto got = out.read(stream);
    for (std::size_t i = 0; i < 96; ++i) {
        BOOST_TEST(got[i] == (i < 40 ? 1 : 0));
    }
}

BOOST_AUTO_TEST_CASE(intrinsics_round_and_saturate_as_documented) {
    TestStream stream;
    TestArray<long long> integers(7);
    TestArray<float> floats(5);
    launch_independent(intrinsics, dim3(1), dim3(1), stream, integers, floats);
    const auto i = integers.read(stream);
    const auto f = floats.read(stream);
    const std::vector<long long> expected = {0xfffffffe, 2, INT64_MAX, -4, 4, 0x3f800000, 10};
    BOOST_TEST(i == expected);
    BOOST_TEST(f[0] == 0x1p-24f);  // fused: the last bit of the exact product
    BOOST_TEST(f[1] == 0.0f);      // rounded after each operation
    BOOST_TEST(f[2] == 0.5f);
    BOOST_TEST(f[3] == 1.0f);
    BOOST_TEST(f[4] == 2.0f);
}

BOOST_AUTO_TEST_SUITE_END()
