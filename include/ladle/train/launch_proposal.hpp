// How many ranks and threads suit a machine.
#pragma once

#include <string>

namespace ladle {

/// What of a node's processors matters for the split.
struct NodeShape {
    int cores = 1;         ///< physical ones that are online
    int numa_domains = 1;  ///< groups of cores with memory of their own
};

/// Of the node this process runs on; one core in one domain where the system does not say.
NodeShape node_shape();

struct LaunchProposal {
    int ranks = 1;  ///< on this node
    int threads = 1;
    std::string why;
};

/// One rank per core up to a handful, else one per NUMA domain with threads, but no more ranks than `most_ranks`, the
/// number of leaves of a batch.
LaunchProposal propose_launch(const NodeShape& node, int most_ranks);

/// One line: the node, the proposal, why.
std::string launch_line(const NodeShape& node, const LaunchProposal& proposal);

}  // namespace ladle
