// Stream capture and graphs. A replay runs the captured operations in a random order that keeps their dependencies.
#include <cuda_runtime_api.h>

#include <algorithm>

#include "streams.hpp"

namespace standin {
namespace {

/// Nodes that the given ones wait for, directly or not, and themselves.
std::vector<bool> reachable(const Graph& graph, std::vector<std::size_t> pending) {
    std::vector<bool> seen(graph.nodes.size(), false);
    while (!pending.empty()) {
        const std::size_t node = pending.back();
        pending.pop_back();
        if (!seen[node]) {
            seen[node] = true;
            pending.insert(pending.end(), graph.nodes[node].after.begin(), graph.nodes[node].after.end());
        }
    }
    return seen;
}

/// One launch of a graph.
class Replay {
public:
    Replay(std::shared_ptr<const Graph> graph, std::uint64_t seed)
        : graph_(std::move(graph)), done_(graph_->nodes.size(), false), random_(seed) {}

    Progress advance() {
        for (;;) {
            std::vector<std::size_t> ready = ready_nodes();
            if (ready.empty()) {
                return Progress::done;
            }
            random_.shuffle(ready.data(), ready.size());
            const Progress progress = run_one(ready);
            if (progress != Progress::done) {
                return progress;
            }
        }
    }

private:
    std::vector<std::size_t> ready_nodes() const {
        std::vector<std::size_t> ready;
        for (std::size_t i = 0; i < done_.size(); ++i) {
            const auto& after = graph_->nodes[i].after;
            if (!done_[i] && std::all_of(after.begin(), after.end(), [&](std::size_t node) { return done_[node]; })) {
                ready.push_back(i);
            }
        }
        return ready;
    }

    Progress run_one(const std::vector<std::size_t>& ready) {
        Progress blocked = Progress::waiting;
        for (const std::size_t node : ready) {
            const Progress progress = graph_->nodes[node].operation();
            if (progress == Progress::done) {
                done_[node] = true;
                note_progress();
                return Progress::done;
            }
            blocked = progress == Progress::elsewhere ? progress : blocked;
        }
        return blocked;
    }

    std::shared_ptr<const Graph> graph_;
    std::vector<bool> done_;
    Random random_;
};

using GraphHandle = std::shared_ptr<Graph>;

}  // namespace
}  // namespace standin

using namespace standin;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
    if (const cudaError_t code = check_stream(handle, "cudaStreamBeginCapture"); code != cudaSuccess) {
        return code;
    }
    Stream& stream = *find_stream(handle);
    if (stream.capture != nullptr) {
        return refuse(cudaErrorIllegalState, "cudaStreamBeginCapture: the stream captures already");
    }
    stream.capture = std::make_shared<Capture>();
    stream.capture->mode = mode;
    stream.began_capture = true;
    stream.last.clear();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
    if (const cudaError_t code = check_stream(handle, "cudaStreamEndCapture"); code != cudaSuccess) {
        return code;
    }
    *graph = nullptr;
    Stream& origin = *find_stream(handle);
    const std::shared_ptr<Capture> capture = origin.capture;
    if (capture == nullptr) {
        return refuse(cudaErrorIllegalState, "cudaStreamEndCapture: the stream does not capture");
    }
    if (!origin.began_capture) {
        return refuse(cudaErrorStreamCaptureUnmatched, "cudaStreamEndCapture: another stream began this capture");
    }
    const std::vector<bool> joined = reachable(*capture->graph, origin.last);
    capture->ended = true;
    for (Stream* stream : all_streams()) {
        if (stream->capture == capture) {
            stream->capture = nullptr;
            stream->began_capture = false;
            stream->last.clear();
        }
    }
    if (capture->spoiled) {
        return refuse(cudaErrorStreamCaptureInvalidated, "cudaStreamEndCapture: a forbidden call spoiled the capture");
    }
    const auto lost = std::find(joined.begin(), joined.end(), false);
    if (lost != joined.end()) {
        const auto index = static_cast<std::size_t>(lost - joined.begin());
        return refuse(cudaErrorStreamCaptureUnjoined,
                      std::string("cudaStreamEndCapture: the stream that began does not wait for captured work: ") +
                          capture->graph->nodes[index].name);
    }
    *graph = reinterpret_cast<cudaGraph_t>(new GraphHandle(capture->graph));
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* capture_status) {
    if (const cudaError_t code = check_stream(handle, "cudaStreamIsCapturing"); code != cudaSuccess) {
        return code;
    }
    const Stream& stream = *find_stream(handle);
    *capture_status = stream.capture == nullptr ? cudaStreamCaptureStatusNone
                      : stream.capture->spoiled ? cudaStreamCaptureStatusInvalidated
                                                : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags) {
    if (const cudaError_t code = status(); code != cudaSuccess) {
        return result(code);
    }
    if (graph == nullptr || flags != 0) {
        return refuse(cudaErrorInvalidValue, "cudaGraphInstantiate: no graph, or flags that are not modelled");
    }
    *executable = reinterpret_cast<cudaGraphExec_t>(new GraphHandle(*reinterpret_cast<GraphHandle*>(graph)));
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
    if (const cudaError_t code = check_stream(handle, "cudaGraphLaunch"); code != cudaSuccess) {
        return code;
    }
    if (executable == nullptr) {
        return refuse(cudaErrorInvalidValue, "cudaGraphLaunch: no graph");
    }
    if (is_capturing(handle)) {
        return refuse(cudaErrorNotSupported, "cudaGraphLaunch in a stream that captures is not modelled");
    }
    static std::atomic<std::uint64_t> launches{0};
    const std::uint64_t seed = options().seed + 1000 * ++launches;
    auto replay = std::make_shared<Replay>(*reinterpret_cast<GraphHandle*>(executable), seed);
    enqueue(handle, "a graph", [replay] { return replay->advance(); });
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete reinterpret_cast<GraphHandle*>(graph);
    return result(status());
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    delete reinterpret_cast<GraphHandle*>(executable);
    return result(status());
}

}  // extern "C"
