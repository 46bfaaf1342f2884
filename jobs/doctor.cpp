// ladle doctor: what is ready on this machine or allocation, and how to mend the rest.
#include "ladle/research/doctor.hpp"

#include <algorithm>
#include <cstdio>

#include "jobs.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

int doctor(const JobOptions& job, Communicator& comm) {
    const std::string directory = job.config.run.dir.empty() ? "." : job.config.run.dir;
    const std::vector<Finding> findings = examine(job.config, comm, directory);
    int failed = 0;
    if (comm.is_root()) {
        std::fputs((job.has("json") ? findings_json(findings) : findings_text(findings)).c_str(), stdout);
        failed = std::any_of(findings.begin(), findings.end(),
                             [](const Finding& finding) { return finding.health == Health::failure; });
    }
    comm.broadcast(&failed, sizeof(failed));
    return static_cast<int>(failed != 0 ? ExitCode::device : ExitCode::done);
}

}  // namespace

Job doctor_job() {
    JobSpec spec;
    spec.name = "doctor";
    spec.purpose =
        "Examine this machine or allocation: ranks, cores, files, memory; one line per finding with its mend.";
    spec.options = {"run.dir", "cpu"};
    spec.switches = {{"json", "", "The findings are printed as JSON."}};
    spec.examples = {"ladle doctor --run.dir /scratch/me", "srun --mpi=pmix -N 2 -n 8 ladle doctor --run.dir runs"};
    return {spec, doctor, true};
}

}  // namespace ladle
