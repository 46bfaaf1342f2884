// Which GPU a rank uses, and what it is told when there is none for it.
#include "kernel_support.hpp"
#include "ladle/backends/gpu_choice.hpp"
#include "ladle/core/error.hpp"

using namespace ladle;

namespace {

std::vector<VisibleGpu> gpus(int count, int major = 9) {
    std::vector<VisibleGpu> result;
    for (int i = 0; i < count; ++i) {
        result.push_back({"H100", major, 0, "0000:0" + std::to_string(i) + ":00.0"});
    }
    return result;
}

/// The message of the refusal, or nothing.
template <class Call>
std::string refusal(Call call) {
    try {
        call();
    } catch (const DeviceError& error) {
        return error.what();
    }
    return "";
}

bool mentions(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_rank_uses_the_gpu_of_its_number) {
    for (int rank = 0; rank < 4; ++rank) {
        BOOST_TEST(choose_gpu(rank, 4, gpus(4)) == rank);
        BOOST_TEST(choose_gpu(rank, 4, gpus(8)) == rank);
    }
}

BOOST_AUTO_TEST_CASE(a_rank_that_is_shown_one_gpu_uses_it) {
    for (int rank = 0; rank < 4; ++rank) {
        BOOST_TEST(choose_gpu(rank, 4, gpus(1)) == 0);
    }
}

BOOST_AUTO_TEST_CASE(too_few_gpus_are_refused) {
    BOOST_TEST(choose_gpu(1, 4, gpus(2)) == 1);
    const std::string text = refusal([] { choose_gpu(2, 4, gpus(2)); });
    BOOST_TEST(mentions(text, "no GPU is left for rank 2"), text);
    BOOST_TEST(mentions(text, "4 ranks and shows 2 GPUs"), text);
    BOOST_TEST(mentions(text, "fix: start 2 ranks per node"), text);
    BOOST_TEST(mentions(refusal([] { choose_gpu(0, 1, {}); }), "no GPU is visible"));
}

BOOST_AUTO_TEST_CASE(old_gpus_are_refused) {
    const std::string text = refusal([] { choose_gpu(0, 1, gpus(1, 7)); });
    BOOST_TEST(mentions(text, "compute capability is 7.0"), text);
    BOOST_TEST(mentions(text, "8.0 or newer"), text);
}

BOOST_AUTO_TEST_CASE(ranks_may_not_share_a_gpu) {
    BOOST_CHECK_NO_THROW(check_gpus_differ({"0000:01:00.0", "0000:02:00.0", "0000:03:00.0"}));
    const std::string text = refusal([] { check_gpus_differ({"0000:01:00.0", "0000:02:00.0", "0000:01:00.0"}); });
    BOOST_TEST(mentions(text, "ranks 0 and 2"), text);
    BOOST_TEST(mentions(text, "0000:01:00.0"), text);
    BOOST_TEST(mentions(text, "fix: give each rank a GPU of its own"), text);
}

BOOST_AUTO_TEST_CASE(a_build_without_cuda_says_so) {
#ifdef LADLE_WITHOUT_CUDA
    const std::string text = refusal([] { make_cuda_kernels(0); });
    BOOST_TEST(mentions(text, "no CUDA"), text);
    BOOST_TEST(mentions(text, "-DLADLE_GPU=cuda"), text);
    BOOST_TEST(mentions(refusal([] { visible_gpus(); }), "no CUDA"));
#endif
}
