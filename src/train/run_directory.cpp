// The directory of a run.
#include "ladle/train/run_directory.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"

namespace ladle {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kManifest = "manifest.json";
constexpr const char* kChanges = "machine_changes";
constexpr std::array<const char*, 6> kRunFiles = {"config.cfg", "metrics.jsonl", "results.json",
                                                  "best.h5",    "soup.h5",       "checkpoints"};

std::string now_text() {
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

struct Manifest {
    Json json;
    Identity identity;  ///< with the machine of the last recorded change
};

Manifest read_manifest(const std::string& path) {
    const std::string file = path + "/" + kManifest;
    Manifest manifest;
    if (const std::string wrong = try_parse_json(read_file(file), manifest.json); !wrong.empty()) {
        throw DataError("cannot read " + file, wrong, "set run.dir to another directory");
    }
    try {
        const Json& identity = manifest.json.at("identity");
        identity.at("options").get_to(manifest.identity.options);
        identity.at("inputs").get_to(manifest.identity.inputs);
        identity.at("machine").get_to(manifest.identity.machine);
        for (const Json& change : manifest.json.at(kChanges)) {
            change.at("step").get<std::int64_t>();
            change.at("machine").get_to(manifest.identity.machine);
        }
        manifest.json.at("starts").at(0);
        return manifest;
    } catch (const nlohmann::json::exception& error) {
        throw DataError("cannot read " + file, error.what(), "set run.dir to another directory");
    }
}

void write_manifest(const std::string& path, const Json& manifest) {
    write_file(path + "/" + kManifest, manifest.dump(2) + "\n");
}

Json start_json(const Provenance& provenance) {
    Json start;
    start["started"] = now_text();
    start["program"] = provenance.program;
    start["command"] = provenance.command;
    start["ranks"] = provenance.ranks;
    start["threads_per_rank"] = provenance.threads_per_rank;
    start["hosts"] = provenance.hosts;
    start["backbone_path"] = provenance.backbone_path;
    start["data_path"] = provenance.data_path;
    return start;
}

/// Who asks for the directory, for people who meet the lock.
std::string holder(const Provenance& provenance) {
    const char* job = std::getenv("SLURM_JOB_ID");
    return fmt::format("host {}, process {}{}, since {}", provenance.hosts.empty() ? "?" : provenance.hosts.front(),
                       getpid(), job == nullptr ? "" : fmt::format(", Slurm job {}", job), now_text());
}

/// The directory's manifest so far; an empty one for a new run.
Json open_manifest(const std::string& path, const Identity& identity, bool allow_new_hardware) {
    if (file_exists(path + "/" + kManifest)) {
        const Manifest manifest = read_manifest(path);
        check_identity(manifest.identity, identity, allow_new_hardware, "the run directory " + path);
        return manifest.json;
    }
    for (const char* name : kRunFiles) {
        const std::string file = path + "/" + name;
        if (file_exists(file) || directory_exists(file)) {
            throw ConfigError("the run directory " + path + " belongs to another run",
                              fmt::format("it holds {} but no {}", name, kManifest),
                              "set run.dir to another directory");
        }
    }
    Json manifest;
    manifest["schema"] = "ladle.manifest";
    manifest["schema_version"] = {1, 0};
    manifest["identity"] = {{"options", identity.options}, {"inputs", identity.inputs}, {"machine", identity.machine}};
    manifest[kChanges] = Json::array();
    manifest["starts"] = Json::array();
    return manifest;
}

}  // namespace

bool check_run_directory(const std::string& path, const Identity& identity, bool allow_new_hardware) {
    open_manifest(path, identity, allow_new_hardware);
    check_writable(path);
    check_unlocked(path);
    return file_exists(path + "/" + kManifest);
}

RunDirectory::RunDirectory(std::string path, const Identity& identity, bool allow_new_hardware,
                           const std::string& config_text, const Provenance& provenance)
    : path_(std::move(path)), machine_(identity.machine) {
    // Before anything is touched; and again below, for what another job may have done before this one had the lock.
    open_manifest(path_, identity, allow_new_hardware);
    make_directories(path_);
    lock_ = std::make_unique<DirectoryLock>(path_, holder(provenance));
    Json manifest = open_manifest(path_, identity, allow_new_hardware);
    remove_temporaries(path_);
    manifest["starts"].push_back(start_json(provenance));
    // The manifest comes first: a directory with any other file of a run and no manifest is not ours.
    write_manifest(path_, manifest);
    write_file(path_ + "/config.cfg", config_text);
    make_directories(checkpoint_directory());
}

bool RunDirectory::take_trigger(const std::string& name) {
    const std::string file = path_ + "/" + name;
    if (!file_exists(file)) {
        return false;
    }
    if (std::remove(file.c_str()) != 0) {
        throw CheckpointError("cannot remove " + file, std::strerror(errno), "check the directory's permissions");
    }
    return true;
}

void RunDirectory::record_machine(std::int64_t step) {
    Json manifest = read_manifest(path_).json;
    Json kept = Json::array();
    std::string machine = manifest["identity"]["machine"];
    for (const Json& change : manifest[kChanges]) {
        if (change["step"].get<std::int64_t>() < step) {
            kept.push_back(change);
            machine = change["machine"];
        }
    }
    if (machine != machine_) {
        kept.push_back({{"step", step}, {"machine", machine_}});
    }
    if (kept != manifest[kChanges]) {
        manifest[kChanges] = kept;
        write_manifest(path_, manifest);
    }
}

void RunDirectory::write_results(const Results& results) {
    write_file(results_path(), results_text(results));
}

void RunDirectory::record_end(std::int64_t steps_done, const std::string& reason) {
    Json manifest = read_manifest(path_).json;
    Json& start = manifest["starts"].back();
    start["ended"] = now_text();
    start["steps_done"] = steps_done;
    start["reason"] = reason;
    write_manifest(path_, manifest);
}

}  // namespace ladle
