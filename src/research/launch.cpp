// Starting runs on a machine or inside a Slurm allocation.
#include "ladle/research/launch.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <sstream>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

std::string variable(const char* name) {
    const char* text = std::getenv(name);
    return text == nullptr ? "" : text;
}

std::vector<std::string> split_blanks(const std::string& text) {
    std::istringstream stream(text);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) {
        words.push_back(word);
    }
    return words;
}

int whole_number(std::string_view text) {
    int value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    return failure == std::errc() && end == text.data() + text.size() && value > 0 ? value : 0;
}

/// "16(x2),8": two nodes of 16 and one of 8.
Place allocation_place(const std::string& cpus_per_node) {
    Place place{true, 0, 0};
    std::istringstream parts(cpus_per_node);
    for (std::string part; std::getline(parts, part, ',');) {
        const std::size_t open = part.find("(x");
        const bool repeated = open != std::string::npos && part.ends_with(')');
        const int cores = whole_number(std::string_view(part).substr(0, open));
        const int nodes = repeated ? whole_number(std::string_view(part).substr(open + 2, part.size() - open - 3)) : 1;
        if (cores == 0 || nodes == 0) {
            throw DeviceError(fmt::format("SLURM_JOB_CPUS_PER_NODE is \"{}\"", cpus_per_node), "it is not understood",
                              "give --parallel and --ranks, and unset SLURM_JOB_ID to start runs as on one machine");
        }
        place.cores_per_node = place.nodes == 0 ? cores : std::min(place.cores_per_node, cores);
        place.nodes += nodes;
    }
    return place;
}

}  // namespace

Place find_place() {
    const std::string cpus_per_node = variable("SLURM_JOB_CPUS_PER_NODE");
    if (!variable("SLURM_JOB_ID").empty() && !cpus_per_node.empty()) {
        return allocation_place(cpus_per_node);
    }
    cpu_set_t mine;
    CPU_ZERO(&mine);
    const int cores = sched_getaffinity(0, sizeof(mine), &mine) == 0 ? CPU_COUNT(&mine) : 1;
    return {false, 1, std::max(1, cores)};
}

int recommended_ranks(int runs, const Place& place, int threads, int batch, int leaf) {
    const int share = place.cores() / (std::max(1, runs) * threads);
    const int most = std::min((batch + leaf - 1) / leaf, place.cores_per_node / threads);
    return std::clamp(share, 1, std::max(1, most));
}

int runs_at_once(const Place& place, const RunSize& size) {
    const int cores = size.ranks * size.threads;
    // A run that fits one node stays on one.
    const int at_once =
        cores <= place.cores_per_node ? place.nodes * (place.cores_per_node / cores) : place.cores() / cores;
    return std::max(1, at_once);
}

std::vector<std::string> launch_words(const Place& place, const RunSize& size, const std::string& custom) {
    if (!custom.empty()) {
        std::vector<std::string> words = split_blanks(custom);
        for (std::string& word : words) {
            if (const std::size_t at = word.find("{ranks}"); at != std::string::npos) {
                word.replace(at, std::string("{ranks}").size(), std::to_string(size.ranks));
            }
        }
        return words;
    }
    if (place.allocation) {
        const int cores = size.ranks * size.threads;
        const int nodes = (cores + place.cores_per_node - 1) / place.cores_per_node;
        // --mem=0: steps share the job's memory; else the first one would hold all of it and the others wait.
        return {"srun",
                "--mpi=pmix",
                "--exact",
                "--mem=0",
                "--kill-on-bad-exit=1",
                fmt::format("--nodes={}", nodes),
                fmt::format("--ntasks={}", size.ranks),
                fmt::format("--cpus-per-task={}", size.threads)};
    }
    return size.ranks == 1 ? std::vector<std::string>{}
                           : std::vector<std::string>{"mpirun", "-n", std::to_string(size.ranks)};
}

std::vector<std::string> batch_launch_words(const std::string& custom) {
    return custom.empty() ? std::vector<std::string>{"srun", "--mpi=pmix", "--kill-on-bad-exit=1"}
                          : split_blanks(custom);
}

std::string node_name() {
    if (const std::string name = variable("SLURMD_NODENAME"); !name.empty()) {
        return name;
    }
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    return host.data();
}

std::string slurm_job() {
    const std::string array = variable("SLURM_ARRAY_JOB_ID");
    return array.empty() ? variable("SLURM_JOB_ID") : array + "_" + variable("SLURM_ARRAY_TASK_ID");
}

}  // namespace ladle
