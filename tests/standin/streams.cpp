// The calls of the CUDA runtime on streams and events.
#include "streams.hpp"

#include <algorithm>

namespace standin {
namespace {

/// Behind cudaMemcpy and cudaMemset: as CUDA's default stream it waits for no non-blocking stream, nor they for it.
Stream& default_stream() {
    static Stream* stream = [] {
        auto* fresh = new Stream;
        add_stream(fresh);
        return fresh;
    }();
    return *stream;
}

Stream* unchecked(cudaStream_t handle) {
    return reinterpret_cast<Stream*>(handle);
}
Event* unchecked(cudaEvent_t handle) {
    return reinterpret_cast<Event*>(handle);
}

cudaError_t check_not_capturing(cudaStream_t handle, const char* call) {
    Stream* stream = find_stream(handle);
    if (stream != nullptr && stream->capture != nullptr) {
        stream->capture->spoiled = true;
        return refuse(cudaErrorStreamCaptureUnsupported, std::string(call) + " of a stream that captures");
    }
    return cudaSuccess;
}

/// A host may ask about or wait for an event only if its last recording was not captured.
cudaError_t check_event(const Event* event, const char* call) {
    if (const cudaError_t code = status(); code != cudaSuccess) {
        return result(code);
    }
    if (event == nullptr) {
        return refuse(cudaErrorInvalidResourceHandle, std::string(call) + ": no event");
    }
    if (event->capture != nullptr) {
        return refuse(cudaErrorCapturedEvent, std::string(call) + ": the event was last recorded in a capture");
    }
    return cudaSuccess;
}

/// Makes the stream's next captured work wait for the event; a stream that does not capture yet joins the capture.
cudaError_t wait_in_capture(Stream& stream, const Event& event) {
    if (event.capture == nullptr) {
        stream.capture->spoiled = true;
        return refuse(cudaErrorStreamCaptureIsolation,
                      "cudaStreamWaitEvent: a capturing stream waits for an event recorded outside its capture");
    }
    if (event.capture->ended) {
        return refuse(cudaErrorCapturedEvent, "cudaStreamWaitEvent: the event belongs to a capture that has ended");
    }
    if (stream.capture != nullptr && stream.capture != event.capture) {
        stream.capture->spoiled = true;
        return refuse(cudaErrorStreamCaptureMerge, "cudaStreamWaitEvent would merge two captures");
    }
    if (stream.capture == nullptr) {
        stream.capture = event.capture;
        stream.last.clear();
    }
    stream.last.insert(stream.last.end(), event.nodes.begin(), event.nodes.end());
    return cudaSuccess;
}

}  // namespace

Stream* find_stream(cudaStream_t handle) {
    if (handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread) {
        return nullptr;
    }
    const std::vector<Stream*> streams = all_streams();
    const auto found = std::find(streams.begin(), streams.end(), unchecked(handle));
    return found != streams.end() ? *found : nullptr;
}

cudaError_t check_stream(cudaStream_t handle, const char* call) {
    if (const cudaError_t code = status(); code != cudaSuccess) {
        return result(code);
    }
    if (handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread) {
        return refuse(
            cudaErrorInvalidValue,
            std::string(call) + " on the default stream: it waits for no non-blocking stream, use one of those");
    }
    if (find_stream(handle) == nullptr) {
        return refuse(cudaErrorInvalidResourceHandle, std::string(call) + " on a stream that does not exist");
    }
    return cudaSuccess;
}

bool is_capturing(cudaStream_t handle) {
    const Stream* stream = find_stream(handle);
    return stream != nullptr && stream->capture != nullptr;
}

bool forbidden_while_capturing(const char* call) {
    for (Stream* stream : all_streams()) {
        if (stream->capture != nullptr && stream->capture->mode != cudaStreamCaptureModeRelaxed) {
            stream->capture->spoiled = true;
            report(std::string(call) + " while a stream captures");
            return true;
        }
    }
    return false;
}

void enqueue(cudaStream_t handle, const char* name, Operation operation) {
    Stream& stream = *find_stream(handle);
    if (stream.capture == nullptr) {
        enqueue_now(stream, name, std::move(operation));
        return;
    }
    Graph& graph = *stream.capture->graph;
    graph.nodes.push_back({name, std::move(operation), stream.last});
    stream.last = {graph.nodes.size() - 1};
}

void enqueue_default(const char* name, Operation operation) {
    enqueue_now(default_stream(), name, std::move(operation));
}

void wait_for_default_stream() {
    wait_for_stream(default_stream());
}

}  // namespace standin

using namespace standin;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned flags) {
    if (const cudaError_t code = status(); code != cudaSuccess) {
        return result(code);
    }
    if (flags != cudaStreamNonBlocking) {
        return refuse(cudaErrorNotSupported, "a stream that waits for the default stream: only cudaStreamNonBlocking");
    }
    auto* stream = new Stream;
    add_stream(stream);
    *handle = reinterpret_cast<cudaStream_t>(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    if (const cudaError_t code = check_stream(handle, "cudaStreamDestroy"); code != cudaSuccess) {
        return code;
    }
    if (const cudaError_t code = check_not_capturing(handle, "cudaStreamDestroy"); code != cudaSuccess) {
        return code;
    }
    Stream* stream = unchecked(handle);
    wait_for_stream(*stream);
    remove_stream(stream);
    STANDIN_TSAN(return cudaSuccess;)  // keeps the tag
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    if (const cudaError_t code = check_stream(handle, "cudaStreamSynchronize"); code != cudaSuccess) {
        return code;
    }
    if (const cudaError_t code = check_not_capturing(handle, "cudaStreamSynchronize"); code != cudaSuccess) {
        return code;
    }
    wait_for_stream(*unchecked(handle));
    return result(status());
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
    if (const cudaError_t code = check_stream(handle, "cudaStreamQuery"); code != cudaSuccess) {
        return code;
    }
    if (const cudaError_t code = check_not_capturing(handle, "cudaStreamQuery"); code != cudaSuccess) {
        return code;
    }
    give_a_chance();
    if (!is_done(*unchecked(handle))) {
        return cudaErrorNotReady;
    }
    STANDIN_TSAN(__tsan_acquire(&unchecked(handle)->done_tag);)
    return result(status());
}

cudaError_t cudaDeviceSynchronize() {
    if (const cudaError_t code = status(); code != cudaSuccess) {
        return result(code);
    }
    if (forbidden_while_capturing("cudaDeviceSynchronize")) {
        return result(cudaErrorStreamCaptureUnsupported);
    }
    wait_for_all_streams();
    return result(status());
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned flags) {
    if (const cudaError_t code = status(); code != cudaSuccess) {
        return result(code);
    }
    if ((flags & ~static_cast<unsigned>(cudaEventDisableTiming | cudaEventBlockingSync)) != 0) {
        return refuse(cudaErrorNotSupported,
                      "cudaEventCreateWithFlags: flags other than disable timing, blocking sync");
    }
    auto* event = new Event;
    event->timed = (flags & cudaEventDisableTiming) == 0;
    *handle = reinterpret_cast<cudaEvent_t>(event);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* handle) {
    return cudaEventCreateWithFlags(handle, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
    if (handle == nullptr) {
        return refuse(cudaErrorInvalidResourceHandle, "cudaEventDestroy: no event");
    }
    delete unchecked(handle);
    return result(status());
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
    if (const cudaError_t code = check_stream(stream_handle, "cudaEventRecord"); code != cudaSuccess) {
        return code;
    }
    if (handle == nullptr) {
        return refuse(cudaErrorInvalidResourceHandle, "cudaEventRecord: no event");
    }
    Event& event = *unchecked(handle);
    Stream& stream = *unchecked(stream_handle);
    event.capture = stream.capture;
    event.nodes = stream.last;
    if (stream.capture != nullptr) {
        return cudaSuccess;
    }
    event.mark = std::make_shared<Mark>();
    const auto record = [mark = event.mark] {
#ifdef LADLE_STANDIN_TSAN
        __tsan_release(&mark->tag);  // and no clock: streams share the worker's stack, which would be reported
#else
        mark->when = std::chrono::steady_clock::now();
#endif
        mark->done = true;
        return Progress::done;
    };
    enqueue_now(stream, "cudaEventRecord", record, true);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream_handle, cudaEvent_t handle, unsigned flags) {
    if (const cudaError_t code = check_stream(stream_handle, "cudaStreamWaitEvent"); code != cudaSuccess) {
        return code;
    }
    if (handle == nullptr || flags != 0) {
        return refuse(cudaErrorInvalidValue, "cudaStreamWaitEvent: no event, or flags that are not modelled");
    }
    const Event& event = *unchecked(handle);
    Stream& stream = *unchecked(stream_handle);
    if (event.capture != nullptr || stream.capture != nullptr) {
        return wait_in_capture(stream, event);
    }
    if (event.mark == nullptr) {
        return cudaSuccess;  // as in CUDA: an event never recorded is no obstacle
    }
    const auto wait = [mark = event.mark] {
        if (!mark->done) {
            return Progress::waiting;
        }
        STANDIN_TSAN(__tsan_acquire(&mark->tag);)
        return Progress::done;
    };
    enqueue_now(stream, "cudaStreamWaitEvent", wait);
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
    const Event* event = unchecked(handle);
    if (const cudaError_t code = check_event(event, "cudaEventSynchronize"); code != cudaSuccess) {
        return code;
    }
    if (const std::shared_ptr<Mark> mark = event->mark; mark != nullptr) {
        wait_until([&] { return mark->done.load(); });
        STANDIN_TSAN(__tsan_acquire(&mark->tag);)
    }
    return result(status());
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
    const Event* event = unchecked(handle);
    if (const cudaError_t code = check_event(event, "cudaEventQuery"); code != cudaSuccess) {
        return code;
    }
    if (event->mark == nullptr) {
        return cudaSuccess;
    }
    give_a_chance();
    if (!event->mark->done) {
        return cudaErrorNotReady;
    }
    STANDIN_TSAN(__tsan_acquire(&event->mark->tag);)
    return result(status());
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop) {
    for (const cudaEvent_t handle : {start, stop}) {
        const Event* event = unchecked(handle);
        if (const cudaError_t code = check_event(event, "cudaEventElapsedTime"); code != cudaSuccess) {
            return code;
        }
        if (!event->timed || event->mark == nullptr) {
            return refuse(cudaErrorInvalidResourceHandle,
                          "cudaEventElapsedTime: timing is off or nothing was recorded");
        }
        if (!event->mark->done) {
            return cudaErrorNotReady;
        }
    }
    const auto elapsed = unchecked(stop)->mark->when - unchecked(start)->mark->when;
    *milliseconds = std::chrono::duration<float, std::milli>(elapsed).count();
    return result(status());
}

}  // extern "C"
