// Streaming readers of TSV, CSV and JSONL files with named columns.
// Between the user's text files and data/prepare.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ladle {

/// tsv: one tab between fields, no quoting. csv: RFC 4180. jsonl: one object per line.
enum class TableFormat { tsv, csv, jsonl };

/// The format that the file's name ends in (.tsv, .csv, .jsonl); throws ConfigError for other endings.
TableFormat table_format_of(const std::string& path);

/// A row that was left out, and why.
struct RowProblem {
    std::string file;
    std::int64_t line = 0;  ///< first line of the row, from 1
    std::string why;
};

/// All rows left out are counted; the first few are kept.
struct RowProblems {
    static constexpr std::size_t kKept = 10;
    std::int64_t count = 0;
    std::vector<RowProblem> first;
};

struct TableOptions {
    TableFormat format = TableFormat::tsv;
    std::size_t headerless_columns = 0;                     ///< above 0: TSV without header and with so many columns
    bool strict = false;                                    ///< the first malformed row is an error
    std::size_t max_row_bytes = std::size_t{1024} * 1024U;  ///< longer rows are malformed
};

/// The selected fields of one row.
struct TableRow {
    std::int64_t index = 0;  ///< number of the row in the file from 0, malformed ones and not the header counted
    std::int64_t line = 0;   ///< its first line, from 1
    std::vector<std::string> fields;
};

/// Reads a file row by row in bounded memory. A byte order mark is skipped; LF and CRLF end a line, the last line may
/// lack it. A row is malformed if it is longer than the limit, holds a NUL or malformed UTF-8, has another number of
/// fields than the header, breaks the quoting, is not a JSON object, or lacks a selected column. Malformed rows are
/// counted and named, or refused if strict. Errors are DataError naming file and line.
class TableReader {
public:
    /// Opens the file and reads its header; for jsonl the first row's keys. Throws if the file is empty.
    TableReader(const std::string& path, const TableOptions& options);
    ~TableReader();
    TableReader(TableReader&&) noexcept;

    /// Names of the columns; empty without header.
    const std::vector<std::string>& header() const;
    bool has_column(const std::string& name) const;

    /// Chooses the fields of the following rows by column name. Throws DataError listing the columns if one is absent
    /// or named twice.
    void select(const std::vector<std::string>& names);
    /// Chooses them by position, for files without header.
    void select_positions(const std::vector<std::size_t>& positions);

    /// The next well-formed row; false at the end of the file. An opened quote that never closes is always an error,
    /// because what follows it cannot be told apart.
    bool next(TableRow& row);

    /// Counts a row as malformed for a reason found by the caller; throws DataError if strict.
    void reject(const TableRow& row, const std::string& why);

    const RowProblems& problems() const;
    /// Rows met so far, malformed ones included.
    std::int64_t rows_met() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace ladle
