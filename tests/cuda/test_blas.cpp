// cuBLASLt behind its wrapper: what is transposed and where batches lie, and one algorithm for all sizes of a family.
#include "../../src/backends/cuda/blas.hpp"
#include "../../src/backends/cuda/memory.hpp"
#include "device_support.hpp"
#include "ladle/core/error.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

struct Fixture {
    cuda::Device device{0};
    cuda::CudaMemory memory{device};
    cuda::Blas blas{device, memory};

    DeviceArray<float> place(const std::vector<float>& values) {
        DeviceArray<float> array(memory, values.size());
        array.copy_in(values.data(), values.size());
        return array;
    }
};

std::size_t cells(int rows, int columns) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
}

/// Batch by batch C [m, n], row-major.
std::vector<double> by_loops(cuda::Transpose transpose, const cuda::ProductSize& size, const std::vector<float>& a,
                             const std::vector<float>& b) {
    const auto& [m, n, k, batch] = size;
    std::vector<double> c;
    for (int z = 0; z < batch; ++z) {
        for (int i = 0; i < m; ++i) {
            for (int j = 0; j < n; ++j) {
                double sum = 0;
                for (int l = 0; l < k; ++l) {
                    const bool first = transpose == cuda::Transpose::first;
                    const bool second = transpose == cuda::Transpose::second;
                    const std::size_t at =
                        cells(z, m * k) + (first ? cells(l, m) + cells(i, 1) : cells(i, k) + cells(l, 1));
                    const std::size_t bt =
                        cells(z, n * k) + (second ? cells(j, k) + cells(l, 1) : cells(l, n) + cells(j, 1));
                    sum += static_cast<double>(a[at]) * static_cast<double>(b[bt]);
                }
                c.push_back(sum);
            }
        }
    }
    return c;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(products_of_batches_equal_double_loops, Fixture) {
    for (const auto transpose : {cuda::Transpose::none, cuda::Transpose::second, cuda::Transpose::first}) {
        for (const cuda::ProductSize size : {cuda::ProductSize{8, 24, 16, 5}, {40, 8, 32, 1}, {16, 16, 8, 3}}) {
            const auto a = random_values(cells(size.batch * size.m, size.k), 1);
            const auto b = random_values(cells(size.batch * size.n, size.k), 2);
            const auto placed_a = place(a);
            const auto placed_b = place(b);
            DeviceArray<float> c(memory, cells(size.batch * size.m, size.n));
            cuda::ProductFamily family;
            family.transpose = transpose;
            family.typical = {64, 64, 64, 7};
            family.strides = {64, 64, 64};
            cuda::ProductCall call;
            call.size = size;
            call.strides = {transpose == cuda::Transpose::first ? size.m : size.k,
                            transpose == cuda::Transpose::second ? size.k : size.n, size.n};
            call.a = placed_a.data();
            call.b = placed_b.data();
            call.c = c.data();
            blas.run(family, call);
            BOOST_TEST(normalised_error(by_loops(transpose, size, a, b), c.to_host()) < kFp32Error,
                       "transpose " << static_cast<int>(transpose) << ", " << size.m << " rows");
        }
    }
    const std::string chosen = blas.chosen();
    BOOST_TEST(std::count(chosen.begin(), chosen.end(), '\n') == 3, chosen);
}

BOOST_FIXTURE_TEST_CASE(operands_off_their_boundary_are_refused, Fixture) {
    DeviceArray<float> values(memory, 4096);
    cuda::ProductFamily family;
    family.typical = {64, 8, 16};
    family.strides = {16, 16, 8};
    cuda::ProductCall call;
    call.size = {4, 8, 16};
    call.strides = family.strides;
    call.a = values.data() + 1;
    call.b = values.data() + 512;
    call.c = values.data() + 1024;
    BOOST_CHECK_THROW(blas.run(family, call), InternalError);
    call.a = values.data();
    BOOST_CHECK_NO_THROW(blas.run(family, call));
}
