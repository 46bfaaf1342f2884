// The grid of a sweep.
#include "ladle/research/grid.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <functional>
#include <map>

#include "ladle/config/ini.hpp"
#include "ladle/config/options.hpp"
#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/suggest.hpp"

namespace ladle {
namespace {

constexpr const char* kSeed = "run.seed";
constexpr const char* kMethod = "method";
constexpr const char* kBaseFiles = "sweep.config";
constexpr const char* kDefaultSeeds = "0..4";
constexpr std::size_t kIdDigits = 12;
constexpr std::size_t kMostRuns = 100000;

/// An option with all its values.
struct Axis {
    std::string name;
    std::vector<std::string> values;
    std::string origin;
};

struct Method {
    std::string name;
    std::vector<Axis> options;
};

/// Files and command line, read but not combined.
struct Parts {
    std::vector<std::string> base_files;  ///< may hold placeholders
    std::vector<Axis> from_files;
    std::vector<Method> methods;
    std::vector<Axis> from_command_line;
};

std::string trimmed(const std::string& text) {
    const std::size_t begin = text.find_first_not_of(" \t");
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

[[noreturn]] void refuse_empty(const std::string& name, const std::string& text) {
    throw ConfigError(fmt::format("the sweep has no runs: {} = \"{}\" holds no value", name, text),
                      "every listed option needs at least one",
                      "give values such as `a, b` or `0..4`, or leave it out");
}

/// Appends `word`, or the numbers of a range such as 0..4; false if the range is empty.
bool append_values(const std::string& name, const std::string& word, std::vector<std::string>& values) {
    const std::size_t dots = word.find("..");
    std::int64_t first = 0;
    std::int64_t last = 0;
    const auto number = [](const std::string& text, std::int64_t& value) {
        const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
        return failure == std::errc() && end == text.data() + text.size() && value >= 0;
    };
    if (dots == std::string::npos || !number(word.substr(0, dots), first) || !number(word.substr(dots + 2), last)) {
        values.push_back(word);
        return true;
    }
    if (last - first >= static_cast<std::int64_t>(kMostRuns)) {
        throw ConfigError(fmt::format("{} = {} has too many values", name, word),
                          fmt::format("a sweep has at most {} runs", kMostRuns), "shorten the range");
    }
    for (std::int64_t value = first; value <= last; ++value) {
        values.push_back(std::to_string(value));
    }
    return first <= last;
}

/// Without the quotes, which must enclose all of the word.
std::string quoted_value(const std::string& name, const std::string& word) {
    const bool is_enclosed = word.size() > 2 && word.front() == '"' && word.find('"', 1) == word.size() - 1;
    if (!is_enclosed) {
        throw ConfigError(fmt::format("{} lists {}", name, word), "its quotes do not enclose one value",
                          "write for instance \"Q,V\", \"K\"");
    }
    return word.substr(1, word.size() - 2);
}

/// Where the comma behind the value is, or the text ends.
std::size_t end_of_value(const std::string& text, std::size_t begin) {
    const std::size_t first = text.find_first_not_of(" \t", begin);
    const bool is_quoted = first != std::string::npos && text[first] == '"';
    const std::size_t from = is_quoted ? text.find('"', first + 1) : begin;
    return std::min(text.find(',', from == std::string::npos ? begin : from), text.size());
}

Axis make_axis(const Assignment& assignment) {
    const Option* option = find_option(assignment.name);
    // One value, as `train` reads it.
    const bool is_one = option != nullptr && option->is_list && assignment.value.find('"') == std::string::npos &&
                        !trimmed(assignment.value).empty();
    return {
        assignment.name,
        is_one ? std::vector<std::string>{trimmed(assignment.value)} : list_values(assignment.name, assignment.value),
        assignment.origin};
}

/// What make_axis reads.
std::string axis_text(const Axis& axis) {
    std::vector<std::string> words;
    for (const std::string& value : axis.values) {
        const bool splits = value.find(',') != std::string::npos || value.find("..") != std::string::npos;
        words.push_back(splits ? '"' + value + '"' : value);
    }
    return fmt::format("{}", fmt::join(words, ", "));
}

/// Later assignments of one option replace earlier ones and keep their place.
void put(std::vector<Axis>& axes, Axis axis) {
    const auto known = std::find_if(axes.begin(), axes.end(), [&](const Axis& old) { return old.name == axis.name; });
    if (known == axes.end()) {
        axes.push_back(std::move(axis));
    } else {
        *known = std::move(axis);
    }
}

bool sets(const std::vector<Axis>& axes, const std::string& name) {
    return std::any_of(axes.begin(), axes.end(), [&](const Axis& axis) { return axis.name == name; });
}

[[noreturn]] void refuse_unknown(const std::string& where, const std::string& name) {
    std::vector<std::string> known = option_names();
    known.emplace_back(kBaseFiles);
    throw ConfigError(fmt::format("{}: the sweep lists an unknown option \"{}\"", where, name),
                      did_you_mean(name, known, "there is nothing like it"),
                      "`ladle sweep --help` lists the options; named sets of them go under [method.NAME]");
}

void check_option(const std::string& where, const std::string& name) {
    if (name == "run.dir") {
        throw ConfigError(where + ": run.dir cannot be set in a sweep", "every run gets its own below the sweep's",
                          "name the sweep's directory: `ladle sweep DIR ...`");
    }
    if (find_option(name) == nullptr) {
        refuse_unknown(where, name);
    }
}

/// "method.NAME.OPTION" into the method's options.
void put_method_option(const std::string& file, const std::string& name, const std::string& value,
                       std::vector<Method>& methods) {
    const std::size_t begin = std::string(kMethod).size() + 1;
    const std::size_t dot = name.find('.', begin);
    const std::string method = name.substr(begin, dot - begin);
    const std::string option = dot == std::string::npos ? "" : name.substr(dot + 1);
    if (option.empty() || method.empty()) {
        refuse_unknown(file, name);
    }
    check_option(file, option);
    auto known = std::find_if(methods.begin(), methods.end(), [&](const Method& m) { return m.name == method; });
    if (known == methods.end()) {
        known = methods.insert(methods.end(), {method, {}});
    }
    put(known->options, make_axis({option, value, "file " + file}));
}

Parts read_parts(const SweepSource& source) {
    Parts parts;
    for (const std::string& file : source.config_files) {
        for (const auto& [name, value] : read_ini_lines(read_config_file(file), file)) {
            if (name == kBaseFiles) {
                for (const std::string& base : list_values(name, value)) {
                    parts.base_files.push_back((std::filesystem::path(file).parent_path() / base).string());
                }
            } else if (name.starts_with(std::string(kMethod) + ".")) {
                put_method_option(file, name, value, parts.methods);
            } else {
                check_option(file, name);
                put(parts.from_files, make_axis({name, value, "file " + file}));
            }
        }
    }
    for (const Assignment& assignment : source.assignments) {
        check_option(assignment.origin, assignment.name);
        put(parts.from_command_line, make_axis(assignment));
    }
    return parts;
}

/// Every combination of one value per axis; the last axis varies fastest. No axes: one empty combination.
std::vector<std::vector<Assignment>> combinations(const std::vector<Axis>& axes) {
    std::vector<std::vector<Assignment>> all = {{}};
    for (const Axis& axis : axes) {
        std::vector<std::vector<Assignment>> longer;
        if (all.size() * axis.values.size() > kMostRuns) {
            throw ConfigError(fmt::format("the sweep has more than {} runs", kMostRuns),
                              "that is the most of one directory", "split it into several sweeps");
        }
        for (const auto& start : all) {
            for (const std::string& value : axis.values) {
                longer.push_back(start);
                longer.back().push_back({axis.name, value, axis.origin});
            }
        }
        all = std::move(longer);
    }
    return all;
}

/// Replaces each {NAME}; values of `known` are taken from its end.
std::string fill_placeholders(const std::string& text, const std::vector<Assignment>& known) {
    std::string filled;
    std::size_t begin = 0;
    while (begin < text.size()) {
        const std::size_t open = text.find('{', begin);
        filled += text.substr(begin, open - begin);
        if (open == std::string::npos) {
            break;
        }
        const std::size_t close = text.find('}', open);
        const std::string name = close == std::string::npos ? "" : text.substr(open + 1, close - open - 1);
        const auto found =
            std::find_if(known.rbegin(), known.rend(), [&](const Assignment& item) { return item.name == name; });
        if (found == known.rend() || found->value.find('{') != std::string::npos) {
            throw ConfigError(fmt::format("\"{}\" in the sweep cannot be filled in", text),
                              fmt::format("no plain value is given for \"{}\"", name),
                              "name an option that the sweep sets, for instance {data.task}");
        }
        filled += found->value;
        begin = close + 1;
    }
    return filled;
}

/// The axes that the sweep varies, beside methods: what command line and files list, and the seed last.
std::vector<Axis> shared_axes(const Parts& parts) {
    std::vector<Axis> axes = parts.from_files;
    for (const Axis& axis : parts.from_command_line) {
        put(axes, axis);
    }
    const auto seed = std::find_if(axes.begin(), axes.end(), [](const Axis& axis) { return axis.name == kSeed; });
    Axis seeds = seed == axes.end() ? make_axis({kSeed, kDefaultSeeds, "default of sweeps"}) : *seed;
    if (seed != axes.end()) {
        axes.erase(seed);
    }
    axes.push_back(std::move(seeds));
    return axes;
}

/// One method with one value for each of its options; without methods, nothing.
struct Variant {
    std::string method;
    std::vector<Assignment> options;
    NamedValues listed;  ///< options of which the method lists several values
};

std::vector<Variant> method_variants(const std::vector<Method>& methods) {
    std::vector<Variant> variants;
    for (const Method& method : methods) {
        for (const auto& options : combinations(method.options)) {
            Variant variant{method.name, options, {}};
            for (std::size_t i = 0; i < options.size(); ++i) {
                if (method.options[i].values.size() > 1) {
                    variant.listed.emplace_back(options[i].name, options[i].value);
                }
            }
            variants.push_back(std::move(variant));
        }
    }
    return variants.empty() ? std::vector<Variant>{{}} : variants;
}

std::vector<Assignment> base_assignments(const Parts& parts, const std::vector<Assignment>& known) {
    std::vector<Assignment> all;
    for (const std::string& pattern : parts.base_files) {
        const std::string path = fill_placeholders(pattern, known);
        for (auto& [name, value] : read_ini(read_config_file(path), path, option_names())) {
            check_option(path, name);
            all.push_back({name, value, "file " + path});
        }
    }
    return all;
}

/// Everything that sets an option of one run, in order of precedence.
std::vector<Assignment> run_assignments(const Parts& parts, const std::vector<Assignment>& shared,
                                        const Variant& variant) {
    std::vector<Assignment> own = {{kMethod, variant.method, ""}};
    const auto from_command_line = [&](const Assignment& item) { return sets(parts.from_command_line, item.name); };
    std::copy_if(shared.begin(), shared.end(), std::back_inserter(own), std::not_fn(from_command_line));
    own.insert(own.end(), variant.options.begin(), variant.options.end());
    std::copy_if(shared.begin(), shared.end(), std::back_inserter(own), from_command_line);
    std::vector<Assignment> all = base_assignments(parts, own);
    all.insert(all.end(), own.begin(), own.end());
    for (Assignment& item : all) {
        item.value = fill_placeholders(item.value, all);
    }
    all.erase(std::remove_if(all.begin(), all.end(), [](const Assignment& item) { return item.name == kMethod; }),
              all.end());
    return all;
}

GridPoint make_point(const Parts& parts, const std::vector<Axis>& axes, const std::vector<Assignment>& shared,
                     const Variant& variant) {
    GridPoint point;
    point.config = resolve(run_assignments(parts, shared, variant)).config;
    for (std::size_t i = 0; i + 1 < axes.size(); ++i) {
        if (axes[i].values.size() > 1) {
            point.values.emplace_back(axes[i].name, shared[i].value);
        }
    }
    if (!variant.method.empty()) {
        point.values.emplace_back(kMethod, variant.method);
    }
    point.values.insert(point.values.end(), variant.listed.begin(), variant.listed.end());
    NamedValues more;
    for (const Axis& axis : axes) {
        if (axis.values.size() > 1 && !find_option(axis.name)->identity) {
            more.emplace_back(axis.name, option_value(point.config, *find_option(axis.name)));
        }
    }
    for (const Assignment& item : variant.options) {
        if (!find_option(item.name)->identity) {
            more.emplace_back(item.name, option_value(point.config, *find_option(item.name)));
        }
    }
    point.id = run_id(point.config, more);
    return point;
}

std::string describe(const GridPoint& point) {
    std::string text;
    for (const auto& [name, value] : point.values) {
        text += fmt::format("{} = {}, ", name, value);
    }
    return text + fmt::format("{} = {}", kSeed, point.config.run.seed);
}

}  // namespace

std::vector<std::string> list_values(const std::string& name, const std::string& text) {
    std::vector<std::string> values;
    std::size_t begin = 0;
    while (begin <= text.size()) {
        const std::size_t end = end_of_value(text, begin);
        const std::string word = trimmed(text.substr(begin, end - begin));
        if (word.find('"') != std::string::npos) {
            values.push_back(quoted_value(name, word));
        } else if (word.empty() || !append_values(name, word, values)) {
            refuse_empty(name, text);
        }
        begin = end + 1;
    }
    return values;
}

std::string run_id(const Config& config, const NamedValues& more) {
    Digest digest;
    digest.add_text(identity_text(config));
    for (const auto& [name, value] : more) {
        digest.add_text(name).add_text(value);
    }
    return digest.finish().substr(0, kIdDigits);
}

std::vector<GridPoint> expand_grid(const SweepSource& source) {
    const Parts parts = read_parts(source);
    std::vector<Axis> axes = shared_axes(parts);
    const Axis seeds = axes.back();
    const std::vector<Variant> variants = method_variants(parts.methods);
    const auto outer = combinations({axes.begin(), axes.end() - 1});
    if (outer.size() * variants.size() * seeds.values.size() > kMostRuns) {
        throw ConfigError(fmt::format("the sweep has more than {} runs", kMostRuns),
                          "that is the most of one directory", "split it into several sweeps");
    }
    std::vector<GridPoint> points;
    std::map<std::string, std::string> described;
    for (const auto& start : outer) {
        for (const Variant& variant : variants) {
            for (const std::string& seed : seeds.values) {
                std::vector<Assignment> shared = start;
                shared.push_back({kSeed, seed, seeds.origin});
                points.push_back(make_point(parts, axes, shared, variant));
                const std::string text = describe(points.back());
                const auto [other, is_new] = described.emplace(points.back().id, text);
                if (!is_new) {
                    throw ConfigError(
                        "two runs of the sweep are the same",
                        fmt::format("({}) and ({}) differ in nothing that decides a result", other->second, text),
                        "remove one of the two values");
                }
            }
        }
    }
    return points;
}

std::string grid_text(const SweepSource& source) {
    const Parts parts = read_parts(source);
    std::vector<Axis> axes = shared_axes(parts);
    // Below a heading an option without a group would belong to it.
    std::stable_partition(axes.begin(), axes.end(),
                          [](const Axis& axis) { return axis.name.find('.') == std::string::npos; });
    if (!parts.base_files.empty()) {
        axes.push_back({kBaseFiles, parts.base_files, "files of the sweep"});
    }
    std::string text;
    std::string group;
    const auto add = [&](const std::string& name, const Axis& axis) {
        text += ini_heading(name, group) + fmt::format("{:<40}  # {}\n", ini_line(name, axis_text(axis)), axis.origin);
    };
    for (const Axis& axis : axes) {
        add(axis.name, axis);
    }
    for (const Method& method : parts.methods) {
        text += fmt::format("\n[{}.{}]\n", kMethod, method.name);
        for (const Axis& axis : method.options) {
            if (!sets(parts.from_command_line, axis.name)) {
                text += fmt::format("{} = {}  # {}\n", axis.name, axis_text(axis), axis.origin);
            }
        }
    }
    return text;
}

}  // namespace ladle
