// Config files: INI text as Boost.Program_options reads it, with strict keys.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ladle {

/// Every "name = value" line under [group] headings as (dotted name, value) in file order, whatever the names;
/// # starts a comment. Throws ConfigError naming `where` for a key that occurs twice, or a line that is neither heading
/// nor assignment.
std::vector<std::pair<std::string, std::string>> read_ini_lines(const std::string& text, const std::string& where);

/// Reads "name = value" lines under [group] headings into (dotted name, value) pairs in file order; # starts a comment.
/// Throws ConfigError naming `where` and the key for a key that is not among `known` (with a suggestion), a key that
/// occurs twice, or a line that is neither heading nor assignment.
std::vector<std::pair<std::string, std::string>> read_ini(const std::string& text, const std::string& where,
                                                          const std::vector<std::string>& known);

/// Contents of a config file. Throws ConfigError if it cannot be read or has more than 1 MiB.
std::string read_config_file(const std::string& path);

/// A blank line and the [group] heading if the dotted name's group is not `group`, which is updated; else nothing.
std::string ini_heading(const std::string& name, std::string& group);
/// The assignment below the heading, without line end.
std::string ini_line(const std::string& name, const std::string& value);

}  // namespace ladle
