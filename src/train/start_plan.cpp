// What a start would do with its run directory.
#include "ladle/train/start_plan.hpp"

#include <fmt/format.h>

#include "ladle/io/checkpoint.hpp"
#include "ladle/io/files.hpp"

namespace ladle {

std::string planned_start(const Config& config, const RunRecord& record, const ParameterTable& table,
                          std::int64_t total_steps) {
    const std::string& path = config.run.dir;
    if (!record.has_weights) {
        check_writable(path);
        return path + ": can be written; without weights it cannot be told from another run's\n";
    }
    const bool entered = check_run_directory(path, record.identity, record.allow_new_hardware);
    const FoundCheckpoint found = find_checkpoint(path + "/checkpoints", table);
    check_resume(record, path, found.path);
    std::string text;
    for (const std::string& refusal : found.refused) {
        text += fmt::format("would not be resumed from: {}\n", refusal);
    }
    if (found.path.empty()) {
        return text + path +
               (entered ? ": this run has no checkpoint yet and would start again\n"
                        : ": a new run would start here\n");
    }
    const Checkpoint checkpoint = read_checkpoint(found.path, table);
    check_identity({checkpoint.identity_options, checkpoint.identity_inputs, checkpoint.identity_machine},
                   record.identity, record.allow_new_hardware, "the checkpoint " + found.path);
    const char* last = checkpoint.step == total_steps ? ", its last: the final evaluation would be repeated" : "";
    return text +
           fmt::format("{}: this run would go on at step {} of {}{}\n", path, checkpoint.step, total_steps, last);
}

}  // namespace ladle
