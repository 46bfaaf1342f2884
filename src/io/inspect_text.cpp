// JSON, JSON lines and TensorBoard events in short.
#include "inspect_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/core/read_file.hpp"
#include "ladle/io/tensorboard.hpp"

namespace ladle {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kMostBytes = std::size_t{256} << 20U;

/// A series of numbers in short.
struct Series {
    std::int64_t count = 0;
    double first = 0;
    double last = 0;
    double least = 0;
    double greatest = 0;

    void add(double value) {
        first = count == 0 ? value : first;
        last = value;
        least = count == 0 ? value : std::min(least, value);
        greatest = count == 0 ? value : std::max(greatest, value);
        ++count;
    }
    std::vector<std::string> cells() const {
        std::vector<std::string> cells = {fmt::format("{}", count)};
        for (const double value : {first, last, least, greatest}) {
            cells.push_back(fmt::format("{:.7g}", value));
        }
        return cells;
    }
};

constexpr const char* kSeriesTitles[] = {"values", "first", "last", "least", "greatest"};

ReportTable series_table(const std::vector<std::string>& names) {
    ReportTable table;
    for (const std::string& name : names) {
        table.columns.push_back({name, false});
    }
    for (const char* title : kSeriesTitles) {
        table.columns.push_back({title, true});
    }
    return table;
}

void add_row(std::vector<std::string> names, const Series& series, ReportTable& table) {
    const std::vector<std::string> cells = series.cells();
    names.insert(names.end(), cells.begin(), cells.end());
    table.rows.push_back(std::move(names));
}

/// Numbers of JSON lines by kind of line and key, in the order in which they first appear.
class LineSummary {
public:
    void add(const ordered_json& line) {
        std::string kind = text_at(line, "kind");
        const std::string split = text_at(line, "split");
        kind += kind.empty() || split.empty() ? split : " " + split;
        add_numbers(line, kind, "");
    }

    ReportTable table() const {
        ReportTable table = series_table({"lines", "number"});
        for (const auto& [kind, key] : order_) {
            add_row({kind, key}, series_.at({kind, key}), table);
        }
        return table;
    }

private:
    using Name = std::pair<std::string, std::string>;

    static std::string text_at(const ordered_json& line, const char* key) {
        const auto found = line.find(key);
        return found != line.end() && found->is_string() ? found->get<std::string>() : "";
    }

    void add_numbers(const ordered_json& value, const std::string& kind, const std::string& key) {
        for (const auto& [name, member] : value.items()) {
            const std::string path = key.empty() ? name : key + "." + name;
            if (member.is_object()) {
                add_numbers(member, kind, path);
            } else if (member.is_number()) {
                const auto [place, is_new] = series_.try_emplace({kind, path});
                place->second.add(member.get<double>());
                if (is_new) {
                    order_.emplace_back(kind, path);
                }
            }
        }
    }

    std::map<Name, Series> series_;
    std::vector<Name> order_;
};

FileReport inspect_events(const std::string& path) {
    const EventLog log = read_events(path);
    FileReport report;
    report.kind = "TensorBoard events";
    report.facts.emplace_back("complete", log.is_whole ? "true" : "false, the last record is cut off or damaged");
    ReportTable table = series_table({"tag", "last step"});
    table.columns[1].is_number = true;
    for (const auto& [tag, points] : log.scalars) {
        Series series;
        for (const EventPoint& point : points) {
            series.add(static_cast<double>(point.value));
        }
        add_row({tag, points.empty() ? "" : fmt::format("{}", points.back().step)}, series, table);
    }
    report.tables.push_back(std::move(table));
    return report;
}

/// The file as JSON lines. A last line without an end may be cut off: a run that was killed leaves such a one.
FileReport inspect_lines(const std::string& path, const std::string& text, const std::string& complaint) {
    FileReport report;
    report.kind = "JSON lines";
    LineSummary summary;
    std::size_t number = 0;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        ++number;
        ordered_json line;
        const std::string why = try_parse_json(std::string_view(text).substr(begin, end - begin), line);
        const bool is_object = why.empty() && line.is_object();
        if (!is_object && (number == 1 || end < text.size())) {
            throw DataError(
                "cannot read " + path,
                number == 1 ? complaint : fmt::format("line {}: {}", number, why.empty() ? "no object" : why),
                "name a file of JSON, or of one JSON object per line");
        }
        if (is_object) {
            summary.add(line);
        }
        report.facts = {{"lines", fmt::format("{}", is_object ? number : number - 1)}};
        if (!is_object) {
            report.facts.emplace_back("after them", "a line that was cut off");
        }
        begin = end + 1;
    }
    report.tables.push_back(summary.table());
    return report;
}

}  // namespace

void add_json(const ordered_json& value, const std::string& key, FileReport& report) {
    const bool lists_objects = value.is_array() && std::any_of(value.begin(), value.end(),
                                                               [](const auto& member) { return member.is_object(); });
    if (lists_objects || (value.is_object() && !value.empty())) {
        for (const auto& [name, member] : value.items()) {
            add_json(member, key.empty() ? name : key + "." + name, report);
        }
    } else {
        report.facts.emplace_back(key, value.is_string() ? value.get<std::string>() : value.dump());
    }
}

FileReport inspect_text(const std::string& path) {
    const std::string text = read_file(path, kMostBytes);
    const std::size_t start = text.find_first_not_of(" \t\r\n");
    FileReport report;
    if (starts_like_events(text)) {
        report = inspect_events(path);
    } else if (start != std::string::npos && (text[start] == '{' || text[start] == '[')) {
        ordered_json value;
        const std::string complaint = try_parse_json(text, value);
        if (complaint.empty()) {
            report.kind = "JSON";
            add_json(value, value.is_array() ? "array" : "", report);
        } else {
            report = inspect_lines(path, text, complaint);
        }
    } else {
        throw DataError("cannot read " + path, "this is not a kind of file that ladle inspects",
                        "name a run, adapters or model directory, or a file of HDF5, safetensors, torch, JSON, JSON "
                        "lines or TensorBoard events");
    }
    report.digest = "sha256 " + file_digest(path);
    return report;
}

}  // namespace ladle
