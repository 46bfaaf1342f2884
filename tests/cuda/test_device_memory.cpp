// Memory of the GPU: copies arrive although their source changes at once, rings grow and wrap, and lack of room is
// said.
#include <numeric>

#include "../../src/backends/cuda/device.hpp"
#include "../../src/backends/cuda/memory.hpp"
#include "device_support.hpp"
#include "ladle/core/error.hpp"
#include "support/device_kernels.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

/// Skips all tests of this program where there is no GPU.
struct NeedsGpu {
    NeedsGpu() { device_kernels_under_test(); }
};

struct Fixture {
    cuda::Device device{0};
    cuda::CudaMemory memory{device};
};

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(NeedsGpu);

BOOST_FIXTURE_TEST_CASE(a_source_may_change_at_once, Fixture) {
    constexpr std::size_t kCount = 1000;
    constexpr int kCopies = 300;
    BOOST_TEST(!memory.is_host());
    std::vector<DeviceArray<int>> arrays;
    std::vector<int> source(kCount);
    for (int copy = 0; copy < kCopies; ++copy) {
        arrays.emplace_back(memory, kCount);
        std::iota(source.begin(), source.end(), copy);
        arrays.back().copy_in(source.data(), source.size());
        std::fill(source.begin(), source.end(), -1);
    }
    for (int copy = 0; copy < kCopies; ++copy) {
        std::iota(source.begin(), source.end(), copy);
        BOOST_REQUIRE(arrays[static_cast<std::size_t>(copy)].to_host() == source);
    }
}

BOOST_FIXTURE_TEST_CASE(large_copies_pass_in_pieces, Fixture) {
    // More than the ring ever has, and no multiple of anything.
    const std::size_t count = 10 * cuda::StagingRing::kPieceBytes / sizeof(int) + 17;
    std::vector<int> source(count);
    std::iota(source.begin(), source.end(), 5);
    DeviceArray<int> array(memory, count);
    array.copy_in(source.data(), count);
    array.copy_in(source.data(), 3, 11);
    std::copy_n(source.begin(), 3, source.begin() + 11);
    BOOST_TEST((array.to_host() == source));
}

BOOST_FIXTURE_TEST_CASE(new_arrays_are_zeros, Fixture) {
    const DeviceArray<std::int64_t> array(memory, 1001);
    BOOST_TEST((array.to_host() == std::vector<std::int64_t>(1001)));
    const DeviceArray<float> empty(memory, 0);
    BOOST_TEST(empty.to_host().empty());
}

BOOST_FIXTURE_TEST_CASE(lack_of_room_names_the_bytes_and_the_mend, Fixture) {
    try {
        memory.allocate(std::size_t{1} << 50U);
        BOOST_ERROR("a petabyte was allocated");
    } catch (const DeviceError& error) {
        const std::string text = error.what();
        BOOST_TEST(text.find("no room for 1073741824.0 MiB on the GPU") != std::string::npos, text);
        BOOST_TEST(text.find("MiB are free") != std::string::npos, text);
        BOOST_TEST(text.find("train.leaf") != std::string::npos, text);
    }
    // The device works on.
    const DeviceArray<float> array(memory, 7);
    BOOST_TEST(array.to_host().size() == 7U);
}
