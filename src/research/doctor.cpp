// Findings about ranks, cores, MPI and products, and their text.
#include "ladle/research/doctor.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "ladle/backends/kernels.hpp"
#include "ladle/core/build_info.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/processor.hpp"
#include "ladle/io/files.hpp"

namespace ladle {
namespace {

const char* health_name(Health health) {
    switch (health) {
        case Health::good:
            return "ok";
        case Health::note:
            return "note";
        case Health::warning:
            return "warning";
        case Health::failure:
            return "failure";
    }
    return "";
}

std::vector<int> own_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<int> cores;
    if (::sched_getaffinity(0, sizeof(set), &set) == 0) {
        for (int core = 0; core < CPU_SETSIZE; ++core) {
            if (CPU_ISSET(core, &set)) {
                cores.push_back(core);
            }
        }
    }
    return cores;
}

/// "0-3,8" for 0 1 2 3 8.
std::string core_list(const std::vector<int>& cores) {
    std::string text;
    for (std::size_t i = 0; i < cores.size();) {
        std::size_t end = i;
        while (end + 1 < cores.size() && cores[end + 1] == cores[end] + 1) {
            ++end;
        }
        text += fmt::format("{}{}", text.empty() ? "" : ",", cores[i]);
        text += end > i ? fmt::format("-{}", cores[end]) : "";
        i = end + 1;
    }
    return text;
}

std::vector<RankCores> gather_cores(Communicator& comm) {
    std::stringstream all(
        comm.gather(fmt::format("{} {} {}\n", comm.place().host, comm.world_rank(), fmt::join(own_cores(), " "))));
    std::vector<RankCores> ranks;
    for (std::string line; std::getline(all, line);) {
        std::stringstream words(line);
        RankCores rank;
        words >> rank.host >> rank.world_rank;
        for (int core = 0; words >> core;) {
            rank.cores.push_back(core);
        }
        ranks.push_back(std::move(rank));
    }
    return ranks;
}

std::vector<Finding> check_mpi(Communicator& comm) {
    std::int64_t sum = comm.world_rank() + 1;
    comm.all_reduce_sum(&sum, 1);
    const std::int64_t ranks = comm.world_size();
    std::vector<Finding> findings;
    if (sum == ranks * (ranks + 1) / 2) {
        findings.push_back(
            {Health::good, "MPI",
             fmt::format("{}; {} rank{}, a sum over them is right", mpi_library(), ranks, ranks == 1 ? "" : "s"), ""});
    } else {
        findings.push_back({Health::failure, "MPI", "a sum over all ranks is wrong",
                            "start all ranks with the mpirun of the MPI library that ladle was built with"});
    }
    const bool pmix = std::getenv("PMIX_RANK") != nullptr || std::getenv("PMIX_NAMESPACE") != nullptr;
    const bool slurm_step = std::getenv("SLURM_STEP_ID") != nullptr && std::getenv("SLURM_PROCID") != nullptr;
    // MPI sets variables of PMIx also in a process that no launcher started.
    if (pmix && (slurm_step || ranks > 1 || !launch_environment().variable.empty())) {
        findings.push_back({Health::good, "PMIx", "the launcher provides PMIx", ""});
    } else if (slurm_step && ranks > 1) {
        findings.push_back({Health::note, "PMIx", "this job step has ranks without PMIx", "prefer srun --mpi=pmix"});
    } else if (slurm_step) {
        findings.push_back({Health::note, "PMIx", "this job step has one rank and no PMIx",
                            "for more ranks use srun --mpi=pmix, or mpirun inside the allocation"});
    } else {
        findings.push_back({Health::note, "PMIx", "one rank, started without a launcher",
                            "mpirun -n N ladle doctor examines N ranks"});
    }
    return findings;
}

Finding check_processor(const Config& config) {
    const std::string kind = processor_kind();
    try {
        const std::string kernels = make_cpu_kernels(config.cpu.isa, Precision::fp32)->description();
        try {
            make_cpu_kernels(config.cpu.isa, Precision::bf16);
        } catch (const Error&) {
            return {Health::note, "processor", fmt::format("{}; {}; no bf16 products", kind, kernels),
                    "leave model.precision at fp32 here"};
        }
        return {Health::good, "processor", fmt::format("{}; {}; bf16 products in hardware", kind, kernels), ""};
    } catch (const Error& error) {
        return {Health::failure, "processor", kind + ": " + error.what(), "choose another cpu.isa"};
    }
}

/// A file of rank 0 must be seen by ranks on other hosts.
std::vector<Finding> check_common_directory(Communicator& comm, const std::string& directory) {
    const std::string path = directory + "/.ladle-doctor-common";
    std::int64_t blind = 0;
    if (comm.is_root()) {
        try {
            write_file(path, "ladle doctor\n");
        } catch (const Error&) {
            // check_files says why.
        }
    }
    comm.barrier();
    blind = file_exists(path) ? 0 : 1;
    comm.all_reduce_sum(&blind, 1);
    comm.barrier();
    if (comm.is_root()) {
        std::remove(path.c_str());
    }
    if (comm.world_size() == 1 || blind == comm.world_size()) {
        return {};
    }
    if (blind > 0) {
        return {{Health::failure, "directory",
                 fmt::format("{} of {} ranks do not see a file that rank 0 wrote in {}", blind, comm.world_size(),
                             directory),
                 "use a directory on a file system that all nodes share"}};
    }
    return {{Health::good, "directory", "all ranks see " + directory, ""}};
}

void append(std::vector<Finding>& findings, std::vector<Finding> more) {
    findings.insert(findings.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace

std::vector<Finding> check_binding(const std::vector<RankCores>& ranks, int threads) {
    std::map<std::string, std::vector<const RankCores*>> hosts;
    for (const RankCores& rank : ranks) {
        hosts[rank.host].push_back(&rank);
    }
    std::vector<Finding> findings;
    for (const auto& [host, members] : hosts) {
        std::set<int> cores;
        bool shared = false;
        std::size_t fewest = members.front()->cores.size();
        for (const RankCores* member : members) {
            shared = shared || std::any_of(member->cores.begin(), member->cores.end(),
                                           [&](int core) { return cores.contains(core); });
            cores.insert(member->cores.begin(), member->cores.end());
            fewest = std::min(fewest, member->cores.size());
        }
        const std::size_t wanted = members.size() * static_cast<std::size_t>(threads);
        const std::string placed =
            fmt::format("{}: {} rank{} with {} thread{} each on {} core{} ({})", host, members.size(),
                        members.size() == 1 ? "" : "s", threads, threads == 1 ? "" : "s", cores.size(),
                        cores.size() == 1 ? "" : "s", core_list({cores.begin(), cores.end()}));
        if (wanted > cores.size()) {
            findings.push_back({Health::warning, "binding", placed + ": more threads than cores",
                                "start fewer ranks, or lower cpu.threads"});
        } else if (fewest < static_cast<std::size_t>(threads)) {
            findings.push_back(
                {Health::warning, "binding", fmt::format("{}: a rank may use only {} of them", placed, fewest),
                 fmt::format("mpirun --map-by slot:PE={}, or srun --cpus-per-task={}", threads, threads)});
        } else if (shared && members.size() > 1) {
            findings.push_back({Health::note, "binding", placed + ": ranks share cores and may move",
                                fmt::format("mpirun --map-by slot:PE={} --bind-to core", threads)});
        } else {
            findings.push_back({Health::good, "binding", placed, ""});
        }
    }
    return findings;
}

std::vector<Finding> check_products(const Config& config) {
    std::vector<Finding> findings;
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
        const char* name = precision == Precision::fp32 ? "fp32" : "bf16";
        std::unique_ptr<Kernels<float>> kernels;
        try {
            kernels = make_cpu_kernels(config.cpu.isa, precision);
        } catch (const Error&) {
            continue;  // the processor's own finding says so
        }
        try {
            for (const int hidden : {384, 768, 1024}) {
                for (const auto& [out, in] : {std::pair{hidden, hidden}, {4 * hidden, hidden}, {hidden, 4 * hidden}}) {
                    kernels->make_matrix(out, in, precision, false);
                }
            }
            kernels->check_row_independence();
            findings.push_back(
                {Health::good, "products",
                 fmt::format("{} products of widths 384, 768 and 1024 do not depend on a row's place", name), ""});
        } catch (const Error& error) {
            std::string text = error.what();
            std::replace(text.begin(), text.end(), '\n', ' ');
            findings.push_back({Health::failure, "products", text, "set comm.reduction = fast, or another cpu.isa"});
        }
    }
    return findings;
}

std::vector<Finding> examine(const Config& config, Communicator& comm, const std::string& directory) {
    std::vector<Finding> findings = check_mpi(comm);
    const std::vector<RankCores> ranks = gather_cores(comm);
    append(findings, check_common_directory(comm, directory));
    if (!comm.is_root()) {
        return {};
    }
    append(findings, check_binding(ranks, config.cpu.threads));
    findings.push_back(check_processor(config));
    append(findings, check_products(config));
    append(findings, check_gpus("/proc/driver/nvidia/gpus"));
    append(findings, check_files(directory));
    append(findings, check_space(directory));
    append(findings, check_shared_memory("/dev/shm", "/proc"));
    return findings;
}

std::string findings_text(const std::vector<Finding>& findings) {
    std::string text;
    std::map<Health, int> counts;
    for (const Finding& finding : findings) {
        ++counts[finding.health];
        text += fmt::format("{:<8} {}: {}{}{}\n", health_name(finding.health), finding.topic, finding.text,
                            finding.mend.empty() ? "" : " -> ", finding.mend);
    }
    return text + fmt::format("{} ok, {} notes, {} warnings, {} failures\n", counts[Health::good], counts[Health::note],
                              counts[Health::warning], counts[Health::failure]);
}

std::string findings_json(const std::vector<Finding>& findings) {
    nlohmann::ordered_json json;
    json["schema"] = "ladle.doctor";
    json["schema_version"] = {1, 0};
    json["program"] = version_text();
    json["findings"] = nlohmann::ordered_json::array();
    for (const Finding& finding : findings) {
        json["findings"].push_back({{"health", health_name(finding.health)},
                                    {"topic", finding.topic},
                                    {"text", finding.text},
                                    {"mend", finding.mend}});
    }
    // Paths may hold any bytes.
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace ladle
