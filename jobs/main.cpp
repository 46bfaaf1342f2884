// The table of jobs, and the program's own help and version.
#include <fmt/format.h>

#include <cstdio>

#include "jobs.hpp"
#include "ladle/core/build_info.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/suggest.hpp"

namespace ladle {
namespace {

/// Every job of the program, in the order of a first use.
std::vector<Job> all_jobs() {
    return {prepare_job(), train_job(),  evaluate_job(), soup_job(),  convert_job(), inspect_job(),
            sweep_job(),   report_job(), doctor_job(),   bench_job(), generate_job()};
}

std::string program_help(const std::vector<Job>& jobs) {
    std::string text =
        "ladle trains mixtures of adapter experts on frozen transformers and serves them as one soup.\n\n"
        "Usage: ladle JOB [options]\n\nJobs:\n";
    for (const Job& job : jobs) {
        text += fmt::format("  {:<10} {}\n", job.spec.name, job.spec.purpose);
    }
    return text +
           "\n`ladle JOB --help` lists the options of a job; `ladle --version` names version, build and libraries.\n\n"
           "Exit codes: 0 done, 2 usage or config, 3 bad input data or model file, 4 device or communication,\n"
           "70 internal, 74 a result could not be written, 75 stalled, 76 loss not finite, 85 stopped, state safe.\n";
}

std::string completion_script(const std::vector<Job>& jobs) {
    std::vector<JobSpec> specs;
    for (const Job& job : jobs) {
        specs.push_back(job.spec);
    }
    return bash_completion(specs);
}

int run_program(const std::vector<std::string>& words) {
    const std::vector<Job> jobs = all_jobs();
    const std::string first = words.empty() ? "--help" : words.front();
    if (first == "--help" || first == "--version" || first == "completion") {
        const std::string text = first == "--version"    ? fmt::format("{}mpi = {}\n", version_text(), mpi_library())
                                 : first == "completion" ? completion_script(jobs)
                                                         : program_help(jobs);
        std::fputs(text.c_str(), words.empty() ? stderr : stdout);
        return static_cast<int>(words.empty() ? ExitCode::usage : ExitCode::done);
    }
    std::vector<std::string> names;
    for (const Job& job : jobs) {
        if (job.spec.name == first) {
            return run_job(job, {words.begin() + 1, words.end()});
        }
        names.push_back(job.spec.name);
    }
    const ConfigError error(fmt::format("unknown job \"{}\"", first),
                            did_you_mean(first, names, "there is nothing like it"), "`ladle --help` lists the jobs");
    fmt::print(stderr, "ladle: {}\n", error.what());
    return static_cast<int>(error.exit_code());
}

}  // namespace
}  // namespace ladle

int main(int argc, char** argv) {
    return ladle::run_program({argv + 1, argv + argc});
}
