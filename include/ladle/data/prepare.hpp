// Turns the text files of a task into shards: reading, tokenizing, labelling, writing.
// The whole work of `ladle prepare`, apart from its command line.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ladle/io/tabular.hpp"
#include "ladle/text/tokenizer.hpp"

namespace ladle {

struct PrepareOptions {
    std::string task;    ///< a GLUE task (see task_names), or a name of the user's own
    std::string source;  ///< directory with the task's files; unused if `files` is not empty
    std::vector<std::pair<std::string, std::string>> files;  ///< (split name, path) of the user's own files
    std::string out_dir;                                     ///< receives <split>.h5
    int max_length = 128;
    /// Columns of the user's own files. Text A empty: the first of sentence, sentence1, text that the file has, and
    /// then sentence2 as text B if it has that. Label empty: label.
    std::string text_a_column;
    std::string text_b_column;
    std::string label_column;
    std::vector<std::string> label_names;  ///< class order; empty: of the GLUE task, else sorted from the files
    bool regression = false;               ///< labels are numbers (a GLUE task decides for itself)
    bool strict = false;                   ///< the first malformed row is an error
    int threads = 0;                       ///< 0: one per core; the result does not depend on it
};

struct SplitReport {
    std::string name;
    std::string file;
    std::int64_t rows = 0;       ///< written
    RowProblems skipped;         ///< malformed rows
    std::int64_t tokens = 0;     ///< written, special tokens included
    std::int64_t truncated = 0;  ///< rows cut to max_length
    std::string path;            ///< of the shard
    std::string digest;          ///< content digest of the shard
};

struct PrepareReport {
    std::vector<SplitReport> splits;
    std::vector<std::string> absent;       ///< files of the task's layout that the directory lacks
    std::vector<std::string> label_names;  ///< empty for regression
    std::string label_order;               ///< where the order comes from, for people
    double seconds = 0;
};

/// Prepares every split of a task. A GLUE task name with `source` means the official file layouts; any other name means
/// files train, validation (or dev) and test with the ending .tsv, .csv or .jsonl in `source`, or those of `files`.
/// Malformed rows are skipped, counted and named. Nothing is written unless all splits are in order.
/// Throws ConfigError or DataError for: no file found, missing column, unknown label, no usable row in a file, an
/// output directory that holds shards of another task or splits that this call would leave behind.
PrepareReport prepare(const PrepareOptions& options, const Tokenizer& tokenizer);

}  // namespace ladle
