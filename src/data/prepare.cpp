// Prepares all splits of a task in memory and then writes their shards.
#include "ladle/data/prepare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "encode_split.hpp"
#include "labels.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/hdf5.hpp"
#include "ladle/tasks/task.hpp"
#include "ladle/text/pair.hpp"

namespace ladle {
namespace {

namespace fs = std::filesystem;

SplitSources find_sources(const PrepareOptions& options) {
    const std::vector<std::string> glue = task_names();
    if (options.files.empty() && std::find(glue.begin(), glue.end(), options.task) != glue.end()) {
        return find_glue_files(options.task, options.source);
    }
    return find_own_files(options);
}

/// Refuses an output directory whose shards this call would mix with or overwrite by accident.
void check_out_dir(const PrepareOptions& options, const std::vector<SplitSource>& sources) {
    if (!fs::exists(options.out_dir)) {
        return;
    }
    if (!directory_exists(options.out_dir)) {
        throw ConfigError("cannot write shards to " + options.out_dir, "it is a file", "set data.dir to a directory");
    }
    for (const auto& entry : fs::directory_iterator(options.out_dir)) {
        if (entry.path().extension() != ".h5") {
            continue;
        }
        const std::string split = entry.path().stem().string();
        const bool rewritten = std::any_of(sources.begin(), sources.end(),
                                           [&split](const SplitSource& source) { return source.split == split; });
        const std::string fix = "choose another data.dir, or remove the file";
        if (!rewritten) {
            throw ConfigError("cannot write shards to " + options.out_dir,
                              fmt::format("{} is not one of the splits to be written and would be left beside them",
                                          entry.path().filename().string()),
                              fix);
        }
        const auto shard = Hdf5Reader::isolated(entry.path().string(), Hdf5Origin::ladle);
        const std::string task = shard.text("/", "task");
        if (task != options.task) {
            throw ConfigError("cannot write shards to " + options.out_dir,
                              fmt::format("{} belongs to the task {}", entry.path().filename().string(), task), fix);
        }
    }
}

}  // namespace

PrepareReport prepare(const PrepareOptions& options, const Tokenizer& tokenizer) {
    const auto started = std::chrono::steady_clock::now();
    const int specials = special_token_count(tokenizer.facts().family, true);
    if (options.max_length < specials || options.max_length > 65535) {
        throw ConfigError(fmt::format("data.max_length is {}", options.max_length),
                          "inputs need room for special tokens",
                          fmt::format("set data.max_length to {} .. 65535", specials));
    }
    SplitSources sources = find_sources(options);
    check_out_dir(options, sources.found);
    const LabelRule rule = find_label_rule(options, sources.found);
    std::vector<EncodedSplit> encoded;
    for (const SplitSource& source : sources.found) {
        encoded.push_back(encode_split(source, rule, options, tokenizer));
    }
    PrepareReport report;
    make_directories(options.out_dir);
    for (EncodedSplit& split : encoded) {
        split.report.path = shard_path(options.out_dir, split.split.name);
        write_shard(split.report.path, split.split);
        split.report.digest = split.split.digest;
        report.splits.push_back(std::move(split.report));
    }
    report.absent = std::move(sources.absent);
    report.label_names = rule.names;
    report.label_order = rule.order;
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    return report;
}

}  // namespace ladle
