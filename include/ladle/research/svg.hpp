// Charts as inline SVG: axes with round numbers, units in the labels, values on hover (<title>). Colours come from the
// page's style.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ladle {

/// What stands around a chart; texts are escaped by the functions below.
struct ChartFrame {
    std::string title;
    std::string x_label;  ///< with its unit
    std::string y_label;
};

/// Points of one line; NaN breaks it.
struct ChartSeries {
    std::string name;
    std::vector<double> x;
    std::vector<double> y;
    bool marks = false;  ///< every point is a dot: few points that matter one by one
};

/// Round numbers that cover least .. most, about `count` of them, at least two.
std::vector<double> nice_ticks(double least, double most, int count);

/// A number with as many decimals as the distance of its neighbours asks for.
std::string tick_text(double value, double distance);

/// Lines over a common x axis; a legend when there are several. More than 240 points of a line are shown as means of
/// neighbours. Empty text if there is nothing to show.
std::string line_chart(const ChartFrame& frame, const std::vector<ChartSeries>& series);

/// Values of one row of a dot chart, each with the text that is shown on hover.
struct DotRow {
    std::string name;
    std::vector<std::pair<double, std::string>> dots;
};

/// One row per name over a common x axis: a dot per value, and a bar at their mean with its standard deviation.
std::string dot_chart(const ChartFrame& frame, const std::vector<DotRow>& rows);

/// Shares in 0 .. 1 as shaded cells [rows][columns]; `hover` has a text for each.
struct ShareMap {
    std::vector<std::string> rows;
    std::vector<std::string> columns;
    std::vector<std::vector<double>> shares;
    std::vector<std::vector<std::string>> hover;
};
std::string share_map(const ChartFrame& frame, const ShareMap& map);

}  // namespace ladle
