// The directory of a run: whose it is, where its files are, and the small files in it. Used by rank 0 only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ladle/io/file_lock.hpp"
#include "ladle/train/identity.hpp"
#include "ladle/train/results.hpp"

namespace ladle {

/// One start of the program on a run, for the record only: nothing here decides results.
struct Provenance {
    std::string program;  ///< version_text()
    std::string command;
    int ranks = 1;
    int threads_per_rank = 1;
    std::vector<std::string> hosts;  ///< of the ranks, without repeats
    std::string backbone_path;
    std::string data_path;
};

/// Throws what the constructor of RunDirectory would throw, and touches nothing. Returns true if the directory belongs
/// to this run already, false if it would be made.
bool check_run_directory(const std::string& path, const Identity& identity, bool allow_new_hardware);

class RunDirectory {
public:
    /// Makes the directory, or enters that of the same run. Writes config.cfg and adds this start to manifest.json,
    /// whose identity stays that of the first start. Locks the directory until this object goes.
    /// Throws ConfigError when it belongs to another run (naming what differs), holds files of a run without a
    /// manifest, or another process works in it; nothing is touched then. Throws CheckpointError when it cannot be
    /// written.
    RunDirectory(std::string path, const Identity& identity, bool allow_new_hardware, const std::string& config_text,
                 const Provenance& provenance);

    const std::string& path() const { return path_; }
    /// False where the file system has no locks, so that a second job would not be noticed.
    bool is_locked() const { return lock_->is_locked(); }
    std::string metrics_path() const { return path_ + "/metrics.jsonl"; }
    std::string events_path() const { return path_ + "/events.out.tfevents.ladle"; }
    std::string results_path() const { return path_ + "/results.json"; }
    std::string checkpoint_directory() const { return path_ + "/checkpoints"; }
    std::string best_path() const { return path_ + "/best.h5"; }
    std::string predictions_path() const { return path_ + "/predictions.h5"; }
    std::string soup_path() const { return path_ + "/soup.h5"; }

    /// True if the trigger file is there, e.g. "STOP" or "SAVE"; removes it.
    bool take_trigger(const std::string& name);
    /// From this step on the run goes on where this process runs: an allowed change of build or hardware is noted in
    /// manifest.json beside the identity that the run started with. Changes noted at this step or a later one are
    /// dropped, since what followed them is done again.
    void record_machine(std::int64_t step);
    void write_results(const Results& results);
    /// Records the end of this start in manifest.json: its time, the steps done and why it ended, e.g. "finished".
    void record_end(std::int64_t steps_done, const std::string& reason);

private:
    std::string path_;
    std::string machine_;  ///< of this process
    std::unique_ptr<DirectoryLock> lock_;
};

}  // namespace ladle
