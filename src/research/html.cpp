// HTML text.
#include "ladle/research/html.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "ladle/core/utf8.hpp"

namespace ladle {
namespace {

// Colours of series are told apart by people who see few colours, too (after Okabe and Ito 2008).
constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1c2024; --faint: #5c646c; --rule: #d4d9de; --band: #f4f6f8;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b8579a; --c4: #b07d00; --c5: #3f8fc4; --c6: #7a5bb0; --c7: #6b7178; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e4e7ea; --faint: #9aa3ab; --rule: #353b41;
  --band: #1d2125; --c0: #5ab0e6; --c1: #f08a45; --c2: #3fc79b; --c3: #df8fc4; --c4: #e0b040; --c5: #8cc8ee;
  --c6: #b09be0; --c7: #a4abb2; } }
@media print { :root { color-scheme: light; --paper: #ffffff; --ink: #000000; --faint: #444444; --rule: #bbbbbb;
  --band: #f4f4f4; --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b8579a; --c4: #b07d00; --c5: #3f8fc4;
  --c6: #7a5bb0; --c7: #6b7178; } figure, table, h2, h3 { break-inside: avoid; } h2, h3 { break-after: avoid; }
  main { max-width: none; padding: 0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--rule); padding-bottom: .2rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p { margin: .4rem 0; max-width: 60rem; color: var(--faint); overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; text-align: right; vertical-align: top; border-bottom: 1px solid var(--rule);
  white-space: nowrap; }
th:first-child, td:first-child, .words { text-align: left; }
td.words { white-space: pre-wrap; overflow-wrap: anywhere; min-width: 6rem; max-width: 48rem; }
thead th { color: var(--faint); font-weight: 600; }
tbody th { font-weight: 400; text-align: left; }
tbody tr:hover { background: var(--band); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 36rem)); gap: 1rem; }
figure { margin: 0; }
svg { width: 100%; height: auto; display: block; }
svg text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: var(--faint); }
svg text.title { font-size: 14px; font-weight: 600; fill: var(--ink); }
svg text.strong { fill: var(--ink); }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .line { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
svg .hit { fill: transparent; }
svg .hit:hover { fill: var(--ink); fill-opacity: .35; }
)";

}  // namespace

std::string escape_html(const std::string& text) {
    std::string safe;
    for (std::size_t at = 0; at < text.size();) {
        const auto byte = static_cast<unsigned char>(text[at]);
        const CodePoint letter = decode_utf8(text, at);
        if (byte >= 0x80 && letter.valid) {
            safe += text.substr(at, letter.bytes);
            at += letter.bytes;
            continue;
        }
        ++at;
        switch (byte) {
            case '&':
                safe += "&amp;";
                break;
            case '<':
                safe += "&lt;";
                break;
            case '>':
                safe += "&gt;";
                break;
            case '"':
                safe += "&quot;";
                break;
            case '\'':
                safe += "&#39;";
                break;
            default:
                safe += (byte >= 0x20 && byte < 0x7f) || byte == '\n' || byte == '\t' ? static_cast<char>(byte) : '?';
        }
    }
    return safe;
}

bool HtmlTable::holds_words(std::size_t column) const {
    return std::any_of(rows_.begin(), rows_.end(), [&](const std::vector<std::string>& row) {
        const std::string& cell = row[column];
        return cell.find_first_not_of("0123456789+-., %") != std::string::npos &&
               cell.find("\u00b1") == std::string::npos;
    });
}

std::string HtmlTable::text() const {
    std::string html = "<div class=\"scroll\"><table>\n<thead><tr>";
    std::vector<const char*> classes;
    for (std::size_t column = 0; column < columns_.size(); ++column) {
        classes.push_back(holds_words(column) ? " class=\"words\"" : "");
        html += fmt::format("<th scope=\"col\"{}>{}</th>", classes.back(), escape_html(columns_[column]));
    }
    html += "</tr></thead>\n<tbody>\n";
    for (const std::vector<std::string>& row : rows_) {
        html += "<tr>";
        for (std::size_t cell = 0; cell < row.size(); ++cell) {
            html += cell == 0 ? fmt::format("<th scope=\"row\">{}</th>", escape_html(row[cell]))
                              : fmt::format("<td{}>{}</td>", classes[cell], escape_html(row[cell]));
        }
        html += "</tr>\n";
    }
    return html + "</tbody></table></div>\n";
}

std::string html_heading(const std::string& title, int level) {
    return fmt::format("<h{0}>{1}</h{0}>\n", level, escape_html(title));
}

std::string html_note(const std::string& text) {
    return "<p>" + escape_html(text) + "</p>\n";
}

std::string html_charts(const std::vector<std::string>& charts) {
    std::string html = "<div class=\"charts\">\n";
    for (const std::string& chart : charts) {
        html += chart.empty() ? "" : "<figure>" + chart + "</figure>\n";
    }
    return html + "</div>\n";
}

std::string html_page(const std::string& title, const std::string& body) {
    return fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        "<title>{0}</title>\n<style>{1}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>\n{2}</main>\n</body>\n</html>\n",
        escape_html(title), kStyle, body);
}

}  // namespace ladle
