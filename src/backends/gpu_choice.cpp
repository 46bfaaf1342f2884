// The rule by which ranks choose GPUs.
#include "ladle/backends/gpu_choice.hpp"

#include <fmt/format.h>

#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

constexpr int kOldestMajor = 8;  // the first generation that multiplies bfloat16

}  // namespace

int choose_gpu(int local_rank, int local_size, const std::vector<VisibleGpu>& visible) {
    check(local_rank >= 0 && local_rank < local_size, "a rank has a place on its node");
    if (visible.empty()) {
        throw DeviceError("cannot use train.device = cuda", "no GPU is visible to this process",
                          "ask the job for GPUs (Slurm: --gpus-per-task=1) and look at CUDA_VISIBLE_DEVICES");
    }
    const auto count = static_cast<int>(visible.size());
    if (count > 1 && local_rank >= count) {
        throw DeviceError(
            fmt::format("no GPU is left for rank {} of this node", local_rank),
            fmt::format("the node runs {} ranks and shows {} GPUs, and each rank needs one of its own", local_size,
                        count),
            fmt::format("start {} ranks per node (Slurm: --ntasks-per-node={}), or ask for more GPUs", count, count));
    }
    const int chosen = count == 1 ? 0 : local_rank;
    const VisibleGpu& gpu = visible[static_cast<std::size_t>(chosen)];
    if (gpu.major < kOldestMajor) {
        throw DeviceError(fmt::format("cannot use GPU {} ({})", chosen, gpu.name),
                          fmt::format("its compute capability is {}.{}, and ladle needs {}.0 or newer", gpu.major,
                                      gpu.minor, kOldestMajor),
                          "use an A100, H100 or newer GPU, or set train.device = cpu");
    }
    return chosen;
}

void check_gpus_differ(const std::vector<std::string>& bus_ids) {
    for (std::size_t second = 1; second < bus_ids.size(); ++second) {
        for (std::size_t first = 0; first < second; ++first) {
            if (bus_ids[first] == bus_ids[second]) {
                throw DeviceError(
                    fmt::format("ranks {} and {} of this node use the same GPU", first, second),
                    fmt::format("both were shown the GPU at PCI bus {}", bus_ids[first]),
                    "give each rank a GPU of its own (Slurm: --gpus-per-task=1), or start fewer ranks per node");
            }
        }
    }
}

}  // namespace ladle
