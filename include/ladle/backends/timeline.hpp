// Names on the time line of NVIDIA's profilers.
#pragma once

namespace ladle {

/// Names what the calling thread does while this lives, for Nsight Systems and its like (NVTX). Ranges may lie inside
/// each other. Costs next to nothing without a profiler; nothing happens in builds without CUDA.
class TimelineRange {
public:
    /// `name` is shown as it is; it need not outlive the call.
    explicit TimelineRange(const char* name);
    ~TimelineRange();
    TimelineRange(const TimelineRange&) = delete;
    TimelineRange& operator=(const TimelineRange&) = delete;
};

}  // namespace ladle
