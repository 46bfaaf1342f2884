// What one job of the program accepts on its command line, and what it was given.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ladle/config/config.hpp"

namespace ladle {

/// A job's own switch, e.g. --resume or --output FILE.
struct Switch {
    std::string name;      ///< without the dashes
    std::string argument;  ///< placeholder of its value in the help, e.g. "FILE"; empty: it takes none
    std::string help;      ///< one full sentence
};

/// The command line of one job.
struct JobSpec {
    std::string name;
    std::string purpose;               ///< one sentence
    std::vector<std::string> options;  ///< those that the job uses: dotted names, or whole groups such as "optim"
    std::vector<Switch> switches;
    std::string positional;  ///< placeholder of the plain words in the help, e.g. "FILE ..."; empty: none are accepted
    std::vector<std::string> examples;
    bool lists = false;  ///< options take lists of values: parse_job only collects them and resolves nothing
};

/// One option's text and where it came from.
struct Assignment {
    std::string name;
    std::string value;
    std::string origin;  ///< "file NAME" or "command line"
};

/// A parsed and validated command line.
struct JobOptions {
    Config config;
    std::map<std::string, std::string> origins;   ///< option name to "file NAME", "command line" or "preset mended"
    std::map<std::string, std::string> switches;  ///< given switches; the value is empty for those that take none
    std::vector<std::string> positional;
    std::string show;  ///< text asked for by --help or --print-config; the job is then not run

    // Of a job with lists, instead of config and origins; --print-config is then among the switches.
    std::vector<std::string> config_files;
    std::vector<Assignment> assignments;  ///< of the command line

    bool has(const std::string& switch_name) const { return switches.contains(switch_name); }
    /// Value of a switch, or `otherwise` if it was not given.
    std::string value(const std::string& switch_name, const std::string& otherwise = "") const;
    /// True if the option was set by a config file or on the command line.
    bool given(const std::string& option_name) const;
};

/// Parses the words after the job's name. Every job also takes --config FILE (several times; later files win, the
/// command line wins over all), --print-config and --help. Config files are shared between jobs, so they may hold any
/// option; on the command line only the job's own are accepted. Throws ConfigError.
JobOptions parse_job(const JobSpec& spec, const std::vector<std::string>& arguments);

/// The config that these assignments make on top of the defaults, later ones over earlier ones, with the preset where
/// none of them says otherwise; validated. Throws ConfigError.
JobOptions resolve(const std::vector<Assignment>& assignments);

/// The job's help: options by group, its switches, exit codes, examples.
std::string job_help(const JobSpec& spec);
/// The job's resolved options as INI text that --config reads back; a comment on each line tells the value's origin.
std::string resolved_config(const JobSpec& spec, const JobOptions& options);
/// Dotted names of the job's options in table order. Throws InternalError if the spec names an unknown one.
std::vector<std::string> job_option_names(const JobSpec& spec);
/// Throws ConfigError naming the option if it is empty after all files and the command line.
void require_option(const JobOptions& options, const std::string& option_name);

/// A bash completion script for the program with these jobs.
std::string bash_completion(const std::vector<JobSpec>& jobs);

}  // namespace ladle
