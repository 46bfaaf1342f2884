// Which GPU a rank uses. The rule is a function of what a rank sees, so that it can be tested without a GPU.
#pragma once

#include <string>
#include <vector>

namespace ladle {

/// One GPU that this process may use.
struct VisibleGpu {
    std::string name;
    int major = 0;  ///< compute capability
    int minor = 0;
    std::string bus_id;  ///< PCI bus id: names the physical GPU on its node
};

/// The GPUs that this process may use, in the driver's order. Throws DeviceError without a driver or a GPU, and in a
/// build without CUDA.
std::vector<VisibleGpu> visible_gpus();

/// The number of the GPU that a rank uses: the only one it is shown, else the one with the rank's number on its node.
/// Throws DeviceError where there are too few, or where the chosen one is too old.
int choose_gpu(int local_rank, int local_size, const std::vector<VisibleGpu>& visible);

/// `bus_ids`: of the GPU chosen by each rank of one node, by local rank. Throws DeviceError if two ranks share one.
void check_gpus_differ(const std::vector<std::string>& bus_ids);

}  // namespace ladle
