// The doctor: what is ready on this machine or allocation, what is not, and how to mend it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/config/config.hpp"

namespace ladle {

enum class Health {
    good,
    note,     ///< nothing wrong, but worth knowing
    warning,  ///< works, with a cost
    failure,  ///< runs would fail
};

/// One finding: one line.
struct Finding {
    Health health = Health::good;
    std::string topic;  ///< e.g. "binding"
    std::string text;   ///< what was found
    std::string mend;   ///< what to do; empty where nothing is to be done
};

/// Where one rank computes.
struct RankCores {
    std::string host;
    int world_rank = 0;
    std::vector<int> cores;  ///< that its process may use, ascending
};

/// All findings, on rank 0; all ranks together. `directory` is where runs will be: files are made in it and removed.
/// Takes seconds; nothing is changed but that.
std::vector<Finding> examine(const Config& config, Communicator& comm, const std::string& directory);

/// Ranks of each host against the cores they may use and cpu.threads.
std::vector<Finding> check_binding(const std::vector<RankCores>& ranks, int threads);
/// Writing, fsync, rename and exclusive locks in a directory.
std::vector<Finding> check_files(const std::string& directory);
/// Free space and inodes of the file system of a directory.
std::vector<Finding> check_space(const std::string& directory);
/// Segments that MPI left in `shared_memory` (/dev/shm): those of this user that no process has mapped, as the files
/// `maps` under `processes` (/proc) tell.
std::vector<Finding> check_shared_memory(const std::string& shared_memory, const std::string& processes);
/// GPUs, as the driver's directory (/proc/driver/nvidia/gpus) tells.
std::vector<Finding> check_gpus(const std::string& driver_directory);
/// Products of the layer sizes of common encoders: a row's bits must not depend on its place.
std::vector<Finding> check_products(const Config& config);

/// "warning  binding: ... -> mend", one line per finding, and a line that counts them.
std::string findings_text(const std::vector<Finding>& findings);
/// {"schema", "schema_version", "findings": [{"health", "topic", "text", "mend"}]}
std::string findings_json(const std::vector<Finding>& findings);

}  // namespace ladle
