// ladle inspect: what is in a file or directory, or what differs between two.
#include "ladle/io/inspect.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "jobs.hpp"
#include "ladle/core/error.hpp"
#include "ladle/train/console.hpp"
#include "ladle/train/run_report.hpp"

namespace ladle {
namespace {

void print_table(const ReportTable& report) {
    std::vector<TextTable::Column> columns;
    for (const auto& [title, is_number] : report.columns) {
        columns.push_back({title, is_number});
    }
    TextTable table(std::move(columns));
    for (std::vector<std::string> row : report.rows) {
        std::transform(row.begin(), row.end(), row.begin(), [](const std::string& cell) { return printable(cell); });
        table.add_row(std::move(row));
    }
    fmt::print("\n{}", table.text());
}

void print_tensors(const FileReport& report) {
    TextTable table({{"name", false}, {"type", false}, {"shape", false}, {"values", true}, {"sha256", false}});
    std::int64_t total = 0;
    for (const auto& [name, tensor] : report.tensors) {
        const auto count = static_cast<std::int64_t>(tensor.elements());
        total += count;
        table.add_row({printable(name), dtype_name(tensor.dtype), shape_text(tensor.shape), grouped_digits(count),
                       short_digest(tensor)});
    }
    for (const auto& [name, values] : report.texts) {
        table.add_row({printable(name), "string", fmt::format("[{}]", values.size()), "", ""});
    }
    fmt::print("\n{}\n{} tensors, {} values\n", table.text(), report.tensors.size(), grouped_digits(total));
}

/// The report on a file or directory of any kind.
FileReport report_on(const std::string& path) {
    return is_run_directory(path) ? inspect_run(path) : inspect_path(path);
}

void print_report(const std::string& path, const FileReport& report) {
    fmt::print("{}: {}\n{}\n\n", printable(path), printable(report.kind), report.digest);
    fmt::print("{}", facts_text(report));
    for (const ReportTable& summary : report.tables) {
        print_table(summary);
    }
    if (!report.tensors.empty() || !report.texts.empty()) {
        print_tensors(report);
    }
}

int print_differences(const JobOptions& job) {
    if (job.positional.size() != 2) {
        throw ConfigError("--diff compares two files", fmt::format("{} are given", job.positional.size()),
                          "ladle inspect --diff A B");
    }
    const std::vector<std::string> lines = differences(report_on(job.positional[0]), report_on(job.positional[1]));
    for (const std::string& line : lines) {
        fmt::print("{}\n", printable(line));
    }
    fmt::print("{}\n", lines.empty() ? "identical" : fmt::format("{} differences", lines.size()));
    return lines.empty() ? 0 : 1;
}

int inspect(const JobOptions& job, Communicator&) {
    if (job.has("diff")) {
        return print_differences(job);
    }
    if (job.positional.empty()) {
        throw ConfigError("ladle inspect needs a file", "none is given",
                          "name a run directory, shard, checkpoint, soup or model");
    }
    bool is_first = true;
    for (const std::string& path : job.positional) {
        const FileReport report = report_on(path);
        if (job.has("digest")) {
            fmt::print("{}  {}\n", report.digest, printable(path));
        } else {
            fmt::print("{}", is_first ? "" : "\n");
            print_report(path, report);
            is_first = false;
        }
    }
    return static_cast<int>(ExitCode::done);
}

}  // namespace

Job inspect_job() {
    JobSpec spec;
    spec.name = "inspect";
    spec.purpose = "Shows what is in a file or directory that ladle reads or writes, or what differs between two.";
    spec.switches = {
        {"diff", "", "Two files are compared: identity, tensors, first differing element; exit code 1 if they differ."},
        {"digest", "", "Only the digest of each file is printed, as a line that can be compared or searched for."}};
    spec.positional = "FILE ...";
    spec.examples = {"ladle inspect runs/mrpc/soup.h5", "ladle inspect runs/mrpc runs/mrpc/metrics.jsonl",
                     "ladle inspect --diff runs/a/soup.h5 runs/b/soup.h5"};
    return {spec, inspect, false};
}

}  // namespace ladle
