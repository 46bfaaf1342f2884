// NCCL stand-in: sums and broadcasts over real processes, and what happens when ranks disagree or do not come.
#include <nccl.h>

#include <boost/test/unit_test.hpp>
#include <cstring>
#include <random>

#include "support.hpp"

namespace {

void ok(ncclResult_t code) {
    if (code != ncclSuccess) {
        throw std::runtime_error(std::string("NCCL: ") + ncclGetErrorString(code));
    }
}

/// Runs the function as ranks in processes of their own, device = rank; the child of run_in_child starts them, because
/// it has not used CUDA. Returns the number of ranks whose result was not 0.
int run_ranks(int ranks, const std::function<int(int, ncclUniqueId)>& function) {
    ncclUniqueId id;
    ok(ncclGetUniqueId(&id));
    std::vector<pid_t> children;
    for (int rank = 0; rank < ranks; ++rank) {
        const pid_t child = fork();
        if (child == 0) {
            int code = 3;
            const unsigned long failed_before = failed_checks();
            try {
                check_cuda(cudaSetDevice(rank), "choose a device");
                code = function(rank, id);
                code = code == 0 && failed_checks() != failed_before ? 4 : code;
            } catch (const std::exception& error) {
                std::fprintf(stderr, "%s\n", error.what());
            }
            std::fflush(nullptr);
            _exit(code);
        }
        children.push_back(child);
    }
    int bad = 0;
    for (const pid_t child : children) {
        int state = 0;
        waitpid(child, &state, 0);
        bad += state != 0;
    }
    return bad;
}

ChildResult in_ranks(int ranks, const std::function<int(int, ncclUniqueId)>& function) {
    return run_in_child({"LADLE_STANDIN_DEVICES=8"}, [&] { return run_ranks(ranks, function); });
}

template <class T>
std::vector<T> values_of(int rank, std::size_t count) {
    std::mt19937_64 generator(static_cast<unsigned>(rank) + 1);
    std::vector<T> values(count);
    for (T& value : values) {
        const auto bits = static_cast<std::int64_t>(generator());
        value = std::is_same_v<T, float> ? static_cast<T>(static_cast<double>(bits) * 0x1p-62) : static_cast<T>(bits);
    }
    return values;
}

template <class T>
std::vector<T> sum_in_rank_order(int ranks, std::size_t count) {
    std::vector<T> sums = values_of<T>(0, count);
    for (int rank = 1; rank < ranks; ++rank) {
        const std::vector<T> values = values_of<T>(rank, count);
        for (std::size_t i = 0; i < count; ++i) {
            if constexpr (std::is_same_v<T, float>) {
                sums[i] += values[i];
            } else {
                sums[i] = static_cast<T>(static_cast<std::uint64_t>(sums[i]) + static_cast<std::uint64_t>(values[i]));
            }
        }
    }
    return sums;
}

template <class T>
bool sums_are_right(int rank, int ranks, ncclUniqueId id, std::size_t count, ncclDataType_t type) {
    TestStream stream;
    TestArray<T> in(values_of<T>(rank, count));
    TestArray<T> out(count);
    ncclComm_t comm = nullptr;
    ok(ncclCommInitRank(&comm, ranks, id, rank));
    ok(ncclAllReduce(in, out, count, type, ncclSum, comm, stream));
    ok(ncclAllReduce(in, in, count, type, ncclSum, comm, stream));  // in place
    const auto expected = sum_in_rank_order<T>(ranks, count);
    const bool right = out.read(stream) == expected && in.read(stream) == expected;
    ok(ncclCommDestroy(comm));
    return right;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(collectives)

// Three pieces of 1 MiB and a rest, sums that wrap included.
BOOST_AUTO_TEST_CASE(int64_sums_are_exact) {
    for (const int ranks : {1, 2, 3, 4}) {
        const ChildResult child = in_ranks(ranks, [&](int rank, ncclUniqueId id) {
            return sums_are_right<std::int64_t>(rank, ranks, id, 400001, ncclInt64) ? 0 : 1;
        });
        BOOST_TEST(child.exit_code == 0, child.text);
    }
}

BOOST_AUTO_TEST_CASE(float_sums_are_in_rank_order) {
    const ChildResult child = in_ranks(
        3, [](int rank, ncclUniqueId id) { return sums_are_right<float>(rank, 3, id, 1000, ncclFloat32) ? 0 : 1; });
    BOOST_TEST(child.exit_code == 0, child.text);
}

BOOST_AUTO_TEST_CASE(broadcast_in_a_group_and_in_a_graph) {
    const ChildResult child = in_ranks(2, [](int rank, ncclUniqueId id) {
        TestStream stream;
        TestArray<std::int64_t> a(5, rank + 1);
        TestArray<std::int64_t> b(300000, rank + 1);
        ncclComm_t comm = nullptr;
        ok(ncclCommInitRank(&comm, 2, id, rank));
        ok(ncclGroupStart());
        ok(ncclBroadcast(a, a, 5, ncclInt64, 1, comm, stream));
        ok(ncclBroadcast(b, b, 300000 * 8, ncclUint8, 0, comm, stream));
        ok(ncclGroupEnd());
        bool right =
            a.read(stream) == std::vector<std::int64_t>(5, 2) && b.read(stream) == std::vector<std::int64_t>(300000, 1);
        check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
        ok(ncclAllReduce(a, a, 5, ncclInt64, ncclSum, comm, stream));
        cudaGraph_t graph = nullptr;
        check_cuda(cudaStreamEndCapture(stream, &graph), "capture");
        cudaGraphExec_t executable = nullptr;
        check_cuda(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
        for (int i = 0; i < 3; ++i) {
            check_cuda(cudaGraphLaunch(executable, stream), "launch");
        }
        right = right && a.read(stream) == std::vector<std::int64_t>(5, 16);
        ok(ncclCommDestroy(comm));
        return right ? 0 : 1;
    });
    BOOST_TEST(child.exit_code == 0, child.text);
}

BOOST_AUTO_TEST_CASE(different_collectives_are_named_on_both_sides) {
    const ChildResult child = in_ranks(2, [](int rank, ncclUniqueId id) {
        TestStream stream;
        TestArray<std::int64_t> x(100, 1);
        ncclComm_t comm = nullptr;
        ok(ncclCommInitRank(&comm, 2, id, rank));
        ok(ncclAllReduce(x, x, rank == 0 ? 100 : 99, ncclInt64, ncclSum, comm, stream));
        check_cuda(cudaStreamSynchronize(stream), "wait");
        ncclResult_t error = ncclSuccess;
        ok(ncclCommGetAsyncError(comm, &error));
        const bool refused_later = ncclAllReduce(x, x, 1, ncclInt64, ncclSum, comm, stream) == ncclInvalidUsage;
        ok(ncclCommAbort(comm));
        return error == ncclInvalidUsage && refused_later ? 0 : 1;
    });
    BOOST_TEST(child.exit_code == 0, child.text);
    BOOST_TEST(child.says("rank 0 all-reduce of 100 elements"), child.text);
    BOOST_TEST(child.says("rank 1 all-reduce of 99 elements"), child.text);
}

BOOST_AUTO_TEST_CASE(abort_ends_a_wait_for_a_rank_that_does_not_come) {
    const ChildResult child = in_ranks(2, [](int rank, ncclUniqueId id) {
        TestStream stream;
        TestArray<std::int64_t> x(10, 1);
        ncclComm_t comm = nullptr;
        ok(ncclCommInitRank(&comm, 2, id, rank));
        if (rank == 1) {
            return 0;
        }
        ok(ncclAllReduce(x, x, 10, ncclInt64, ncclSum, comm, stream));
        usleep(20000);
        const bool waits = cudaStreamQuery(stream) == cudaErrorNotReady;
        ok(ncclCommAbort(comm));
        check_cuda(cudaStreamSynchronize(stream), "wait");
        return waits ? 0 : 1;
    });
    BOOST_TEST(child.exit_code == 0, child.text);
}

BOOST_AUTO_TEST_CASE(misuse_is_refused) {
    const ChildResult one_device = in_ranks(2, [](int rank, ncclUniqueId id) {
        check_cuda(cudaSetDevice(0), "choose a device");
        ncclComm_t comm = nullptr;
        return ncclCommInitRank(&comm, 2, id, rank) == ncclInvalidUsage ? 0 : 1;
    });
    BOOST_TEST(one_device.exit_code == 0, one_device.text);
    BOOST_TEST(one_device.says("duplicate GPU: rank 0 and rank 1"), one_device.text);
    const ChildResult child = in_ranks(1, [](int, ncclUniqueId id) {
        TestStream stream;
        TestArray<std::int64_t> x(10, 1);
        std::int64_t host[10] = {};
        ncclComm_t comm = nullptr;
        ok(ncclCommInitRank(&comm, 1, id, 0));
        BOOST_TEST(ncclAllReduce(host, x, 10, ncclInt64, ncclSum, comm, stream) == ncclInvalidArgument);
        BOOST_TEST(ncclAllReduce(x, x, 11, ncclInt64, ncclSum, comm, stream) == ncclInvalidArgument);
        BOOST_TEST(ncclAllReduce(x, x, 10, ncclInt64, ncclMax, comm, stream) == ncclInvalidArgument);
        BOOST_TEST(ncclAllReduce(x, x, 10, ncclInt64, ncclSum, comm, nullptr) == ncclUnhandledCudaError);
        BOOST_TEST(ncclGroupEnd() == ncclInvalidUsage);
        ok(ncclCommDestroy(comm));
        BOOST_TEST(ncclAllReduce(x, x, 10, ncclInt64, ncclSum, comm, stream) == ncclInvalidArgument);
        return 0;
    });
    BOOST_TEST(child.exit_code == 0, child.text);
}

BOOST_AUTO_TEST_CASE(a_missing_rank_ends_the_process) {
    const ChildResult child = run_in_child({"LADLE_STANDIN_STALL_SECONDS=1", "LADLE_STANDIN_DEVICES=2"}, [] {
        return run_ranks(2, [](int rank, ncclUniqueId id) {
            TestStream stream;
            TestArray<std::int64_t> x(10, 1);
            ncclComm_t comm = nullptr;
            ok(ncclCommInitRank(&comm, 2, id, rank));
            if (rank == 0) {
                ok(ncclAllReduce(x, x, 10, ncclInt64, ncclSum, comm, stream));
                cudaStreamSynchronize(stream);
            }
            return 0;
        });
    });
    BOOST_TEST(child.exit_code == 1, child.text);
    BOOST_TEST(child.says("no progress for 1 s: a stream waits at ncclAllReduce"), child.text);
}

BOOST_AUTO_TEST_SUITE_END()
