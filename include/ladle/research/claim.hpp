// Who works on a run of a sweep: a file that only one process can make, kept fresh while it works. It needs neither
// file locks nor a server, so it is safe on shared file systems.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ladle {

/// What a claim says.
struct Claim {
    std::string owner;       ///< for people and for a requeued job: "job 17_3" or "process 4711 on host"
    std::string machine;     ///< host and process name space: process numbers mean something only there
    std::string process;     ///< number and start time of the owner's process
    std::string child;       ///< the same of the run that it started; empty before that
    double age_seconds = 0;  ///< since it was last refreshed: this machine's clock less the file system's time
};

/// The claim at this path, if there is one that can be read.
std::optional<Claim> read_claim(const std::string& path);

/// True while the owner or the run it started lives. On another machine that is: refreshed in the last three minutes.
bool is_held(const Claim& claim);

/// Holds a run from take() to destruction.
class RunClaim {
public:
    /// Empty if it is held. One that nobody holds any more is taken over. With owner_has_moved (a job of which there
    /// can be only one process, requeued) so is one of this same owner on another machine, however fresh. Throws
    /// CheckpointError if it cannot be written.
    static std::optional<RunClaim> take(const std::string& path, const std::string& owner,
                                        bool owner_has_moved = false);
    RunClaim(RunClaim&& other) noexcept;
    RunClaim& operator=(RunClaim&&) = delete;
    ~RunClaim();
    /// Records the process of the run.
    void set_child(int process);
    /// To be called every half minute or so.
    void refresh();

private:
    RunClaim(std::string path, Claim claim);

    std::string path_;  ///< empty: moved from
    Claim claim_;
};

/// Number and start time of a process on this machine, e.g. "4711 83221"; empty if there is none, or a dead one that
/// nobody has waited for.
std::string process_mark(int process);

}  // namespace ladle
