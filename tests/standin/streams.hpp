// Streams, events and captured graphs as the stand-in keeps them.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <vector>

#include "standin.hpp"

namespace standin {

/// Operations captured from streams, each with the earlier ones it waits for.
struct Graph {
    struct Node {
        const char* name;
        Operation operation;
        std::vector<std::size_t> after;
    };
    std::vector<Node> nodes;
};

/// A capture from begin to end; streams and events that take part share it.
struct Capture {
    std::shared_ptr<Graph> graph = std::make_shared<Graph>();
    cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
    bool ended = false;
    bool spoiled = false;
};

struct Work {
    const char* name;
    Operation operation;
    std::chrono::steady_clock::time_point since;
    bool wakes_host;            // an event, for which a host may wait
    std::shared_ptr<char> tag;  // ThreadSanitizer: what the host did before it enqueued
};

struct Stream {
    std::deque<Work> queue;
    bool busy = false;
    std::shared_ptr<Capture> capture;  // null while not capturing
    std::vector<std::size_t> last;     // nodes that the next captured one waits for
    bool began_capture = false;
    void* tsan = nullptr;
    char done_tag = 0;
};

/// One recording of an event.
struct Mark {
    std::atomic<bool> done{false};
    std::chrono::steady_clock::time_point when;
    char tag = 0;
};

struct Event {
    bool timed = true;
    std::shared_ptr<Mark> mark;        // of the last recording, null before the first
    std::shared_ptr<Capture> capture;  // if that was in a capture
    std::vector<std::size_t> nodes;
};

/// The stream behind the handle, null for the default stream and for handles that no living stream has.
Stream* find_stream(cudaStream_t handle);
std::vector<Stream*> all_streams();
void add_stream(Stream* stream);
void remove_stream(Stream* stream);
bool is_done(const Stream& stream);
/// Waits until all work of the stream is done, and looks at the guard zones.
void wait_for_stream(Stream& stream);
/// Appends to the stream itself, whether it captures or not.
void enqueue_now(Stream& stream, const char* name, Operation operation, bool wakes_host = false);
/// Blocks the host until the condition holds. It is evaluated under the lock of the streams.
void wait_until(const std::function<bool()>& condition);
/// In deferred mode nothing runs between calls, so asking is a chance to run.
void give_a_chance();

}  // namespace standin
