// Config files through Boost.Program_options.
#include "ladle/config/ini.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cctype>
#include <fstream>
#include <set>
#include <sstream>

#include "ladle/core/error.hpp"
#include "ladle/core/suggest.hpp"

namespace po = boost::program_options;

namespace ladle {
namespace {

// No config file of ours comes near this; a wrong file (weights, a device) is refused before it fills the memory.
constexpr std::size_t kLargestFile = std::size_t{1} << 20U;

/// Throws ConfigError naming the first line that Program_options would refuse. Its own message must never be asked for:
/// it replaces %placeholders%, also those of the line, for ever where a line holds %invalid_line%.
void check_lines(const std::string& text, const std::string& where) {
    std::istringstream stream(text);
    std::string line;
    for (int number = 1; std::getline(stream, line); ++number) {
        std::string content = line.substr(0, line.find('#'));
        const auto is_space = [](unsigned char c) { return std::isspace(c) != 0; };
        content.erase(content.begin(), std::find_if_not(content.begin(), content.end(), is_space));
        content.erase(std::find_if_not(content.rbegin(), content.rend(), is_space).base(), content.end());
        const bool heading = content.starts_with('[') && content.ends_with(']');
        if (!content.empty() && !heading && content.find('=') == std::string::npos) {
            throw ConfigError(fmt::format("{} is not a config file", where),
                              fmt::format("line {} is neither a heading nor an option: \"{}\"", number, content),
                              "write `name = value` lines under [group] headings");
        }
    }
}

}  // namespace

std::vector<std::pair<std::string, std::string>> read_ini_lines(const std::string& text, const std::string& where) {
    check_lines(text, where);
    std::istringstream stream(text);
    std::vector<std::pair<std::string, std::string>> pairs;
    std::set<std::string> seen;
    try {
        for (const auto& option : po::parse_config_file(stream, po::options_description(), true).options) {
            if (!seen.insert(option.string_key).second) {
                throw ConfigError(fmt::format("{}: {} is set twice", where, option.string_key),
                                  "only one value can hold", "remove one of the two lines");
            }
            pairs.emplace_back(option.string_key, option.value.empty() ? "" : option.value.front());
        }
    } catch (const po::error& error) {
        throw ConfigError(fmt::format("{} is not a config file", where), error.what(),
                          "write `name = value` lines under [group] headings");
    }
    return pairs;
}

std::vector<std::pair<std::string, std::string>> read_ini(const std::string& text, const std::string& where,
                                                          const std::vector<std::string>& known) {
    auto pairs = read_ini_lines(text, where);
    for (const auto& [name, value] : pairs) {
        if (std::find(known.begin(), known.end(), name) == known.end()) {
            throw ConfigError(fmt::format("{}: unknown option \"{}\"", where, name),
                              did_you_mean(name, known, "there is nothing like it"),
                              "`ladle JOB --help` lists the options of a job");
        }
    }
    return pairs;
}

std::string read_config_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text(kLargestFile + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
    if (file.bad() || !file.eof()) {
        const bool too_long = text.size() > kLargestFile;
        throw ConfigError(fmt::format("cannot read config file {}", path),
                          too_long ? "it has more than 1 MiB" : "no such file, or not readable",
                          "check the path given to --config");
    }
    // Editors on Windows put a byte order mark first.
    return text.starts_with("\xef\xbb\xbf") ? text.substr(3) : text;
}

std::string ini_heading(const std::string& name, std::string& group) {
    const auto dot = name.find('.');
    const std::string own_group = dot == std::string::npos ? "" : name.substr(0, dot);
    const bool same = own_group == group;
    group = own_group;
    return same ? "" : fmt::format("\n[{}]\n", own_group);
}

std::string ini_line(const std::string& name, const std::string& value) {
    const auto dot = name.find('.');
    const std::string last = dot == std::string::npos ? name : name.substr(dot + 1);
    return value.empty() ? fmt::format("{} =", last) : fmt::format("{} = {}", last, value);
}

}  // namespace ladle
