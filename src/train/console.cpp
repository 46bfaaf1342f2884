// Tables and progress for people.
#include "ladle/train/console.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "ladle/comm/communicator.hpp"
#include "ladle/core/check.hpp"
#include "ladle/core/utf8.hpp"

namespace ladle {
namespace {

constexpr int kBarWidth = 24;
// Often enough for the eye, seldom enough to cost nothing.
constexpr double kBarIntervalSeconds = 0.2;

}  // namespace

TextTable::TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

void TextTable::add_row(std::vector<std::string> cells) {
    check(cells.size() == columns_.size(), "a table row has one cell per column");
    rows_.push_back(std::move(cells));
}

std::string TextTable::text() const {
    std::vector<std::string> titles;
    std::vector<std::size_t> widths;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
        titles.push_back(columns_[c].title);
        widths.push_back(columns_[c].title.size());
        for (const auto& row : rows_) {
            widths[c] = std::max(widths[c], row[c].size());
        }
    }
    const auto line = [&](const std::vector<std::string>& cells) {
        std::string text;
        for (std::size_t c = 0; c < cells.size(); ++c) {
            text += columns_[c].is_number ? fmt::format("{:>{}}", cells[c], widths[c])
                                          : fmt::format("{:<{}}", cells[c], widths[c]);
            text += "  ";
        }
        text.erase(text.find_last_not_of(' ') + 1);
        return text + "\n";
    };
    std::vector<std::string> rules;
    for (const std::size_t width : widths) {
        rules.emplace_back(width, '-');
    }
    std::string text = line(titles) + line(rules);
    for (const auto& row : rows_) {
        text += line(row);
    }
    return text;
}

std::string grouped_digits(std::int64_t value) {
    std::string digits = fmt::format("{}", value);
    const std::int64_t first_digit = value < 0 ? 1 : 0;
    for (auto at = static_cast<std::int64_t>(digits.size()) - 3; at > first_digit; at -= 3) {
        digits.insert(static_cast<std::size_t>(at), ",");
    }
    return digits;
}

std::string readable_bytes(std::uint64_t bytes) {
    constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < std::size(kUnits)) {
        value /= 1024;
        ++unit;
    }
    return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string readable_duration(double seconds) {
    const std::int64_t whole = std::llround(std::max(0.0, seconds));
    const std::int64_t hours = whole / 3600;
    const std::int64_t minutes = whole / 60 % 60;
    return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60)
                     : fmt::format("{}:{:02}", minutes, whole % 60);
}

std::string terminal_text(std::string_view text) {
    std::string shown;
    for (std::size_t i = 0; i < text.size();) {
        const CodePoint point = decode_utf8(text, i);
        const bool is_control = (point.value < 0x20 && point.value != '\n' && point.value != '\t') ||
                                (point.value >= 0x7f && point.value < 0xa0);
        shown += !point.valid || is_control ? "?" : text.substr(i, point.bytes);
        i += point.bytes;
    }
    return shown;
}

std::string progress_text(const ProgressState& state, int bar_width) {
    std::string text;
    if (bar_width > 0) {
        const std::int64_t total = std::max<std::int64_t>(state.total, 1);
        const auto marks =
            static_cast<std::size_t>(std::clamp<std::int64_t>(state.done * bar_width / total, 0, bar_width));
        text = "[" + std::string(marks, '#') + std::string(static_cast<std::size_t>(bar_width) - marks, '.') + "] ";
    }
    text += fmt::format("{}/{} {}", state.done, state.total, state.unit);
    const std::int64_t done_here = state.done - state.done_before;
    if (done_here > 0 && state.elapsed_seconds > 0) {
        const double rate = static_cast<double>(done_here) / state.elapsed_seconds;
        text += fmt::format(", {:.3g} {}/s, {} left", rate, state.unit,
                            readable_duration(static_cast<double>(state.total - state.done) / rate));
    }
    return state.note.empty() ? text : text + ", " + state.note;
}

Progress::Progress(ProgressState start, double interval_seconds, bool enabled)
    : state_(std::move(start)),
      interval_seconds_(interval_seconds),
      enabled_(enabled),
      // Launchers give their ranks a pseudo-terminal even where their own output goes to a file.
      is_terminal_(isatty(STDOUT_FILENO) == 1 && launch_environment().variable.empty()) {
    state_.done_before = state_.done;
    if (is_terminal_) {
        interval_seconds_ = kBarIntervalSeconds;
    }
}

Progress::~Progress() {
    if (bar_is_open_) {
        std::fputs("\n", stdout);
    }
}

void Progress::update(std::int64_t done, const std::string& note) {
    state_.done = done;
    state_.note = note;
    const auto now = Clock::now();
    const bool due = std::chrono::duration<double>(now - shown_).count() >= interval_seconds_;
    if (enabled_ && (due || done == state_.total)) {
        shown_ = now;
        state_.elapsed_seconds = std::chrono::duration<double>(now - started_).count();
        show();
    }
}

void Progress::print(const std::string& text) {
    if (!enabled_) {
        return;
    }
    if (bar_is_open_) {
        std::fputs("\r\033[K", stdout);
        bar_is_open_ = false;
    }
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
}

void Progress::show() {
    if (is_terminal_) {
        fmt::print("\r{}\033[K", progress_text(state_, kBarWidth));
        bar_is_open_ = true;
    } else {
        fmt::print("{}\n", progress_text(state_, 0));
    }
    std::fflush(stdout);
}

}  // namespace ladle
