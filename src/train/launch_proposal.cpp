// Ranks and threads for a node.
#include "ladle/train/launch_proposal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

namespace ladle {
namespace {

// Ranks need no barriers among them but each has arenas, data and optimizer state of its own.
constexpr int kHandful = 8;

std::string counted(int count, const std::string& unit) {
    return fmt::format("{} {}{}", count, unit, count == 1 ? "" : "s");
}

}  // namespace

NodeShape node_shape() {
    namespace fs = std::filesystem;
    std::set<std::string> cores;
    int domains = 0;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator("/sys/devices/system/cpu", error)) {
        // The processors of one core name the same siblings; those that are offline name none.
        std::ifstream file(entry.path() / "topology" / "thread_siblings_list");
        std::string siblings;
        if (std::getline(file, siblings)) {
            cores.insert(siblings);
        }
    }
    for (const auto& entry : fs::directory_iterator("/sys/devices/system/node", error)) {
        std::ifstream file(entry.path() / "cpulist");
        std::string processors;
        domains += std::getline(file, processors) && !processors.empty() ? 1 : 0;
    }
    return {std::max(1, static_cast<int>(cores.size())), std::max(1, domains)};
}

LaunchProposal propose_launch(const NodeShape& node, int most_ranks) {
    if (node.cores <= kHandful && node.cores <= most_ranks) {
        return {node.cores, 1, "one rank per core: ranks wait for each other once a step, threads at every batch"};
    }
    const int ranks = std::min(node.cores <= kHandful ? node.cores : node.numa_domains, most_ranks);
    const std::string why = ranks == most_ranks ? "a batch has no more leaves"
                                                : "one rank per NUMA domain: more would each hold a copy of data, "
                                                  "activations and optimizer state";
    return {ranks, std::max(1, node.cores / ranks), why};
}

std::string launch_line(const NodeShape& node, const LaunchProposal& proposal) {
    return fmt::format("this node has {} in {}; proposed: {} of {} ({})\n", counted(node.cores, "core"),
                       counted(node.numa_domains, "NUMA domain"), counted(proposal.ranks, "rank"),
                       counted(proposal.threads, "thread"), proposal.why);
}

}  // namespace ladle
