// Checkpoints as HDF5 files: one group per kind of state, one data set per tensor.
#include "ladle/io/checkpoint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <system_error>

#include "hdf5_fields.hpp"
#include "ladle/core/crash_point.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/read_file.hpp"
#include "ladle/io/files.hpp"

namespace ladle {
namespace {

constexpr const char* kSchema = "ladle.ckpt";
constexpr int kMajor = 1;
constexpr int kMinor = 0;

/// Calls visit(group, name, member) for every field that is an attribute.
template <class Visitor>
void visit_fields(Visitor&& visit) {
    visit("/", "identity_options", &Checkpoint::identity_options);
    visit("/", "identity_inputs", &Checkpoint::identity_inputs);
    visit("/", "identity_machine", &Checkpoint::identity_machine);
    visit("/", "machine_changes", &Checkpoint::machine_changes);
    visit("/trainer", "step", &Checkpoint::step);
    visit("/trainer", "best_score", &Checkpoint::best_score);
    visit("/trainer", "best_step", &Checkpoint::best_step);
    visit("/trainer", "evaluations_without_gain", &Checkpoint::evaluations_without_gain);
}

struct Group {
    const char* name;
    std::vector<float> Checkpoint::*values;
};
constexpr Group kGroups[] = {{"/parameters", &Checkpoint::parameters},
                             {"/optimizer/m", &Checkpoint::first_moment},
                             {"/optimizer/v", &Checkpoint::second_moment}};

std::string file_name(std::int64_t step) {
    return fmt::format("step-{}.h5", step);
}

/// Step of a checkpoint's file name, or -1.
std::int64_t step_of(const std::string& name) {
    std::int64_t step = -1;
    if (name.starts_with("step-") && name.ends_with(".h5")) {
        const char* end = name.data() + name.size() - 3;
        const auto result = std::from_chars(name.data() + 5, end, step);
        if (result.ec != std::errc() || result.ptr != end) {
            return -1;
        }
    }
    return step;
}

/// Steps of the checkpoints in a directory, newest first.
std::vector<std::int64_t> steps_in(const std::string& directory) {
    std::vector<std::int64_t> steps;
    if (directory_exists(directory)) {
        for (const std::string& name : list_files(directory)) {
            if (step_of(name) >= 0) {
                steps.push_back(step_of(name));
            }
        }
    }
    std::sort(steps.rbegin(), steps.rend());
    return steps;
}

}  // namespace

void write_checkpoint(const std::string& directory, const ParameterTable& table, const Checkpoint& checkpoint) {
    Hdf5Writer file(kSchema, kMajor, kMinor);
    file.group("/trainer");
    visit_fields(
        [&](const char* group, const char* name, auto field) { write_field(file, group, name, checkpoint.*field); });
    file.group("/optimizer");
    for (const Group& group : kGroups) {
        file.group(group.name);
        const std::vector<float>& values = checkpoint.*group.values;
        for (const Parameter& parameter : table.all()) {
            file.dataset(fmt::format("{}/{}", group.name, parameter.name), DType::f32, parameter.shape,
                         values.data() + parameter.offset);
        }
    }
    file.dataset("/optimizer/steps", checkpoint.steps);
    file.save(directory + "/" + file_name(checkpoint.step));
    crash_point("checkpoint_saved");
    point_to_checkpoint(directory, checkpoint.step);
}

void point_to_checkpoint(const std::string& directory, std::int64_t step) {
    const std::string path = directory + "/last";
    const std::string content = file_name(step) + "\n";
    try {
        if (file_exists(path) && read_file(path) == content) {
            return;
        }
    } catch (const DataError&) {
        // A pointer that cannot be read is as good as a wrong one.
    }
    write_file(path, content);
}

void prune_checkpoints(const std::string& directory, int keep, std::int64_t step) {
    auto steps = steps_in(directory);
    std::erase_if(steps, [&](std::int64_t other) { return other > step; });
    for (std::size_t i = static_cast<std::size_t>(std::max(2, keep)); i < steps.size(); ++i) {
        // One file too many must not end a healthy run; the next checkpoint tries again.
        std::error_code ignored;
        std::filesystem::remove(directory + "/" + file_name(steps[i]), ignored);
        crash_point("checkpoint_pruned");
    }
}

Checkpoint read_checkpoint(const std::string& path, const ParameterTable& table) {
    const Hdf5Reader file(path);
    file.require_schema(kSchema, kMajor);
    Checkpoint checkpoint;
    visit_fields(
        [&](const char* group, const char* name, auto field) { read_field(file, group, name, checkpoint.*field); });
    for (const Group& group : kGroups) {
        std::vector<float>& values = checkpoint.*group.values;
        values.resize(table.total_count());
        if (file.members(group.name).size() != table.all().size()) {
            throw DataError("cannot resume from " + path,
                            fmt::format("{} holds {} tensors, but this run trains {}", group.name,
                                        file.members(group.name).size(), table.all().size()),
                            "resume with the options of the run that wrote it");
        }
        for (const Parameter& parameter : table.all()) {
            const auto read =
                file.tensor(fmt::format("{}/{}", group.name, parameter.name), DType::f32, parameter.shape).to_floats();
            std::copy(read.begin(), read.end(), values.begin() + static_cast<std::ptrdiff_t>(parameter.offset));
        }
    }
    checkpoint.steps = file.int64s("/optimizer/steps");
    if (checkpoint.steps.size() != table.all().size()) {
        throw DataError("cannot resume from " + path, "/optimizer/steps has another number of tensors",
                        "remove this checkpoint; an older one will be used");
    }
    return checkpoint;
}

bool is_checkpoint(const std::string& path) {
    return Hdf5Reader(path).schema() == kSchema;
}

CheckpointModel read_checkpoint_model(const std::string& path) {
    const Hdf5Reader file(path);
    file.require_schema(kSchema, kMajor);
    Checkpoint checkpoint;
    visit_fields(
        [&](const char* group, const char* name, auto field) { read_field(file, group, name, checkpoint.*field); });
    CheckpointModel model{checkpoint.identity_options,
                          checkpoint.identity_inputs,
                          checkpoint.identity_machine,
                          checkpoint.step,
                          {},
                          file.digest()};
    const std::string group = kGroups[0].name;
    for (const std::string& name : file.members(group)) {
        const std::string tensor = group + "/" + name;
        model.parameters.emplace_back(name, file.tensor(tensor, DType::f32, file.shape(tensor)));
    }
    return model;
}

FoundCheckpoint find_checkpoint(const std::string& directory, const ParameterTable& table) {
    FoundCheckpoint found;
    for (const std::int64_t step : steps_in(directory)) {
        const std::string path = directory + "/" + file_name(step);
        try {
            if (read_checkpoint(path, table).step == step) {
                found.path = path;
                return found;
            }
            found.refused.push_back(path + ": its step is not that of its name");
        } catch (const Error& error) {
            found.refused.emplace_back(error.what());
        }
    }
    return found;
}

}  // namespace ladle
