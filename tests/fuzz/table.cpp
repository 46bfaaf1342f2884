// Fuzzing target: TSV, CSV and JSONL. The first byte of an input chooses the format.
#include <nlohmann/json.hpp>

#include "ladle/core/error.hpp"
#include "ladle/io/tabular.hpp"
#include "support.hpp"

namespace {

using Rows = std::vector<std::vector<std::string>>;

struct Table {
    std::vector<std::string> header;
    Rows rows;
};

ladle::TableOptions options_of(std::uint8_t byte) {
    ladle::TableOptions options;
    options.format = static_cast<ladle::TableFormat>(byte % 3);
    options.headerless_columns = options.format == ladle::TableFormat::tsv && byte % 2 == 1 ? 3 : 0;
    options.max_row_bytes = 4096;
    return options;
}

/// All well-formed rows with all their columns; of a header that names a column twice, without columns.
Table read(const std::string& path, const ladle::TableOptions& options) {
    ladle::TableReader reader(path, options);
    Table table{reader.header(), {}};
    if (options.headerless_columns > 0) {
        reader.select_positions({0, 1, 2});
    } else {
        reader.select(table.header);
    }
    ladle::TableRow row;
    while (reader.next(row)) {
        table.rows.push_back(row.fields);
    }
    return table;
}

std::string quoted(const std::string& field) {
    std::string text = "\"";
    for (const char byte : field) {
        // A line feed is preceded by the carriage return that the reader takes away, so that the field's own ones stay.
        text += byte == '"' ? "\"\"" : byte == '\n' ? "\r\n" : std::string(1, byte);
    }
    return text + '"';
}

std::string written_row(const Table& table, const std::vector<std::string>& fields, ladle::TableFormat format) {
    if (format == ladle::TableFormat::jsonl) {
        nlohmann::json object = nlohmann::json::object();
        for (std::size_t i = 0; i < fields.size(); ++i) {
            object[table.header[i]] = fields[i];
        }
        return object.dump() + "\n";
    }
    std::string line;
    for (std::size_t i = 0; i < fields.size(); ++i) {
        line += i == 0 ? "" : format == ladle::TableFormat::tsv ? "\t" : ",";
        line += format == ladle::TableFormat::tsv ? fields[i] : quoted(fields[i]);
    }
    return line + "\r\n";
}

std::string written(const Table& table, const ladle::TableOptions& options) {
    std::string text;
    if (options.headerless_columns == 0 && options.format != ladle::TableFormat::jsonl) {
        text = written_row(table, table.header, options.format);
    }
    for (const auto& row : table.rows) {
        text += written_row(table, row, options.format);
    }
    return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryFile file;
    if (count == 0) {
        return 0;
    }
    ladle::TableOptions options = options_of(bytes[0]);
    file.set(ladle_fuzz::text_of(bytes + 1, count - 1));
    Table table;
    try {
        table = read(file.path(), options);
    } catch (const ladle::DataError&) {
        return 0;
    }
    if (table.rows.empty()) {
        return 0;
    }
    // The written form may be longer: quotes, escapes.
    options.max_row_bytes *= 8;
    options.strict = true;
    file.set("\xEF\xBB\xBF" + written(table, options));
    const Table again = read(file.path(), options);
    ladle_fuzz::require(again.rows == table.rows, "the rows come back");
    return 0;
}
