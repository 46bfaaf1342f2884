// ladle report: a run directory or a sweep to one self-contained HTML file.
#include "ladle/research/report.hpp"

#include <fmt/format.h>

#include "jobs.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"

namespace ladle {
namespace {

int report(const JobOptions& job, Communicator&) {
    if (job.positional.size() != 1) {
        throw ConfigError("ladle report needs one DIRECTORY", fmt::format("{} words are given", job.positional.size()),
                          "for instance: ladle report runs/mrpc --output report.html");
    }
    const std::string& directory = job.positional.front();
    const std::string output = job.value("output", "report.html");
    const std::vector<RunFiles> runs = read_runs(directory);
    const bool one_run = runs.size() == 1 && runs.front().path == directory;
    const std::string page = one_run ? run_report(runs.front()) : sweep_report("Sweep " + directory, runs);
    write_file(output, page);
    fmt::print("{}: {} run{}, {} KiB\n", output, runs.size(), runs.size() == 1 ? "" : "s", (page.size() + 1023) / 1024);
    return static_cast<int>(ExitCode::done);
}

}  // namespace

Job report_job() {
    JobSpec spec;
    spec.name = "report";
    spec.purpose = "Write one HTML page with the plots and tables of a run, or of all runs of a sweep.";
    spec.switches = {{"output", "FILE", "The page is written to this file (default report.html)."}};
    spec.positional = "DIRECTORY";
    spec.examples = {"ladle report runs/mrpc --output mrpc.html", "ladle report sweeps/glue --output glue.html"};
    return {spec, report, false};
}

}  // namespace ladle
