// What a person sees while a job runs: aligned tables and progress. Printed by rank 0 only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ladle {

/// Rows of text in aligned columns.
class TextTable {
public:
    struct Column {
        std::string title;
        bool is_number = true;  ///< numbers are aligned to the right
    };
    explicit TextTable(std::vector<Column> columns);
    /// One cell per column.
    void add_row(std::vector<std::string> cells);
    /// Title line, a rule, the rows; each line ends with a line end and has no blanks before it.
    std::string text() const;

private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
};

/// A count in groups of three digits, e.g. "306,627".
std::string grouped_digits(std::int64_t value);
/// Bytes with a binary unit, e.g. "1.2 MiB".
std::string readable_bytes(std::uint64_t bytes);
/// Seconds as "0:07", "12:34" or "1:02:03".
std::string readable_duration(double seconds);

/// Text of unknown origin without what a terminal would obey: control characters but tabs and line ends, and bytes that
/// are not UTF-8, become "?".
std::string terminal_text(std::string_view text);

/// How far a job is.
struct ProgressState {
    std::int64_t done = 0;
    std::int64_t total = 0;
    std::int64_t done_before = 0;  ///< at the start of this process: a resumed run does not count these in its rate
    double elapsed_seconds = 0;    ///< in this process
    std::string unit;              ///< plural, e.g. "steps"
    std::string note;              ///< e.g. "loss 0.531"; may be empty
};

/// "120/300 steps, 12.3 steps/s, 0:15 left, loss 0.531"; with `bar_width` > 0 preceded by a bar of so many marks.
std::string progress_text(const ProgressState& state, int bar_width);

/// Shows the state on standard output: a bar that rewrites itself on a terminal, else (also under a launcher) a line
/// every `interval_seconds`.
class Progress {
public:
    /// `enabled` is false on all ranks but 0; then nothing is ever printed.
    Progress(ProgressState start, double interval_seconds, bool enabled);
    /// Ends the bar's line.
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    void update(std::int64_t done, const std::string& note);
    /// Prints text in lines of its own, not into the bar.
    void print(const std::string& text);

private:
    using Clock = std::chrono::steady_clock;
    void show();

    ProgressState state_;
    double interval_seconds_;
    bool enabled_;
    bool is_terminal_;
    bool bar_is_open_ = false;
    Clock::time_point started_ = Clock::now();
    Clock::time_point shown_ = started_;
};

}  // namespace ladle
