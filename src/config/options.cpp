// Text to typed value and back for every option, the preset, and the config as text.
#include "ladle/config/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "ladle/config/ini.hpp"
#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/suggest.hpp"

namespace ladle {
namespace {

constexpr const char* kAutomatic = "auto";

[[noreturn]] void refuse(const Option& option, const std::string& text, const std::string& where,
                         const std::string& why) {
    const std::string fix =
        limits_text(option).empty() ? "" : fmt::format("{} must be {}", option.name, limits_text(option));
    throw ConfigError(fmt::format("{} = \"{}\" in {}", option.name, text, where), why, fix);
}

/// Sets one option; one overload per type of option.
struct Setter {
    const Option& option;
    const std::string& text;
    const std::string& where;

    void operator()(std::string* value) const {
        // The config file syntax has no quoting: such a value could not be written to config.cfg and read back.
        const bool unsafe =
            std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f || c == '#'; }) ||
            text.starts_with(' ') || text.ends_with(' ');
        if (unsafe) {
            throw ConfigError(fmt::format("{} in {}", option.name, where),
                              "the value holds a control character, a # or a blank at an end, which config files "
                              "cannot hold",
                              "use another name");
        }
        const auto& words = option.limits.words;
        if (!words.empty() && std::find(words.begin(), words.end(), text) == words.end()) {
            const std::string near = closest_name(text, words);
            refuse(option, text, where, near.empty() ? "unknown word" : "did you mean \"" + near + "\"?");
        }
        *value = text;
    }

    void operator()(bool* value) const {
        if (text != "true" && text != "false") {
            refuse(option, text, where, "neither true nor false");
        }
        *value = text == "true";
    }

    template <class Number>
    void operator()(Number* value) const {
        if (option.limits.automatic && text == kAutomatic) {
            *value = static_cast<Number>(-1);
            return;
        }
        Number number{};
        const char* end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, number);
        if (error == std::errc::result_out_of_range) {
            refuse(option, text, where, "the number does not fit");
        }
        const bool finite = std::isfinite(static_cast<double>(number));
        if (error != std::errc() || stop != end || !finite) {
            refuse(option, text, where, std::is_integral_v<Number> ? "not a whole number" : "not a number");
        }
        const Limits& limits = option.limits;
        const auto as_double = static_cast<double>(number);
        if (as_double < limits.least || as_double > limits.most || (limits.above_least && as_double == limits.least)) {
            refuse(option, text, where, "out of range");
        }
        *value = number;
    }
};

/// One value as text; one overload per type of option.
struct Writer {
    const Option& option;

    std::string operator()(const std::string* value) const { return *value; }
    std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
    template <class Number>
    std::string operator()(const Number* value) const {
        if (option.limits.automatic && *value < Number{0}) {
            return kAutomatic;
        }
        return fmt::format("{}", *value);
    }
};

/// The use of options that mean nothing to this family of runs.
OptionUse foreign_use(const Config& config) {
    return trains_decoder(config) ? OptionUse::encoders : OptionUse::decoders;
}

/// What means nothing to this family of runs must stand at its default: nothing that is asked for is passed over.
void refuse_foreign_options(const Config& config) {
    const OptionUse foreign = foreign_use(config);
    const Config defaults;
    for (const Option& option : option_table()) {
        const std::string value = option_value(config, option);
        if (option.use == foreign && value != option_value(defaults, option)) {
            throw ConfigError(fmt::format("{} = {}", option.name, value),
                              trains_decoder(config) ? "it means nothing to decoders, which moa.system asks for"
                                                     : "it only means something to decoders, and moa.system is empty",
                              trains_decoder(config) ? "leave it out" : "set moa.system, or leave it out");
        }
    }
}

}  // namespace

void set_option(Config& config, const Option& option, const std::string& text, const std::string& where) {
    std::visit(Setter{option, text, where}, option.field(config));
}

std::string option_value(const Config& config, const Option& option) {
    // The row's accessor serves reading and writing, so it takes a Config that may be changed.
    Config copy = config;
    return std::visit(Writer{option}, option.field(copy));
}

std::string limits_text(const Option& option) {
    const Limits& limits = option.limits;
    if (!limits.words.empty()) {
        return limits.words.size() == 1 ? limits.words.front()
                                        : fmt::format("one of {}", fmt::join(limits.words, ", "));
    }
    Config config;
    if (std::holds_alternative<bool*>(option.field(config))) {
        return "true or false";
    }
    std::string text;
    if (std::isfinite(limits.most)) {
        text = fmt::format("from {} to {}", limits.least, limits.most);
    } else if (std::isfinite(limits.least)) {
        text = fmt::format("{} {}", limits.above_least ? "above" : "at least", limits.least);
    }
    return limits.automatic ? fmt::format("auto or {}", text) : text;
}

bool trains_decoder(const Config& config) {
    return !config.moa.system.empty();
}

std::vector<std::string> apply_preset(Config& config) {
    std::vector<std::string> names;
    const auto set = [&](const std::string& name, const std::string& value) {
        set_option(config, *find_option(name), value, "the preset");
        names.push_back(name);
    };
    const bool mended = config.preset == "mended";
    if (trains_decoder(config)) {
        set("data.max_length", "300");
        set("train.epochs", "2");
        set("train.batch", "8");
        set("train.accumulate", "4");
        set("train.leaf", "1");
        set("optim.base_lr", "0.006");
        set("optim.schedule", "half-cosine");
        set("optim.warmup_ratio", "0.5");
        set("optim.weight_decay", "0.02");
        set("optim.max_grad_norm", "0");
        set("eval.batch", "1");
    }
    if (mended && trains_decoder(config)) {
        set("data.labels", "mended");
        set("moa.padding", "ignored");
        if (config.moa.system == "sparse-moa" && !config.moa.constant_threshold) {
            set("moa.trained_threshold", "true");
        }
        if (config.moa.system == "unipelt") {
            set("moa.adapter_gate", "own");
        }
    }
    if (mended || trains_decoder(config)) {
        set("optim.gradient_reset", "none");
        set("train.leftover", mended ? "own" : "drop");
    }
    return names;
}

double peak_rate(const Config& config) {
    constexpr double kReferenceSamples = 256;
    const double samples = static_cast<double>(config.train.batch) * config.train.accumulate;
    return config.optim.base_lr > 0 ? config.optim.base_lr * samples / kReferenceSamples : config.optim.lr;
}

void settle_rate(Config& config) {
    config.optim.lr = peak_rate(config);
    config.optim.base_lr = 0;
}

double selection_share(const Config& config) {
    const std::string& rule = config.eval.select;
    if (rule == "dev") {
        return 0;
    }
    constexpr std::string_view kSplit = "split:";
    double share = 0;
    if (rule.starts_with(kSplit)) {
        const char* end = rule.data() + rule.size();
        const auto [stop, error] = std::from_chars(rule.data() + kSplit.size(), end, share);
        if (error == std::errc() && stop == end && share > 0 && share < 1) {
            return share;
        }
    }
    throw ConfigError(fmt::format("eval.select = {}", rule), "it is neither dev nor split:F with F between 0 and 1",
                      "use dev, or for instance split:0.1; the metric that decides is eval.metric");
}

void require_value(const Config& config, const std::string& name) {
    const Option* option = find_option(name);
    check(option != nullptr, "a required option is in the table");
    if (option_value(config, *option).empty()) {
        throw ConfigError(fmt::format("--{} is missing", name), "the job needs it",
                          "give it on the command line or in a config file");
    }
}

void validate(const Config& config) {
    refuse_foreign_options(config);
    const TrainConfig& train = config.train;
    if (train.leaf > train.batch) {
        throw ConfigError(fmt::format("train.leaf = {} and train.batch = {}", train.leaf, train.batch),
                          "a leaf is a part of the global batch", "lower train.leaf or raise train.batch");
    }
    if (train.batch % train.loss_group != 0) {
        throw ConfigError(fmt::format("train.loss_group = {} and train.batch = {}", train.loss_group, train.batch),
                          "the groups of a batch must be of equal size", "choose a divisor of train.batch");
    }
    if (train.min_delta > 0 && train.patience == 0) {
        throw ConfigError(fmt::format("train.min_delta = {} and train.patience = 0", train.min_delta),
                          "min_delta only matters for early stopping", "set train.patience, or leave min_delta out");
    }
    if (config.eval.level == 2) {
        throw ConfigError("eval.level = 2", "the published code has no such level", "use 0, 1 or 3");
    }
    selection_share(config);
    if (config.optim.schedule == "half-cosine" && train.leftover == "carry") {
        throw ConfigError("optim.schedule = half-cosine and train.leftover = carry",
                          "the schedule counts whole batches of epochs", "set train.leftover to drop or own");
    }
}

std::string config_text(const Config& config) {
    std::string text;
    std::string group;
    for (const Option& option : option_table()) {
        text += ini_heading(option.name, group) + ini_line(option.name, option_value(config, option)) + "\n";
    }
    return text;
}

std::string identity_text(const Config& config) {
    std::string text;
    const OptionUse foreign = foreign_use(config);
    for (const Option& option : option_table()) {
        if (option.identity && option.use != foreign) {
            text += fmt::format("{} = {}\n", option.name, option_value(config, option));
        }
    }
    return text;
}

Config parse_config_text(const std::string& text, const std::string& where) {
    Config config;
    for (const auto& [name, value] : read_ini(text, where, option_names())) {
        set_option(config, *find_option(name), value, where);
    }
    validate(config);
    return config;
}

}  // namespace ladle
