// Help texts and bash completion, written from the option table.
#include <fmt/format.h>

#include "ladle/config/job_options.hpp"
#include "ladle/config/options.hpp"

namespace ladle {
namespace {

constexpr std::size_t kLineWidth = 100;
constexpr std::size_t kHelpColumn = 34;

struct GroupTitle {
    const char* group;
    const char* title;
};

constexpr GroupTitle kGroupTitles[] = {
    {"", "Preset"},
    {"run", "Run"},
    {"model", "Backbone"},
    {"data", "Data"},
    {"adapter", "Adapter"},
    {"routing", "Routing"},
    {"train", "Training"},
    {"optim", "Optimizer"},
    {"comm", "Communication between ranks"},
    {"cpu", "Processor"},
    {"eval", "Evaluation"},
    {"checkpoint", "Checkpoints"},
    {"moa", "Experts of decoders"},
};

std::string group_title(const std::string& group) {
    for (const GroupTitle& row : kGroupTitles) {
        if (group == row.group) {
            return row.title;
        }
    }
    return group;
}

/// "  --name ARG   text", the text wrapped at the help column.
std::string entry(const std::string& left, const std::string& text) {
    std::string out = fmt::format("  {:<{}}", left, kHelpColumn - 2);
    std::size_t column = kHelpColumn;
    if (left.size() + 3 > kHelpColumn) {
        out += "\n" + std::string(kHelpColumn, ' ');
    }
    std::size_t begin = 0;
    while (begin < text.size()) {
        const std::size_t end = std::min(text.find(' ', begin), text.size());
        if (column > kHelpColumn && column + 1 + (end - begin) > kLineWidth) {
            out += "\n" + std::string(kHelpColumn, ' ');
            column = kHelpColumn;
        }
        if (column > kHelpColumn) {
            out += ' ';
            ++column;
        }
        out += text.substr(begin, end - begin);
        column += end - begin;
        begin = end + 1;
    }
    return out + "\n";
}

/// The unit as it follows the value: nothing, singular or plural.
std::string unit_after(const std::string& value, const std::string& unit) {
    if (unit.empty() || value == "1" || unit.starts_with("of ")) {
        return unit.empty() ? "" : " " + unit;
    }
    return fmt::format(" {}{}", unit, unit.ends_with("batch") ? "es" : "s");
}

/// The option's sentence, then its limits and its default with the unit.
std::string option_help(const Option& option) {
    std::string text = option.help;
    const std::string limits = limits_text(option);
    if (!limits.empty()) {
        text += fmt::format(" It is {}.", limits);
    }
    const std::string value = option_value(Config(), option);
    if (value.empty()) {
        return text + " No default.";
    }
    return text + fmt::format(" Default: {}{}.", value, unit_after(value, option.unit));
}

const char* argument_name(const Option& option) {
    Config config;
    const OptionField field = option.field(config);
    if (std::holds_alternative<std::string*>(field)) {
        return option.limits.words.empty() ? "TEXT" : "WORD";
    }
    return std::holds_alternative<bool*>(field) ? "BOOL" : "N";
}

std::string options_help(const JobSpec& spec) {
    std::string text;
    std::string group = "none";
    for (const std::string& name : job_option_names(spec)) {
        const Option& option = *find_option(name);
        const auto dot = name.find('.');
        const std::string own_group = dot == std::string::npos ? "" : name.substr(0, dot);
        if (own_group != group) {
            group = own_group;
            text += fmt::format("\n{}:\n", group_title(group));
        }
        text += entry(fmt::format("--{} {}", name, argument_name(option)), option_help(option));
    }
    return text;
}

}  // namespace

std::string job_help(const JobSpec& spec) {
    std::string text = fmt::format("{}\n\nUsage: ladle {} [options]{}{}\n", spec.purpose, spec.name,
                                   spec.positional.empty() ? "" : " ", spec.positional);
    text += options_help(spec);
    text += "\nSwitches:\n";
    for (const Switch& item : spec.switches) {
        text += entry(fmt::format("--{} {}", item.name, item.argument), item.help);
    }
    text += entry("--config FILE",
                  "Options are read from this file; it may be given several times, later files win, and the command "
                  "line wins over all.");
    text += entry("--print-config", "The resolved options are printed with the origin of each, and nothing is done.");
    text += entry("--help", "This text is printed.");
    if (!spec.examples.empty()) {
        text += "\nExamples:\n";
        for (const std::string& example : spec.examples) {
            text += "  " + example + "\n";
        }
    }
    return text;
}

std::string bash_completion(const std::vector<JobSpec>& jobs) {
    std::string names;
    std::string cases;
    std::string values;
    for (const Option& option : option_table()) {
        Config config;
        const bool is_bool = std::holds_alternative<bool*>(option.field(config));
        if (is_bool || !option.limits.words.empty()) {
            values += fmt::format("        --{}) words=\"{}\" ;;\n", option.name,
                                  is_bool ? "true false" : fmt::format("{}", fmt::join(option.limits.words, " ")));
        }
    }
    for (const JobSpec& job : jobs) {
        names += job.name + " ";
        std::string words;
        for (const std::string& name : job_option_names(job)) {
            words += fmt::format("--{} ", name);
        }
        for (const Switch& item : job.switches) {
            words += fmt::format("--{} ", item.name);
        }
        cases += fmt::format("        {}) words=\"{}--config --print-config --help\" ;;\n", job.name, words);
    }
    return fmt::format(
        "# bash completion for ladle, written by `ladle completion`\n"
        "_ladle() {{\n"
        "    local current=\"${{COMP_WORDS[COMP_CWORD]}}\" previous=\"${{COMP_WORDS[COMP_CWORD-1]}}\" words=\"\"\n"
        "    COMPREPLY=()\n"
        "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
        "        COMPREPLY=($(compgen -W \"{}--help --version\" -- \"$current\"))\n"
        "        return\n"
        "    fi\n"
        "    case \"$previous\" in\n{}    esac\n"
        "    if [ -z \"$words\" ] && [[ \"$current\" == -* ]]; then\n"
        "        case \"${{COMP_WORDS[1]}}\" in\n{}        esac\n"
        "    fi\n"
        "    # No words of ours: -o default makes bash offer file names.\n"
        "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
        "}}\n"
        "complete -o default -F _ladle ladle\n",
        names, values, cases);
}

}  // namespace ladle
