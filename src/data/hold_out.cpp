// Which rows are held out depends on share, seed and their number only.
#include "ladle/data/hold_out.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "ladle/core/error.hpp"
#include "ladle/core/random.hpp"

namespace ladle {
namespace {

template <class Value>
std::vector<Value> pick(const std::vector<Value>& values, const std::vector<std::uint32_t>& rows) {
    std::vector<Value> picked;
    for (const std::uint32_t row : rows) {
        if (!values.empty()) {
            picked.push_back(values[row]);
        }
    }
    return picked;
}

Split take_rows(const Split& split, const std::vector<std::uint32_t>& rows) {
    Split part = split;
    part.input_ids.clear();
    part.is_target.clear();
    part.offsets = {0};
    for (const std::uint32_t row : rows) {
        const auto begin = split.input_ids.begin() + split.offsets[row];
        part.input_ids.insert(part.input_ids.end(), begin, begin + split.length(row));
        if (!split.is_target.empty()) {
            const auto marks = split.is_target.begin() + split.offsets[row];
            part.is_target.insert(part.is_target.end(), marks, marks + split.length(row));
        }
        part.offsets.push_back(static_cast<std::int64_t>(part.input_ids.size()));
    }
    part.sep_pos = pick(split.sep_pos, rows);
    part.labels = pick(split.labels, rows);
    part.targets = pick(split.targets, rows);
    part.idx = pick(split.idx, rows);
    return part;
}

}  // namespace

std::vector<std::uint32_t> held_out_rows(std::size_t samples, double share, std::uint64_t seed) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> words;
    for (std::uint32_t row = 0; row < samples; ++row) {
        words.emplace_back(random_word({.seed = seed, .row = row, .purpose = Purpose::selection}, 0), row);
    }
    std::sort(words.begin(), words.end());
    words.resize(static_cast<std::size_t>(std::llround(share * static_cast<double>(samples))));
    std::vector<std::uint32_t> rows;
    for (const auto& [word, row] : words) {
        rows.push_back(row);
    }
    std::sort(rows.begin(), rows.end());
    return rows;
}

Split hold_out(Split& split, double share, std::uint64_t seed) {
    const std::vector<std::uint32_t> rows = held_out_rows(split.samples(), share, seed);
    if (rows.empty() || rows.size() == split.samples()) {
        throw ConfigError(
            fmt::format("cannot hold out {} of the {} rows of {}", rows.size(), split.samples(), split.name),
            fmt::format("a share of {} leaves no rows to {}", share, rows.empty() ? "choose on" : "train on"),
            "set eval.select to another share, or to dev");
    }
    std::vector<std::uint32_t> kept;
    for (std::uint32_t row = 0; row < split.samples(); ++row) {
        if (!std::binary_search(rows.begin(), rows.end(), row)) {
            kept.push_back(row);
        }
    }
    Split part = take_rows(split, rows);
    part.name = kHeldOut;
    split = take_rows(split, kept);
    return part;
}

}  // namespace ladle
