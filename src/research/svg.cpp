// Charts. Coordinates are those of the view box: 560 wide; text has 12 units.
#include "ladle/research/svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ladle/research/html.hpp"
#include "ladle/research/statistics.hpp"

namespace ladle {
namespace {

constexpr double kWidth = 560;
constexpr double kTop = 30;
constexpr double kRight = 14;
constexpr std::size_t kMostPoints = 240;
constexpr std::size_t kColours = 8;

/// Least and most of the finite numbers seen.
struct Range {
    double least = std::numeric_limits<double>::infinity();
    double most = -std::numeric_limits<double>::infinity();

    void add(double value) {
        if (std::isfinite(value)) {
            least = std::min(least, value);
            most = std::max(most, value);
        }
    }
    bool empty() const { return least > most; }
};

/// One axis: its ticks, and where a value lies between two coordinates.
class Axis {
public:
    Axis(Range range, int count, double begin, double end)
        : ticks_(nice_ticks(range.least, range.most, count)), begin_(begin), end_(end) {}

    const std::vector<double>& ticks() const { return ticks_; }
    std::string label(double tick) const { return tick_text(tick, ticks_[1] - ticks_[0]); }
    double at(double value) const {
        return begin_ + (value - ticks_.front()) / (ticks_.back() - ticks_.front()) * (end_ - begin_);
    }

private:
    std::vector<double> ticks_;
    double begin_;
    double end_;
};

std::string colour(std::size_t index) {
    return fmt::format("var(--c{})", index % kColours);
}

std::string open_svg(const ChartFrame& frame, double height) {
    return fmt::format(
        "<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n<text class=\"title\" x=\"0\" "
        "y=\"16\">{}</text>\n",
        kWidth, height, escape_html(frame.title), escape_html(frame.title));
}

std::string text_at(double x, double y, const std::string& anchor, const std::string& text) {
    return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                       escape_html(text));
}

std::string grid_line(double x1, double y1, double x2, double y2) {
    return fmt::format("<line class=\"grid\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", x1, y1, x2,
                       y2);
}

std::string x_axis(const Axis& axis, const std::string& label, double top, double bottom, double left) {
    std::string svg;
    for (const double tick : axis.ticks()) {
        svg += grid_line(axis.at(tick), top, axis.at(tick), bottom) +
               text_at(axis.at(tick), bottom + 16, "middle", axis.label(tick));
    }
    return svg + text_at((left + kWidth - kRight) / 2, bottom + 34, "middle", label);
}

/// Means of neighbours, so that at most kMostPoints are left.
ChartSeries thinned(const ChartSeries& series) {
    if (series.x.size() <= kMostPoints) {
        return series;
    }
    ChartSeries thin{series.name, {}, {}, series.marks};
    for (std::size_t bucket = 0; bucket < kMostPoints; ++bucket) {
        const std::size_t begin = bucket * series.x.size() / kMostPoints;
        const std::size_t end = (bucket + 1) * series.x.size() / kMostPoints;
        const auto first = static_cast<std::ptrdiff_t>(begin);
        const auto last = static_cast<std::ptrdiff_t>(end);
        thin.x.push_back(summarize({series.x.begin() + first, series.x.begin() + last}).mean);
        thin.y.push_back(summarize({series.y.begin() + first, series.y.begin() + last}).mean);
    }
    return thin;
}

std::string number_text(double value) {
    return fmt::format("{:.5g}", value);
}

/// For hovering; one value has no deviation.
std::string summary_text(const Summary& summary) {
    return std::isnan(summary.deviation)
               ? fmt::format("{}, n = {}", number_text(summary.mean), summary.count)
               : fmt::format("mean {}, standard deviation {}, n = {}", number_text(summary.mean),
                             number_text(summary.deviation), summary.count);
}

std::string draw_line(const ChartSeries& series, std::size_t index, const Axis& x, const Axis& y,
                      const ChartFrame& frame) {
    std::string path;
    std::string hits;
    bool open = false;
    for (std::size_t i = 0; i < series.x.size(); ++i) {
        if (!std::isfinite(series.y[i]) || !std::isfinite(series.x[i])) {
            open = false;
            continue;
        }
        const double px = x.at(series.x[i]);
        const double py = y.at(series.y[i]);
        path += fmt::format("{}{:.1f} {:.1f}", open ? "L" : "M", px, py);
        open = true;
        hits += fmt::format("<circle {} cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"><title>{}: {}\n{} {}</title></circle>\n",
                            series.marks ? fmt::format("fill=\"{}\"", colour(index)) : "class=\"hit\"", px, py,
                            series.marks ? 3 : 5, escape_html(series.name), number_text(series.y[i]),
                            escape_html(frame.x_label), number_text(series.x[i]));
    }
    return fmt::format("<path class=\"line\" stroke=\"{}\" d=\"{}\"/>\n", colour(index), path) + hits;
}

/// Names with their colours below a chart, in lines of what fits.
std::string legend(const std::vector<std::string>& names, double top, double& height) {
    std::string svg;
    double x = 0;
    double y = top;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const double width = 26 + 6.8 * static_cast<double>(names[i].size());
        if (x > 0 && x + width > kWidth) {
            x = 0;
            y += 18;
        }
        svg += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"12\" height=\"4\" fill=\"{}\"/>\n", x, y - 6,
                           colour(i)) +
               text_at(x + 16, y, "start", names[i]);
        x += width;
    }
    height = y + 8;
    return svg;
}

}  // namespace

std::vector<double> nice_ticks(double least, double most, int count) {
    if (!(most > least)) {
        const double around = least == 0 ? 1 : std::fabs(least) * 0.1;
        least -= around;
        most += around;
    }
    const double rough = (most - least) / count;
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    double step = 10 * power;
    for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
        if (factor * power >= rough * 0.999) {
            step = factor * power;
            break;
        }
    }
    std::vector<double> ticks;
    const double first = std::floor(least / step + 1e-9);
    for (double tick = first; (ticks.size() < 2 || ticks.back() < most - 1e-9 * step) && ticks.size() < 50; ++tick) {
        ticks.push_back(tick * step);
    }
    return ticks;
}

std::string tick_text(double value, double distance) {
    if (std::fabs(value) >= 1e6 || distance < 1e-4) {
        return std::fabs(value) < distance / 2 ? "0" : fmt::format("{:.3g}", value);
    }
    int decimals = 0;
    for (double scaled = distance; decimals < 5 && std::fabs(scaled - std::round(scaled)) > 1e-6 * scaled;
         scaled *= 10) {
        ++decimals;
    }
    return fmt::format("{:.{}f}", std::fabs(value) < distance / 2 ? 0.0 : value, decimals);
}

std::string line_chart(const ChartFrame& frame, const std::vector<ChartSeries>& series) {
    constexpr double kHeight = 250;
    constexpr double kLeft = 62;
    Range x_range;
    Range y_range;
    std::vector<ChartSeries> shown;
    std::vector<std::string> names;
    for (const ChartSeries& line : series) {
        shown.push_back(thinned(line));
        names.push_back(line.name);
        std::for_each(shown.back().x.begin(), shown.back().x.end(), [&](double value) { x_range.add(value); });
        std::for_each(shown.back().y.begin(), shown.back().y.end(), [&](double value) { y_range.add(value); });
    }
    if (x_range.empty() || y_range.empty()) {
        return "";
    }
    const double bottom = kHeight - 40;
    const Axis x(x_range, 6, kLeft, kWidth - kRight);
    const Axis y(y_range, 5, bottom, kTop + 14);
    double height = kHeight;
    const std::string names_below = shown.size() > 1 ? legend(names, kHeight + 14, height) : "";
    std::string svg = open_svg(frame, height) + x_axis(x, frame.x_label, kTop + 14, bottom, kLeft);
    svg += text_at(0, kTop + 3, "start", frame.y_label);
    for (const double tick : y.ticks()) {
        svg += grid_line(kLeft, y.at(tick), kWidth - kRight, y.at(tick)) +
               text_at(kLeft - 6, y.at(tick) + 4, "end", y.label(tick));
    }
    for (std::size_t i = 0; i < shown.size(); ++i) {
        svg += draw_line(shown[i], i, x, y, frame);
    }
    return svg + names_below + "</svg>";
}

std::string dot_chart(const ChartFrame& frame, const std::vector<DotRow>& rows) {
    constexpr double kRow = 38;
    constexpr double kLeft = 20;
    Range range;
    for (const DotRow& row : rows) {
        std::for_each(row.dots.begin(), row.dots.end(), [&](const auto& dot) { range.add(dot.first); });
    }
    if (range.empty()) {
        return "";
    }
    const double bottom = kTop + kRow * static_cast<double>(rows.size());
    const Axis x(range, 6, kLeft, kWidth - kRight - 8);
    std::string svg = open_svg(frame, bottom + 42) + x_axis(x, frame.x_label, kTop, bottom, kLeft);
    for (std::size_t r = 0; r < rows.size(); ++r) {
        const double y = kTop + kRow * static_cast<double>(r) + 26;
        std::vector<double> values;
        for (const auto& [value, hover] : rows[r].dots) {
            values.push_back(value);
        }
        svg += text_at(kLeft + 4, y - 12, "start", rows[r].name);
        const Summary summary = summarize(values);
        if (summary.count == 0) {
            continue;
        }
        const double spread = std::isnan(summary.deviation) ? 0 : summary.deviation;
        const double from = std::max(x.at(summary.mean - spread), 0.0);
        const double to = std::min(x.at(summary.mean + spread), kWidth);
        svg += fmt::format(
            "<line x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"{3}\" stroke-width=\"3\" "
            "stroke-opacity=\".35\"/>\n<line x1=\"{4:.1f}\" x2=\"{4:.1f}\" y1=\"{5:.1f}\" y2=\"{6:.1f}\" "
            "stroke=\"{3}\" stroke-width=\"3\"><title>{7}: {8}</title></line>\n",
            from, to, y, colour(r), x.at(summary.mean), y - 8, y + 8, escape_html(rows[r].name), summary_text(summary));
        for (const auto& [value, hover] : rows[r].dots) {
            if (std::isfinite(value)) {
                svg += fmt::format(
                    "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"{}\" fill-opacity=\".75\"><title>{}</title>"
                    "</circle>\n",
                    x.at(value), y, colour(r), escape_html(hover));
            }
        }
    }
    return svg + "</svg>";
}

std::string share_map(const ChartFrame& frame, const ShareMap& map) {
    constexpr double kRow = 20;
    constexpr double kLeft = 92;
    if (map.rows.empty() || map.columns.empty()) {
        return "";
    }
    const double bottom = kTop + 20 + kRow * static_cast<double>(map.rows.size());
    const double width = (kWidth - kLeft - kRight) / static_cast<double>(map.columns.size());
    std::string svg = open_svg(frame, bottom + 10);
    for (std::size_t c = 0; c < map.columns.size(); ++c) {
        svg += text_at(kLeft + width * (static_cast<double>(c) + 0.5), kTop + 12, "middle", map.columns[c]);
    }
    for (std::size_t r = 0; r < map.rows.size(); ++r) {
        const double y = kTop + 20 + kRow * static_cast<double>(r);
        svg += text_at(kLeft - 8, y + 14, "end", map.rows[r]);
        for (std::size_t c = 0; c < map.shares[r].size(); ++c) {
            const double x = kLeft + width * static_cast<double>(c);
            svg += fmt::format(
                "<g><rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"var(--c0)\" "
                "fill-opacity=\"{:.3f}\"/><title>{}</title>",
                x, y, width - 2, kRow - 2, 0.7 * std::clamp(map.shares[r][c], 0.0, 1.0), escape_html(map.hover[r][c]));
            svg += fmt::format(
                "<text class=\"strong\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.3f}</text></g>\n",
                x + width / 2, y + 14, map.shares[r][c]);
        }
    }
    return svg + "</svg>";
}

}  // namespace ladle
