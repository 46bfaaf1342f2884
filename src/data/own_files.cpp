// The user's own text files: found by name or given, with columns looked up in their headers.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "ladle/core/error.hpp"
#include "split_source.hpp"

namespace ladle {
namespace {

namespace fs = std::filesystem;

/// File stems of each split, preferred one first.
struct SplitStems {
    const char* split;
    std::vector<std::string> stems;
};

std::vector<SplitStems> split_stems() {
    return {{"train", {"train"}}, {"validation", {"validation", "dev"}}, {"test", {"test"}}};
}

/// Paths that a split may have in the directory.
std::vector<std::string> candidates(const std::string& directory, const SplitStems& split) {
    std::vector<std::string> found;
    for (const std::string& stem : split.stems) {
        for (const char* ending : {".tsv", ".csv", ".jsonl"}) {
            const fs::path path = fs::path(directory) / (stem + ending);
            if (fs::exists(path)) {
                found.push_back(path.string());
            }
        }
    }
    return found;
}

/// Chooses columns by name; a test file may lack the label.
void choose_columns(const PrepareOptions& options, SplitSource& source) {
    TableOptions table;
    table.format = source.format;
    const TableReader reader(source.path, table);
    std::string text_a = options.text_a_column;
    std::string text_b = options.text_b_column;
    if (text_a.empty()) {
        for (const char* name : {"sentence", "sentence1", "text"}) {
            if (text_a.empty() && reader.has_column(name)) {
                text_a = name;
            }
        }
        if (text_a.empty()) {
            throw DataError(
                "cannot read " + source.path,
                fmt::format("no column sentence, sentence1 or text among '{}'", fmt::join(reader.header(), "', '")),
                "name the text column with --text-a");
        }
        if (text_b.empty() && reader.has_column("sentence2")) {
            text_b = "sentence2";
        }
    }
    const std::string label = options.label_column.empty() ? "label" : options.label_column;
    source.is_pair = !text_b.empty();
    source.has_label = !source.split.starts_with("test") || reader.has_column(label);
    source.columns = {text_a};
    if (source.is_pair) {
        source.columns.push_back(text_b);
    }
    if (source.has_label) {
        source.columns.push_back(label);
    }
}

}  // namespace

SplitSources find_own_files(const PrepareOptions& options) {
    SplitSources sources;
    std::vector<std::pair<std::string, std::string>> files = options.files;
    if (files.empty()) {
        for (const SplitStems& split : split_stems()) {
            const std::vector<std::string> found = candidates(options.source, split);
            if (found.size() > 1) {
                throw DataError("cannot prepare " + options.source,
                                fmt::format("{} could all be the split {}", fmt::join(found, ", "), split.split),
                                "keep one of them, or name the files with --train-file and the like");
            }
            if (found.empty()) {
                sources.absent.push_back(fmt::format("{}.tsv|csv|jsonl", fmt::join(split.stems, "|")));
            } else {
                files.emplace_back(split.split, found.front());
            }
        }
    }
    if (files.empty()) {
        throw DataError("cannot prepare the task " + options.task,
                        fmt::format("{} holds none of {}", options.source, fmt::join(sources.absent, ", ")),
                        "set data.source to the directory of the files, or name them with --train-file and the like");
    }
    for (const auto& [split, path] : files) {
        SplitSource source;
        source.split = split;
        source.path = path;
        source.format = table_format_of(path);
        choose_columns(options, source);
        sources.found.push_back(std::move(source));
    }
    return sources;
}

TableReader open_source(const SplitSource& source, bool strict) {
    TableOptions options;
    options.format = source.format;
    options.headerless_columns = source.headerless_columns;
    options.strict = strict;
    TableReader reader(source.path, options);
    if (source.headerless_columns > 0) {
        reader.select_positions(source.positions);
    } else {
        reader.select(source.columns);
    }
    return reader;
}

}  // namespace ladle
