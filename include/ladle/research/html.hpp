// Pieces of a self-contained HTML page: text made safe, tables, the page itself. Nothing is loaded from elsewhere.
#pragma once

#include <string>
#include <vector>

namespace ladle {

/// Text as it may stand between tags and inside quoted attributes: & < > " ' become entities, and bytes that are no
/// UTF-8 or control characters become a question mark.
std::string escape_html(const std::string& text);

/// A table; all texts are escaped here. Columns of numbers are aligned to the right.
class HtmlTable {
public:
    explicit HtmlTable(std::vector<std::string> columns) : columns_(std::move(columns)) {}
    /// One cell per column; the first is the row's heading.
    void add_row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
    bool empty() const { return rows_.empty(); }
    std::string text() const;

private:
    bool holds_words(std::size_t column) const;

    std::vector<std::string> columns_;
    std::vector<std::vector<std::string>> rows_;
};

/// <h2> with its id-free title, escaped.
std::string html_heading(const std::string& title, int level = 2);
/// A paragraph of escaped text.
std::string html_note(const std::string& text);
/// A frame for charts: several stand side by side where there is room.
std::string html_charts(const std::vector<std::string>& charts);

/// The page: title (escaped) and a body made of the pieces above. Light and dark as the reader's system asks, light on
/// paper.
std::string html_page(const std::string& title, const std::string& body);

}  // namespace ladle
