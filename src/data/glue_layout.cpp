// The official GLUE file layouts: one table row per file.
// Source: the files of the benchmark (gluebenchmark.com) and the dataset script glue of the datasets library.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>

#include "ladle/core/error.hpp"
#include "split_source.hpp"

namespace ladle {
namespace {

struct GlueFile {
    const char* task;
    const char* split;
    const char* file;
    const char* text_a;
    const char* text_b;  ///< null: single text
    const char* label;   ///< null: labels are hidden
};

constexpr GlueFile kFiles[] = {
    {"cola", "test", "test.tsv", "sentence", nullptr, nullptr},
    {"sst2", "train", "train.tsv", "sentence", nullptr, "label"},
    {"sst2", "validation", "dev.tsv", "sentence", nullptr, "label"},
    {"sst2", "test", "test.tsv", "sentence", nullptr, nullptr},
    {"mrpc", "train", "train.tsv", "#1 String", "#2 String", "Quality"},
    {"mrpc", "validation", "dev.tsv", "#1 String", "#2 String", "Quality"},
    {"mrpc", "test", "test.tsv", "#1 String", "#2 String", nullptr},
    {"stsb", "train", "train.tsv", "sentence1", "sentence2", "score"},
    {"stsb", "validation", "dev.tsv", "sentence1", "sentence2", "score"},
    {"stsb", "test", "test.tsv", "sentence1", "sentence2", nullptr},
    {"qqp", "train", "train.tsv", "question1", "question2", "is_duplicate"},
    {"qqp", "validation", "dev.tsv", "question1", "question2", "is_duplicate"},
    {"qqp", "test", "test.tsv", "question1", "question2", nullptr},
    {"mnli", "train", "train.tsv", "sentence1", "sentence2", "gold_label"},
    {"mnli", "validation_matched", "dev_matched.tsv", "sentence1", "sentence2", "gold_label"},
    {"mnli", "validation_mismatched", "dev_mismatched.tsv", "sentence1", "sentence2", "gold_label"},
    {"mnli", "test_matched", "test_matched.tsv", "sentence1", "sentence2", nullptr},
    {"mnli", "test_mismatched", "test_mismatched.tsv", "sentence1", "sentence2", nullptr},
    {"qnli", "train", "train.tsv", "question", "sentence", "label"},
    {"qnli", "validation", "dev.tsv", "question", "sentence", "label"},
    {"qnli", "test", "test.tsv", "question", "sentence", nullptr},
    {"rte", "train", "train.tsv", "sentence1", "sentence2", "label"},
    {"rte", "validation", "dev.tsv", "sentence1", "sentence2", "label"},
    {"rte", "test", "test.tsv", "sentence1", "sentence2", nullptr},
    {"wnli", "train", "train.tsv", "sentence1", "sentence2", "label"},
    {"wnli", "validation", "dev.tsv", "sentence1", "sentence2", "label"},
    {"wnli", "test", "test.tsv", "sentence1", "sentence2", nullptr},
    {"ax", "test", "diagnostic.tsv", "sentence1", "sentence2", nullptr},
};

/// CoLA's labelled files have no header: source code, label, original mark, sentence.
SplitSource cola_file(const char* split, const char* file) {
    return {split, file, TableFormat::tsv, false, true, {}, 4, {3, 1}};
}

std::vector<SplitSource> layout_of(const std::string& task) {
    std::vector<SplitSource> sources;
    if (task == "cola") {
        sources = {cola_file("train", "train.tsv"), cola_file("validation", "dev.tsv")};
    }
    for (const GlueFile& file : kFiles) {
        if (task != file.task) {
            continue;
        }
        SplitSource source{
            file.split, file.file, TableFormat::tsv, file.text_b != nullptr, file.label != nullptr, {file.text_a},
            0,          {}};
        if (source.is_pair) {
            source.columns.emplace_back(file.text_b);
        }
        if (source.has_label) {
            source.columns.emplace_back(file.label);
        }
        sources.push_back(std::move(source));
    }
    return sources;
}

}  // namespace

SplitSources find_glue_files(const std::string& task, const std::string& directory) {
    SplitSources sources;
    for (SplitSource& source : layout_of(task)) {
        const std::string file = source.path;
        source.path = (std::filesystem::path(directory) / file).string();
        if (std::filesystem::exists(source.path)) {
            sources.found.push_back(std::move(source));
        } else {
            sources.absent.push_back(file);
        }
    }
    if (sources.found.empty()) {
        throw DataError("cannot prepare the task " + task,
                        fmt::format("{} holds none of {}", directory, fmt::join(sources.absent, ", ")),
                        "set data.source to the task's official GLUE directory");
    }
    return sources;
}

}  // namespace ladle
