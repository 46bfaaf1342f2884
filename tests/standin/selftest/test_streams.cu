// Streams, events, graphs, memory and device queries: that order holds where it is asked for and not elsewhere.
#include <boost/test/unit_test.hpp>
#include <cstring>

#include "support.hpp"

using ladle::cuda::launch_independent;

namespace {

__global__ void add(int* x, int value) {
    x[threadIdx.x] += value;
}
__global__ void scale(int* x, int factor) {
    x[threadIdx.x] *= factor;
}
__global__ void copy(const int* from, int* to) {
    to[threadIdx.x] = from[threadIdx.x];
}

/// An event without timing.
class TestEvent {
public:
    TestEvent() { check_cuda(cudaEventCreateWithFlags(&handle_, cudaEventDisableTiming), "create an event"); }
    TestEvent(const TestEvent&) = delete;
    TestEvent& operator=(const TestEvent&) = delete;
    ~TestEvent() { cudaEventDestroy(handle_); }
    operator cudaEvent_t() const { return handle_; }

private:
    cudaEvent_t handle_ = nullptr;
};

/// x = (x + 1) * 2 on one stream, y = x + 10 on the other, back to x; wait_first and wait_second may be forgotten.
void two_streams(cudaStream_t main, cudaStream_t side, int* x, int* y, bool wait_first, bool wait_second) {
    static TestEvent computed;
    static TestEvent copied;
    launch_independent(add, dim3(1), dim3(32), main, x, 1);
    launch_independent(scale, dim3(1), dim3(32), main, x, 2);
    check_cuda(cudaEventRecord(computed, main), "record");
    if (wait_first) {
        check_cuda(cudaStreamWaitEvent(side, computed, 0), "wait");
    }
    launch_independent(copy, dim3(1), dim3(32), side, x, y);
    launch_independent(add, dim3(1), dim3(32), side, y, 10);
    check_cuda(cudaEventRecord(copied, side), "record");
    if (wait_second) {
        check_cuda(cudaStreamWaitEvent(main, copied, 0), "wait");
    }
    launch_independent(copy, dim3(1), dim3(32), main, y, x);
}

/// Results of some repetitions; in one schedule or another a forgotten wait gives a wrong one.
bool right_results(bool wait_first, bool wait_second) {
    TestStream main;
    TestStream side;
    TestArray<int> x(32, 0);
    TestArray<int> y(32, 0);
    int expected = 0;
    for (int i = 0; i < 10; ++i) {
        two_streams(main, side, x, y, wait_first, wait_second);
        expected = (expected + 1) * 2 + 10;
    }
    check_cuda(cudaStreamSynchronize(side), "wait");
    return x.read(main) == std::vector<int>(32, expected);
}

ChildResult refusal(const std::function<cudaError_t()>& call, cudaError_t expected) {
    return run_in_child({}, [&] { return call() == expected ? 0 : 1; });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(streams)

BOOST_AUTO_TEST_CASE(events_order_two_streams) {
    BOOST_TEST(right_results(true, true));
}

BOOST_AUTO_TEST_CASE(forgotten_waits_show_in_the_result) {
    for (const bool first : {false, true}) {
        const ChildResult child = run_in_child({}, [&] { return right_results(first, !first) ? 1 : 0; });
        BOOST_TEST(child.exit_code == 0);
    }
}

BOOST_AUTO_TEST_CASE(work_is_held_back_until_someone_waits) {
    const ChildResult child = run_in_child({"SIMT_HOLD_US=10000000"}, [] {
        TestStream stream;
        TestEvent event;
        int* pinned = nullptr;
        check_cuda(cudaMallocHost(reinterpret_cast<void**>(&pinned), 32 * sizeof(int)), "allocate");
        TestArray<int> x(32, 5);
        check_cuda(cudaMemcpyAsync(pinned, x, 32 * sizeof(int), cudaMemcpyDeviceToHost, stream), "copy");
        check_cuda(cudaEventRecord(event, stream), "record");
        const bool early = pinned[0] == 5 || cudaEventQuery(event) != cudaErrorNotReady ||
                           cudaStreamQuery(stream) != cudaErrorNotReady;
        check_cuda(cudaEventSynchronize(event), "wait");
        return !early && pinned[0] == 5 && cudaEventQuery(event) == cudaSuccess ? 0 : 1;
    });
    BOOST_TEST(child.exit_code == 0);
}

BOOST_AUTO_TEST_CASE(replayed_graph_equals_eager) {
    TestStream main;
    TestStream side;
    TestArray<int> eager(32, 3);
    TestArray<int> replayed(32, 3);
    TestArray<int> y(32, 0);
    for (int i = 0; i < 6; ++i) {
        two_streams(main, side, eager, y, true, true);
    }
    check_cuda(cudaStreamBeginCapture(main, cudaStreamCaptureModeThreadLocal), "capture");
    two_streams(main, side, replayed, y, true, true);
    cudaGraph_t graph = nullptr;
    check_cuda(cudaStreamEndCapture(main, &graph), "capture");
    cudaGraphExec_t executable = nullptr;
    check_cuda(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
    check_cuda(cudaGraphDestroy(graph), "destroy");
    BOOST_TEST(replayed.read(main) == std::vector<int>(32, 3));  // capturing runs nothing
    for (int i = 0; i < 6; ++i) {
        check_cuda(cudaGraphLaunch(executable, main), "launch");
    }
    BOOST_TEST(replayed.read(main) == eager.read(main));
    check_cuda(cudaGraphExecDestroy(executable), "destroy");
}

// A graph captured from a side stream that never waited runs in a random order of what is left unordered.
BOOST_AUTO_TEST_CASE(capture_with_a_missing_edge_gives_wrong_results) {
    const ChildResult child = run_in_child({}, [] {
        TestStream main;
        TestStream side;
        TestEvent begin;
        TestEvent end;
        TestArray<int> x(32, 1);
        check_cuda(cudaStreamBeginCapture(main, cudaStreamCaptureModeThreadLocal), "capture");
        check_cuda(cudaEventRecord(begin, main), "record");
        check_cuda(cudaStreamWaitEvent(side, begin, 0), "wait");
        launch_independent(add, dim3(1), dim3(32), main, x, 1);
        launch_independent(scale, dim3(1), dim3(32), side, x, 3);
        check_cuda(cudaEventRecord(end, side), "record");
        check_cuda(cudaStreamWaitEvent(main, end, 0), "wait");
        cudaGraph_t graph = nullptr;
        check_cuda(cudaStreamEndCapture(main, &graph), "capture");
        cudaGraphExec_t executable = nullptr;
        check_cuda(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
        int expected = 1;
        for (int i = 0; i < 8; ++i) {
            check_cuda(cudaGraphLaunch(executable, main), "launch");
            expected = (expected + 1) * 3;
        }
        return x.read(main) == std::vector<int>(32, expected) ? 1 : 0;
    });
    BOOST_TEST(child.exit_code == 0);
}

BOOST_AUTO_TEST_CASE(captures_that_are_refused) {
    const auto capture = [](const std::function<void(cudaStream_t, cudaStream_t, int*)>& between) {
        TestStream main;
        TestStream side;
        TestArray<int> x(32, 1);
        check_cuda(cudaStreamBeginCapture(main, cudaStreamCaptureModeThreadLocal), "capture");
        between(main, side, x);
        cudaGraph_t graph = nullptr;
        return cudaStreamEndCapture(main, &graph);
    };
    const ChildResult unjoined = refusal(
        [&] {
            return capture([](cudaStream_t main, cudaStream_t side, int* x) {
                TestEvent event;
                check_cuda(cudaEventRecord(event, main), "record");
                check_cuda(cudaStreamWaitEvent(side, event, 0), "wait");
                launch_independent(add, dim3(1), dim3(32), side, x, 1);
            });
        },
        cudaErrorStreamCaptureUnjoined);
    BOOST_TEST(unjoined.exit_code == 0);
    BOOST_TEST(unjoined.says("does not wait for captured work: a kernel"), "says: " << unjoined.text);
    const auto spoiled_by = [&](const std::function<void(cudaStream_t, cudaStream_t, int*)>& call) {
        const ChildResult child = refusal([&] { return capture(call); }, cudaErrorStreamCaptureInvalidated);
        BOOST_TEST(child.exit_code == 0);
    };
    spoiled_by([](cudaStream_t, cudaStream_t, int*) {
        void* memory = nullptr;
        BOOST_TEST(cudaMalloc(&memory, 4) == cudaErrorStreamCaptureUnsupported);
    });
    spoiled_by([](cudaStream_t main, cudaStream_t, int*) {
        BOOST_TEST(cudaStreamSynchronize(main) == cudaErrorStreamCaptureUnsupported);
    });
    spoiled_by([](cudaStream_t main, cudaStream_t side, int*) {
        TestEvent event;
        check_cuda(cudaEventRecord(event, side), "record");
        BOOST_TEST(cudaStreamWaitEvent(main, event, 0) == cudaErrorStreamCaptureIsolation);
    });
}

BOOST_AUTO_TEST_CASE(default_stream_and_wrong_handles_are_refused) {
    const auto x_to_zero = [](cudaStream_t stream) {
        void* x = nullptr;
        check_cuda(cudaMalloc(&x, 4), "allocate");
        return cudaMemsetAsync(x, 0, 4, stream);
    };
    ChildResult child = refusal([&] { return x_to_zero(nullptr); }, cudaErrorInvalidValue);
    BOOST_TEST(child.exit_code == 0);
    BOOST_TEST(child.says("default stream"), "says: " << child.text);
    child = refusal(
        [&] {
            cudaStream_t stream = nullptr;
            check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "create");
            check_cuda(cudaStreamDestroy(stream), "destroy");
            return x_to_zero(stream);
        },
        cudaErrorInvalidResourceHandle);
    BOOST_TEST(child.exit_code == 0);
    cudaStream_t blocking = nullptr;
    BOOST_TEST(cudaStreamCreateWithFlags(&blocking, cudaStreamDefault) == cudaErrorNotSupported);
    cudaGetLastError();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(memory)

BOOST_AUTO_TEST_CASE(limit_is_enforced_and_memory_comes_back) {
    const ChildResult child = run_in_child({"LADLE_STANDIN_MEMORY_BYTES=1048576"}, [] {
        void* most = nullptr;
        void* more = nullptr;
        for (int i = 0; i < 100; ++i) {
            check_cuda(cudaMalloc(&most, 1000000), "allocate");
            if (cudaMalloc(&more, 100000) != cudaErrorMemoryAllocation || more != nullptr) {
                return 1;
            }
            check_cuda(cudaFree(most), "free");
        }
        std::size_t free_bytes = 0;
        std::size_t total_bytes = 0;
        check_cuda(cudaMemGetInfo(&free_bytes, &total_bytes), "ask");
        cudaError_t code = cudaGetLastError();
        return free_bytes == 1048576 && total_bytes == 1048576 && code == cudaErrorMemoryAllocation &&
                       cudaGetLastError() == cudaSuccess
                   ? 0
                   : 2;
    });
    BOOST_TEST(child.exit_code == 0);
}

BOOST_AUTO_TEST_CASE(copies_check_their_ends) {
    TestStream stream;
    TestArray<int> x(8, 1);
    std::vector<int> host(16);
    const auto bytes = 8 * sizeof(int);
    BOOST_TEST(cudaMemcpyAsync(host.data(), x, bytes + 4, cudaMemcpyDeviceToHost, stream) == cudaErrorInvalidValue);
    BOOST_TEST(cudaMemcpyAsync(x, host.data(), bytes, cudaMemcpyDeviceToHost, stream) == cudaErrorInvalidValue);
    BOOST_TEST(cudaMemcpyAsync(host.data(), host.data() + 8, bytes, cudaMemcpyDeviceToDevice, stream) ==
               cudaErrorInvalidValue);
    BOOST_TEST(cudaMemsetAsync(x + 1, 0, bytes, stream) == cudaErrorInvalidValue);
    BOOST_TEST(cudaFree(x + 1) == cudaErrorInvalidValue);
    cudaGetLastError();
    check_cuda(cudaMemcpyAsync(host.data(), x, bytes, cudaMemcpyDefault, stream), "copy");
    check_cuda(cudaStreamSynchronize(stream), "wait");
    BOOST_TEST(host[7] == 1);
}

#ifndef __SANITIZE_ADDRESS__
BOOST_AUTO_TEST_CASE(host_access_to_device_memory_crashes_in_deferred_mode) {
    const ChildResult child = run_in_child({"SIMT_MODE=deferred"}, [] {
        TestStream stream;
        TestArray<int> x(8, 1);
        launch_independent(add, dim3(1), dim3(8), stream, x, 1);
        if (x.read(stream)[0] != 2) {
            return 1;
        }
        return x[0];
    });
    BOOST_TEST(child.signal == SIGSEGV);
    BOOST_TEST(child.says("host reads or writes device memory"), "says: " << child.text);
}
#endif

BOOST_AUTO_TEST_CASE(deferred_mode_keeps_the_order_of_events) {
    const ChildResult child = run_in_child({"SIMT_MODE=deferred"}, [] { return right_results(true, true) ? 0 : 1; });
    BOOST_TEST(child.exit_code == 0);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(device)

BOOST_AUTO_TEST_CASE(queries) {
    const ChildResult child =
        run_in_child({"LADLE_STANDIN_DEVICES=3", "LADLE_STANDIN_MEMORY_BYTES=1000448", "LADLE_STANDIN_NAME=test"}, [] {
            int count = 0;
            check_cuda(cudaGetDeviceCount(&count), "count");
            check_cuda(cudaSetDevice(2), "choose");
            int device = 0;
            check_cuda(cudaGetDevice(&device), "ask");
            cudaDeviceProp properties;
            check_cuda(cudaGetDeviceProperties(&properties, 2), "ask");
            char bus[2][16];
            check_cuda(cudaDeviceGetPCIBusId(bus[0], 16, 0), "ask");
            check_cuda(cudaDeviceGetPCIBusId(bus[1], 16, 1), "ask");
            const bool right = count == 3 && device == 2 && std::strcmp(properties.name, "test") == 0 &&
                               properties.totalGlobalMem == 1000448 && std::strcmp(bus[0], bus[1]) != 0 &&
                               cudaSetDevice(3) == cudaErrorInvalidDevice;
            return right ? 0 : 1;
        });
    BOOST_TEST(child.exit_code == 0);
    BOOST_TEST(child.says("NOT A GPU: CPU stand-in"));
    BOOST_TEST(!run_in_child({"LADLE_STANDIN_QUIET=1"}, [] {
                    return cudaSetDevice(0) == cudaSuccess ? 0 : 1;
                }).says("NOT A GPU"));
}

BOOST_AUTO_TEST_CASE(machines_without_driver_or_device) {
    const ChildResult no_driver = run_in_child({"LADLE_STANDIN_NO_DRIVER=1"}, [] {
        int count = 5;
        void* memory = nullptr;
        const bool right = cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver && count == 0 &&
                           cudaMalloc(&memory, 4) == cudaErrorInsufficientDriver;
        check_cuda(cudaSetDevice(0), "use the GPU");
        return right ? 0 : 1;
    });
    BOOST_TEST(no_driver.exit_code == 3);
    BOOST_TEST(no_driver.says("cannot use the GPU"), "says: " << no_driver.text);
    BOOST_TEST(no_driver.says("cudaErrorInsufficientDriver: CUDA driver version is insufficient"));
    BOOST_TEST(no_driver.says("train.device = cpu"));
    const ChildResult no_device = run_in_child({"LADLE_STANDIN_DEVICES=0"}, [] {
        int count = 5;
        return cudaGetDeviceCount(&count) == cudaErrorNoDevice ? 0 : 1;
    });
    BOOST_TEST(no_device.exit_code == 0);
}

BOOST_AUTO_TEST_SUITE_END()
