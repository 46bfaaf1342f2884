// Table readers: one loop over rows, and per format the way a row is cut into fields.
#include "ladle/io/tabular.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/core/utf8.hpp"
#include "line_reader.hpp"

namespace ladle {
namespace {

using nlohmann::json;

/// Why the bytes of a row are no text, or empty.
std::string find_bad_bytes(std::string_view text) {
    if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
        return fmt::format("a NUL at byte {}", nul + 1);
    }
    if (const std::size_t wrong = find_invalid_utf8(text); wrong != std::string_view::npos) {
        return fmt::format("malformed UTF-8 at byte {}", wrong + 1);
    }
    return "";
}

void split_tsv(std::string_view line, std::vector<std::string>& fields) {
    std::size_t begin = 0;
    std::size_t count = 0;
    while (true) {
        const std::size_t tab = std::min(line.find('\t', begin), line.size());
        if (count == fields.size()) {
            fields.emplace_back();
        }
        fields[count++].assign(line.substr(begin, tab - begin));
        if (tab == line.size()) {
            break;
        }
        begin = tab + 1;
    }
    fields.resize(count);
}

/// Cuts CSV line by line: a quoted field may hold line ends.
class CsvRow {
public:
    explicit CsvRow(std::vector<std::string>& fields) : fields_(fields) {
        fields_.clear();
        fields_.emplace_back();
    }

    bool is_open() const { return place_ == Place::quoted; }

    /// Takes the row's next line; returns what is wrong with it, or an empty text.
    std::string add_line(std::string_view line) {
        for (const char byte : line) {
            if (!add(byte)) {
                return place_ == Place::after_quote ? "text after a closing quote" : "a quote inside an unquoted field";
            }
        }
        if (is_open()) {
            fields_.back() += '\n';
        }
        return "";
    }

private:
    enum class Place { start, plain, quoted, after_quote };

    bool add(char byte) {
        if (place_ == Place::quoted) {
            if (byte == '"') {
                place_ = Place::after_quote;
            } else {
                fields_.back() += byte;
            }
            return true;
        }
        if (byte == ',') {
            fields_.emplace_back();
            place_ = Place::start;
            return true;
        }
        if (byte == '"') {
            if (place_ == Place::plain) {
                return false;
            }
            if (place_ == Place::after_quote) {
                fields_.back() += '"';
            }
            place_ = Place::quoted;
            return true;
        }
        if (place_ == Place::after_quote) {
            return false;
        }
        fields_.back() += byte;
        place_ = Place::plain;
        return true;
    }

    std::vector<std::string>& fields_;
    Place place_ = Place::start;
};

}  // namespace

TableFormat table_format_of(const std::string& path) {
    const auto ends_with = [&path](const char* ending) { return path.ends_with(ending); };
    if (ends_with(".tsv")) {
        return TableFormat::tsv;
    }
    if (ends_with(".csv")) {
        return TableFormat::csv;
    }
    if (ends_with(".jsonl")) {
        return TableFormat::jsonl;
    }
    throw ConfigError("cannot tell the format of " + path, "its name ends in none of .tsv, .csv and .jsonl",
                      "rename the file after its format");
}

struct TableReader::State {
    State(const std::string& file, const TableOptions& given)
        : path(file), options(given), lines(file, given.max_row_bytes) {}

    std::string path;
    TableOptions options;
    LineReader lines;
    std::vector<std::string> header;
    std::vector<std::string> wanted;     ///< jsonl: selected keys
    std::vector<std::size_t> positions;  ///< tsv, csv: selected columns
    std::vector<std::string> fields;     ///< of the current row
    std::string line;
    bool has_held_line = false;  ///< the first row of jsonl was read for its keys and is still to be returned
    std::int64_t rows = 0;
    RowProblems problems;

    [[noreturn]] void refuse(const std::string& why, const std::string& fix) const {
        throw DataError("cannot read " + path, why, fix);
    }

    void reject(std::int64_t row_line, const std::string& why) {
        if (options.strict) {
            throw DataError(fmt::format("malformed row in {}, line {}", path, row_line), why,
                            "repair or remove the row, or leave --strict out to skip and count such rows");
        }
        ++problems.count;
        if (problems.first.size() < RowProblems::kKept) {
            problems.first.push_back({path, row_line, why});
        }
    }

    bool next_line() {
        if (has_held_line) {
            has_held_line = false;
            return true;
        }
        return lines.next(line);
    }

    /// Reads one row of TSV or CSV into fields; returns what is wrong with it, or an empty text.
    std::string read_fields() {
        if (lines.is_too_long()) {
            return fmt::format("longer than {} bytes", options.max_row_bytes);
        }
        if (std::string bad = find_bad_bytes(line); !bad.empty()) {
            return bad;
        }
        if (options.format == TableFormat::tsv) {
            split_tsv(line, fields);
            return "";
        }
        return read_csv();
    }

    std::string read_csv() {
        const std::int64_t first_line = lines.line_number();
        CsvRow csv(fields);
        std::string wrong = csv.add_line(line);
        std::size_t bytes = line.size();
        while (wrong.empty() && csv.is_open()) {
            if (!lines.next(line) || lines.is_too_long() || (bytes += line.size()) > options.max_row_bytes) {
                refuse(fmt::format("the quote opened in line {} does not close within {} bytes", first_line,
                                   options.max_row_bytes),
                       "close the quote, or double it if it belongs to the text");
            }
            wrong = find_bad_bytes(line);
            if (wrong.empty()) {
                wrong = csv.add_line(line);
            }
        }
        if (!wrong.empty() && lines.line_number() > first_line) {
            wrong +=
                fmt::format(" in line {}; the lines from {} on are left out with it", lines.line_number(), first_line);
        }
        return wrong;
    }

    std::string read_object(TableRow& row) {
        if (lines.is_too_long()) {
            return fmt::format("longer than {} bytes", options.max_row_bytes);
        }
        json object;
        if (std::string wrong = try_parse_json(line, object); !wrong.empty()) {
            return wrong;
        }
        if (!object.is_object()) {
            return "not a JSON object";
        }
        row.fields.clear();
        for (const std::string& name : wanted) {
            const auto value = object.find(name);
            if (value == object.end() || !(value->is_string() || value->is_number() || value->is_boolean())) {
                return fmt::format("no text or number under \"{}\"", name);
            }
            row.fields.push_back(value->is_string() ? value->get<std::string>() : value->dump());
            if (row.fields.back().find('\0') != std::string::npos) {
                return fmt::format("a NUL in \"{}\"", name);
            }
        }
        return "";
    }

    std::string read_row(TableRow& row) {
        if (options.format == TableFormat::jsonl) {
            return read_object(row);
        }
        if (std::string wrong = read_fields(); !wrong.empty()) {
            return wrong;
        }
        const std::size_t expected = options.headerless_columns > 0 ? options.headerless_columns : header.size();
        if (fields.size() != expected) {
            return fmt::format("{} fields instead of {}", fields.size(), expected);
        }
        row.fields.resize(positions.size());
        for (std::size_t i = 0; i < positions.size(); ++i) {
            row.fields[i] = fields[positions[i]];
        }
        return "";
    }

    void read_header() {
        if (options.headerless_columns > 0) {
            return;
        }
        if (!lines.next(line)) {
            refuse("it is empty", "name a file with rows");
        }
        if (options.format == TableFormat::jsonl) {
            has_held_line = true;
            json object;
            if (try_parse_json(line, object).empty() && object.is_object()) {
                for (const auto& [key, value] : object.items()) {
                    header.push_back(key);
                }
            }
            return;
        }
        if (const std::string wrong = read_fields(); !wrong.empty()) {
            refuse("its header line has " + wrong, "the first line must hold the column names");
        }
        header = fields;
    }
};

TableReader::TableReader(const std::string& path, const TableOptions& options)
    : state_(std::make_unique<State>(path, options)) {
    state_->read_header();
}

TableReader::~TableReader() = default;
TableReader::TableReader(TableReader&&) noexcept = default;

const std::vector<std::string>& TableReader::header() const {
    return state_->header;
}

bool TableReader::has_column(const std::string& name) const {
    return std::find(state_->header.begin(), state_->header.end(), name) != state_->header.end();
}

void TableReader::select(const std::vector<std::string>& names) {
    state_->wanted = names;
    state_->positions.clear();
    for (const std::string& name : names) {
        const auto begin = state_->header.begin();
        const auto found = std::find(begin, state_->header.end(), name);
        if (found == state_->header.end() || std::count(found, state_->header.end(), name) > 1) {
            state_->refuse(
                fmt::format("{} column '{}' among '{}'", found == state_->header.end() ? "no" : "more than one", name,
                            fmt::join(state_->header, "', '")),
                "check the task and the first line of the file");
        }
        state_->positions.push_back(static_cast<std::size_t>(found - begin));
    }
}

void TableReader::select_positions(const std::vector<std::size_t>& positions) {
    for (const std::size_t position : positions) {
        check(position < state_->options.headerless_columns, "a selected position is a column of the file");
    }
    state_->positions = positions;
}

bool TableReader::next(TableRow& row) {
    while (state_->next_line()) {
        row.line = state_->lines.line_number();
        row.index = state_->rows++;
        const std::string wrong = state_->read_row(row);
        if (wrong.empty()) {
            return true;
        }
        state_->reject(row.line, wrong);
    }
    return false;
}

void TableReader::reject(const TableRow& row, const std::string& why) {
    state_->reject(row.line, why);
}

const RowProblems& TableReader::problems() const {
    return state_->problems;
}

std::int64_t TableReader::rows_met() const {
    return state_->rows;
}

}  // namespace ladle
