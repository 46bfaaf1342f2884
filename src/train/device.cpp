// One GPU per rank, or the processor.
#include "device.hpp"

#include <map>
#include <string>
#include <vector>

#include "ladle/backends/gpu_choice.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

/// Throws on every rank if two ranks of a node chose the same GPU.
void check_gpus_differ(Communicator& comm, const std::string& bus_id) {
    const std::string all = comm.gather(comm.place().host + '\0' + bus_id + '\0');
    std::map<std::string, std::vector<std::string>> chosen;
    for (std::size_t begin = 0; begin < all.size();) {
        const std::size_t middle = all.find('\0', begin);
        const std::size_t end = all.find('\0', middle + 1);
        chosen[all.substr(begin, middle - begin)].push_back(all.substr(middle + 1, end - middle - 1));
        begin = end + 1;
    }
    for (const auto& [host, bus_ids] : chosen) {
        ladle::check_gpus_differ(bus_ids);
    }
    comm.barrier();
}

}  // namespace

Precision precision_of(const Config& config) {
    return config.model.precision == "bf16" ? Precision::bf16 : Precision::fp32;
}

std::unique_ptr<Kernels<float>> make_kernels(const Config& config, Communicator& comm) {
    if (config.train.device == "cpu") {
        return make_cpu_kernels(config.cpu.isa, precision_of(config));
    }
    const std::vector<VisibleGpu> visible = visible_gpus();
    const int chosen = choose_gpu(comm.place().local_rank, comm.place().local_size, visible);
    check_gpus_differ(comm, visible.at(static_cast<std::size_t>(chosen)).bus_id);
    return make_cuda_kernels(chosen);
}

}  // namespace ladle
