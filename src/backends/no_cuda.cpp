// What a build without CUDA answers when a GPU is asked for, and does where one would be used.
#include "ladle/backends/gpu_choice.hpp"
#include "ladle/backends/gpu_peak.hpp"
#include "ladle/backends/kernels.hpp"
#include "ladle/backends/timeline.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

[[noreturn]] void refuse() {
    throw DeviceError("cannot use train.device = cuda", "this build of ladle has no CUDA",
                      "configure with -DLADLE_GPU=cuda and build again, or set train.device = cpu");
}

}  // namespace

std::vector<VisibleGpu> visible_gpus() {
    refuse();
}

std::unique_ptr<Kernels<float>> make_cuda_kernels(int /*gpu*/) {
    refuse();
}

GpuPeak gpu_peak(int /*gpu*/, Precision /*precision*/) {
    refuse();
}

std::int64_t gpu_bytes_in_use(int /*gpu*/) {
    refuse();
}

TimelineRange::TimelineRange(const char* /*name*/) {}

TimelineRange::~TimelineRange() = default;

}  // namespace ladle
