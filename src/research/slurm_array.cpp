// Submitting a sweep to Slurm.
#include "ladle/research/slurm_array.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>

#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/research/process.hpp"
#include "ladle_slurm_scripts.hpp"

namespace ladle {
namespace {

std::string absolute(const std::string& path) {
    return std::filesystem::absolute(path).lexically_normal().string();
}

std::string trimmed(const std::string& text) {
    const std::size_t end = text.find_last_not_of(" \t\r\n");
    return end == std::string::npos ? "" : text.substr(0, end + 1);
}

}  // namespace

std::string array_indices(const std::vector<int>& numbers, int parallel) {
    std::string text;
    for (std::size_t begin = 0; begin < numbers.size();) {
        std::size_t end = begin + 1;
        while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) {
            ++end;
        }
        text += text.empty() ? "" : ",";
        text += end - begin == 1 ? fmt::format("{}", numbers[begin])
                                 : fmt::format("{}-{}", numbers[begin], numbers[end - 1]);
        begin = end;
    }
    return parallel > 0 ? fmt::format("{}%{}", text, parallel) : text;
}

std::vector<std::string> sbatch_words(const Sweep& sweep, const ArrayRequest& request, const std::string& after) {
    const std::string directory = absolute(sweep.directory);
    std::vector<std::string> words = {"sbatch",
                                      "--parsable",
                                      "--array=" + array_indices(request.numbers, request.parallel),
                                      "--nodes=1",
                                      fmt::format("--ntasks={}", request.size.ranks),
                                      fmt::format("--cpus-per-task={}", request.size.threads),
                                      fmt::format("--output={}/logs/slurm-%A_%a.out", directory)};
    if (!request.excluded.empty()) {
        words.push_back(fmt::format("--exclude={}", fmt::join(request.excluded, ",")));
    }
    if (!after.empty()) {
        words.push_back("--dependency=afterany:" + after);
    }
    words.insert(words.end(), request.words.begin(), request.words.end());
    words.insert(words.end(), {directory + "/slurm/sweep.sbatch", directory, request.program});
    words.insert(words.end(), request.switches.begin(), request.switches.end());
    return words;
}

std::vector<std::string> submit_array(const Sweep& sweep, const ArrayRequest& request) {
    if (find_program("sbatch").empty()) {
        throw ConfigError("--slurm needs sbatch", "there is no such program in PATH",
                          "submit on a login node of the cluster, or leave --slurm out to run here");
    }
    make_directories(sweep.directory + "/slurm");
    write_file(sweep.directory + "/slurm/sweep.sbatch", kSweepScript);
    write_file(sweep.directory + "/slurm/requeue.sh", kRequeueScript);
    std::vector<std::string> jobs;
    for (int i = 0; i < request.chain; ++i) {
        std::string output;
        const int code = run_process(sbatch_words(sweep, request, jobs.empty() ? "" : jobs.back()), output);
        if (code != 0) {
            throw DeviceError("sbatch refused the sweep", trimmed(output),
                              jobs.empty() ? "give what your site needs with --sbatch, e.g. --sbatch '--account=x'"
                                           : fmt::format("submitted so far: {}", fmt::join(jobs, " ")));
        }
        // "17" or "17;cluster"; warnings may stand on lines before it.
        const std::string line = trimmed(output).substr(trimmed(output).rfind('\n') + 1);
        jobs.push_back(line.substr(0, line.find(';')));
    }
    return jobs;
}

}  // namespace ladle
