// Rows are read in batches by one thread; each batch is encoded by all, in fixed order.
#include "encode_split.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <limits>
#include <thread>

#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"
#include "ladle/text/pair.hpp"

namespace ladle {
namespace {

constexpr std::size_t kBatchRows = 16384;
constexpr std::size_t kRowsPerThread = 256;

/// Inputs of consecutive rows.
struct EncodedRows {
    std::vector<std::int32_t> ids;
    std::vector<BuiltInput> inputs;
};

struct RowRange {
    const TableRow* begin;
    const TableRow* end;
};

EncodedRows encode_rows(RowRange rows, bool is_pair, int max_length, const Tokenizer& tokenizer,
                        EncodeScratch& scratch) {
    EncodedRows encoded;
    std::vector<std::int32_t> first;
    std::vector<std::int32_t> second;
    for (const TableRow* row = rows.begin; row != rows.end; ++row) {
        first.clear();
        second.clear();
        tokenizer.encode(row->fields[0], scratch, first);
        if (is_pair) {
            tokenizer.encode(row->fields[1], scratch, second);
        }
        encoded.inputs.push_back(
            build_input(tokenizer.facts(), first, is_pair ? &second : nullptr, max_length, encoded.ids));
    }
    return encoded;
}

void append_rows(const EncodedRows& rows, Split& split, SplitReport& report) {
    split.input_ids.insert(split.input_ids.end(), rows.ids.begin(), rows.ids.end());
    for (const BuiltInput& input : rows.inputs) {
        split.offsets.push_back(split.offsets.back() + static_cast<std::int64_t>(input.length));
        split.sep_pos.push_back(input.sep_pos);
        report.truncated += input.length < input.length_untruncated ? 1 : 0;
    }
}

/// Encodes the batch with one task per thread and appends the parts in row order.
void encode_batch(const std::vector<TableRow>& rows, const SplitSource& source, const Tokenizer& tokenizer,
                  std::vector<EncodeScratch>& scratch, EncodedSplit& result) {
    const std::size_t parts = std::clamp<std::size_t>(rows.size() / kRowsPerThread, 1, scratch.size());
    std::vector<std::future<EncodedRows>> running;
    for (std::size_t part = 0; part < parts; ++part) {
        const RowRange range{rows.data() + rows.size() * part / parts, rows.data() + rows.size() * (part + 1) / parts};
        running.push_back(std::async(parts == 1 ? std::launch::deferred : std::launch::async, encode_rows, range,
                                     source.is_pair, result.split.max_length, std::cref(tokenizer),
                                     std::ref(scratch[part])));
    }
    for (std::future<EncodedRows>& part : running) {
        append_rows(part.get(), result.split, result.report);
    }
}

/// Numbers the row's label; false if the row was rejected.
bool take_label(const SplitSource& source, const LabelRule& rule, const TableRow& row, TableReader& reader,
                Split& split) {
    const std::string word = source.has_label ? row.fields.back() : "";
    const bool hidden = !source.has_label || (source.split.starts_with("test") && (word.empty() || word == "-1"));
    if (rule.regression) {
        float target = std::numeric_limits<float>::quiet_NaN();
        if (!hidden) {
            if (const std::string wrong = parse_target(rule, word, target); !wrong.empty()) {
                reader.reject(row, wrong);
                return false;
            }
        }
        split.targets.push_back(target);
        return true;
    }
    const std::int32_t label = hidden ? -1 : class_of(rule, word);
    if (label < 0 && !hidden) {
        throw DataError(fmt::format("unknown label in {}, line {}", source.path, row.line),
                        fmt::format("'{}' is none of {}", word, fmt::join(rule.names, " ")),
                        "repair the file, or name all labels with --labels (a task of your own)");
    }
    split.labels.push_back(label);
    return true;
}

EncodedSplit begin_split(const SplitSource& source, const LabelRule& rule, const PrepareOptions& options,
                         const Tokenizer& tokenizer) {
    EncodedSplit result;
    Split& split = result.split;
    split.task = options.task;
    split.name = source.split;
    split.model_family = tokenizer.facts().family;
    split.label_names = rule.names;
    split.is_regression = rule.regression;
    split.max_length = options.max_length;
    split.tokenizer_type = tokenizer.facts().type;
    split.tokenizer_digest = tokenizer.facts().digest;
    split.vocab_size = tokenizer.facts().vocab_size;
    split.source_files = {std::filesystem::path(source.path).filename().string()};
    split.source_digests = {file_digest(source.path)};
    split.offsets = {0};
    result.report.name = source.split;
    result.report.file = source.path;
    return result;
}

}  // namespace

EncodedSplit encode_split(const SplitSource& source, const LabelRule& rule, const PrepareOptions& options,
                          const Tokenizer& tokenizer) {
    TableReader reader = open_source(source, options.strict);
    EncodedSplit result = begin_split(source, rule, options, tokenizer);
    const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
    std::vector<EncodeScratch> scratch(options.threads > 0 ? static_cast<std::size_t>(options.threads) : cores);
    std::vector<TableRow> rows;
    TableRow row;
    bool more = true;
    while (more) {
        rows.clear();
        while (rows.size() < kBatchRows && (more = reader.next(row))) {
            if (row.index > std::numeric_limits<std::int32_t>::max()) {
                throw DataError("cannot prepare " + source.path, "it has more than 2^31 rows", "split the file");
            }
            if (take_label(source, rule, row, reader, result.split)) {
                result.split.idx.push_back(static_cast<std::int32_t>(row.index));
                rows.push_back(std::move(row));
            }
        }
        encode_batch(rows, source, tokenizer, scratch, result);
    }
    result.report.rows = static_cast<std::int64_t>(result.split.samples());
    result.report.tokens = result.split.offsets.back();
    result.report.skipped = reader.problems();
    if (result.split.samples() == 0) {
        const RowProblems& problems = reader.problems();
        throw DataError("cannot prepare " + source.path,
                        problems.count == 0
                            ? "it holds no rows"
                            : fmt::format("all {} rows are malformed, the first in line {}: {}", problems.count,
                                          problems.first[0].line, problems.first[0].why),
                        "check that the file has the layout of its task");
    }
    return result;
}

}  // namespace ladle
