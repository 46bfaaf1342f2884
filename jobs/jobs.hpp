// The jobs of the program: one subcommand each, one file each, under 80 lines.
// A new job is its file, its declaration here and its line in main.cpp.
#pragma once

#include <string>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/config/job_options.hpp"

namespace ladle {

struct Job {
    JobSpec spec;
    /// Does the work and returns the exit code. Errors are thrown; run_job reports them.
    int (*run)(const JobOptions& options, Communicator& comm);
    bool uses_mpi = false;  ///< false: the job is one process, and launching it as several ranks is refused
};

Job prepare_job();
Job train_job();
Job evaluate_job();
Job soup_job();
Job convert_job();
Job inspect_job();
Job bench_job();
Job sweep_job();
Job report_job();
Job doctor_job();
Job generate_job();

/// Parses the job's command line, runs it, reports errors once, and returns the exit code. In a job with MPI an error
/// on some ranks only ends all ranks within seconds; an error that all ranks meet is printed once.
int run_job(const Job& job, const std::vector<std::string>& arguments);

}  // namespace ladle
