// The command line of a job: Boost.Program_options splits it, the option table gives names, types and limits.
#include "ladle/config/job_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <set>

#include "ladle/config/ini.hpp"
#include "ladle/config/options.hpp"
#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/suggest.hpp"

namespace po = boost::program_options;

namespace ladle {
namespace {

std::string help_hint(const JobSpec& spec) {
    return fmt::format("`ladle {} --help` lists what it accepts", spec.name);
}

[[noreturn]] void refuse_name(const JobSpec& spec, const std::string& name, const std::vector<std::string>& accepted) {
    if (find_option(name) != nullptr) {
        throw ConfigError(fmt::format("--{} has no effect on ladle {}", name, spec.name),
                          "the job does not use this option", "leave it out");
    }
    throw ConfigError(fmt::format("unknown option --{}", name),
                      did_you_mean(name, accepted, fmt::format("ladle {} has nothing like it", spec.name)),
                      help_hint(spec));
}

std::vector<std::string> accepted_names(const JobSpec& spec) {
    std::vector<std::string> names = job_option_names(spec);
    for (const Switch& item : spec.switches) {
        names.push_back(item.name);
    }
    names.insert(names.end(), {"config", "print-config", "help"});
    return names;
}

po::options_description describe(const JobSpec& spec) {
    po::options_description description;
    auto add = description.add_options();
    for (const std::string& name : job_option_names(spec)) {
        add(name.c_str(), po::value<std::string>());
    }
    for (const Switch& item : spec.switches) {
        if (item.argument.empty()) {
            add(item.name.c_str(), "");
        } else {
            add(item.name.c_str(), po::value<std::string>());
        }
    }
    add("config", po::value<std::string>());
    add("print-config", "");
    add("help", "");
    return description;
}

std::vector<po::option> split_words(const JobSpec& spec, const std::vector<std::string>& arguments) {
    namespace style = po::command_line_style;
    const int long_names_only = style::allow_long | style::long_allow_adjacent | style::long_allow_next;
    for (const std::string& argument : arguments) {
        // Program_options replaces %placeholders% in its messages, also in those that show this name, without an end.
        const std::string name = argument.substr(0, argument.find('='));
        if (name.starts_with("--") && name.find('%') != std::string::npos) {
            refuse_name(spec, name.substr(2), accepted_names(spec));
        }
    }
    try {
        return po::command_line_parser(arguments).options(describe(spec)).style(long_names_only).run().options;
    } catch (const po::unknown_option& error) {
        std::string name = error.get_option_name();
        name.erase(0, name.find_first_not_of('-'));
        refuse_name(spec, name, accepted_names(spec));
    } catch (const po::error& error) {
        throw ConfigError("wrong command line", error.what(), help_hint(spec));
    }
}

/// Fills config files, assignments, switches and plain words; no option's value is looked at.
void split_command_line(const JobSpec& spec, const std::vector<std::string>& arguments, JobOptions& job) {
    std::set<std::string> given;
    for (const po::option& option : split_words(spec, arguments)) {
        const std::string& name = option.string_key;
        const std::string value = option.value.empty() ? "" : option.value.front();
        if (name.empty()) {
            if (spec.positional.empty() || value.starts_with('-')) {
                throw ConfigError(fmt::format("unexpected word \"{}\"", value), "every option starts with two dashes",
                                  help_hint(spec));
            }
            job.positional.push_back(value);
        } else if (name == "config") {
            job.config_files.push_back(value);
        } else if (!given.insert(name).second) {
            throw ConfigError(fmt::format("--{} is given twice", name), "only one can hold", "remove one of the two");
        } else if (find_option(name) != nullptr) {
            job.assignments.push_back({name, value, "command line"});
        } else {
            job.switches.emplace(name, value);
        }
    }
}

/// Values of one preset only hold where neither a file nor the command line says otherwise.
void apply_preset_where_not_given(JobOptions& job) {
    Config preset = job.config;
    for (const std::string& name : apply_preset(preset)) {
        // A learning rate that was given must not give way to one that a preset computes.
        const bool is_replaced = name == "optim.base_lr" && job.given("optim.lr");
        if (!job.given(name) && !is_replaced) {
            const Option& option = *find_option(name);
            set_option(job.config, option, option_value(preset, option), "the preset");
            job.origins[name] = "preset " + job.config.preset;
        }
    }
}

void refuse_two_rates(const JobOptions& job) {
    if (job.given("optim.lr") && job.given("optim.base_lr") && job.config.optim.base_lr > 0) {
        throw ConfigError(
            fmt::format("optim.lr = {} and optim.base_lr = {}", job.config.optim.lr, job.config.optim.base_lr),
            "each of them decides the learning rate", "set optim.base_lr to 0 to use optim.lr, or leave optim.lr out");
    }
}

}  // namespace

std::string JobOptions::value(const std::string& switch_name, const std::string& otherwise) const {
    const auto found = switches.find(switch_name);
    return found == switches.end() ? otherwise : found->second;
}

bool JobOptions::given(const std::string& option_name) const {
    const auto found = origins.find(option_name);
    return found != origins.end() && !found->second.starts_with("preset ");
}

std::vector<std::string> job_option_names(const JobSpec& spec) {
    std::vector<std::string> names;
    std::size_t matched = 0;
    for (const std::string& name : option_names()) {
        const bool used = std::any_of(spec.options.begin(), spec.options.end(), [&](const std::string& item) {
            return name == item || name.starts_with(item + ".");
        });
        if (used) {
            names.push_back(name);
        }
    }
    for (const std::string& item : spec.options) {
        matched += std::any_of(names.begin(), names.end(),
                               [&](const std::string& name) { return name == item || name.starts_with(item + "."); });
    }
    check(matched == spec.options.size(), "a job names only options of the table");
    return names;
}

JobOptions resolve(const std::vector<Assignment>& assignments) {
    JobOptions job;
    for (const Assignment& assignment : assignments) {
        set_option(job.config, *find_option(assignment.name), assignment.value, "the " + assignment.origin);
        job.origins[assignment.name] = assignment.origin;
    }
    apply_preset_where_not_given(job);
    refuse_two_rates(job);
    validate(job.config);
    return job;
}

JobOptions parse_job(const JobSpec& spec, const std::vector<std::string>& arguments) {
    JobOptions job;
    // --help must work beside any other mistake on the line.
    if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end()) {
        job.show = job_help(spec);
        return job;
    }
    split_command_line(spec, arguments, job);
    if (spec.lists) {
        return job;
    }
    std::vector<Assignment> all;
    for (const std::string& path : job.config_files) {
        for (auto& [name, value] : read_ini(read_config_file(path), path, option_names())) {
            all.push_back({name, value, "file " + path});
        }
    }
    all.insert(all.end(), job.assignments.begin(), job.assignments.end());
    JobOptions resolved = resolve(all);
    job.config = std::move(resolved.config);
    job.origins = std::move(resolved.origins);
    if (job.switches.erase("print-config") > 0) {
        job.show = resolved_config(spec, job);
    }
    return job;
}

std::string resolved_config(const JobSpec& spec, const JobOptions& options) {
    std::string text;
    std::string group;
    for (const std::string& name : job_option_names(spec)) {
        const auto origin = options.origins.find(name);
        const std::string line = ini_line(name, option_value(options.config, *find_option(name)));
        text += fmt::format("{}{:<40}  # {}\n", ini_heading(name, group), line,
                            origin == options.origins.end() ? "default" : origin->second);
    }
    return text.empty() ? fmt::format("# ladle {} uses no options of config files\n", spec.name) : text;
}

void require_option(const JobOptions& options, const std::string& option_name) {
    require_value(options.config, option_name);
}

}  // namespace ladle
