// The one table of options. Parsing, validation, help, completion and the resolved config all come from it.
// A new option is a member of a struct in config.hpp and one row in src/config/table.cpp.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "ladle/config/config.hpp"

namespace ladle {

/// Points at the member of a Config that an option sets; its type is the option's type.
using OptionField = std::variant<std::string*, bool*, int*, std::int64_t*, std::uint64_t*, double*>;

/// Values that an option accepts.
struct Limits {
    std::vector<std::string> words;  ///< allowed words of a text option; empty: any text
    double least = -std::numeric_limits<double>::infinity();
    double most = std::numeric_limits<double>::infinity();
    bool above_least = false;  ///< `least` itself is refused
    bool automatic = false;    ///< the word auto is accepted and stored as -1
};

/// Which runs an option means something to; it is part of no other run's identity.
enum class OptionUse { all, encoders, decoders };

struct Option {
    const char* name;  ///< dotted, e.g. optim.lr; the part before the dot is the group
    OptionField (*field)(Config& config);
    Limits limits;
    const char* unit;  ///< of the value in the singular, e.g. "step"; "" where there is none
    const char* help;  ///< one full sentence; default, unit and limits are appended from the row
    bool identity;     ///< part of the run's identity (design: two runs of one identity give the same bytes)
    OptionUse use = OptionUse::all;
    bool is_list = false;  ///< its value is a list with commas itself
};

/// All options in the order in which they are shown and written.
const std::vector<Option>& option_table();
/// The option of that dotted name, or null.
const Option* find_option(const std::string& name);
/// Dotted names of all options in table order.
std::vector<std::string> option_names();

/// Sets one option from text. `where` says where the text came from ("FILE" or "the command line") and appears in the
/// message. Throws ConfigError if the text is not of the option's type or outside its limits; nan, infinities and
/// numbers that do not fit are refused.
void set_option(Config& config, const Option& option, const std::string& text, const std::string& where);
/// The value as text that set_option reads back to the same value.
std::string option_value(const Config& config, const Option& option);
/// The limits in words, e.g. "at least 1"; empty where everything is accepted.
std::string limits_text(const Option& option);

/// Whether the config asks for a decoder to be trained.
bool trains_decoder(const Config& config);
/// Sets what the published programs of the family that moa.system belongs to do otherwise than those of encoders, and
/// the options in which `preset = mended` differs from the published behaviour. Returns their names. Source:
/// reference of the AdaMix repository, gradient reset and leftover batches; MoA repository, finetuning.py and README.
std::vector<std::string> apply_preset(Config& config);
/// The learning rate that warm-up leads to: optim.lr, or what optim.base_lr makes of the samples of a step; a run
/// settles it before it starts. Source of the latter: MoA repository, finetuning.py.
double peak_rate(const Config& config);
/// Puts that rate into optim.lr, and 0 into optim.base_lr: of the two only one can hold.
void settle_rate(Config& config);
/// The share of train that eval.select keeps out of training to choose on; 0 where dev chooses. Throws ConfigError.
double selection_share(const Config& config);
/// Throws ConfigError naming the option if it is empty after all files and the command line.
void require_value(const Config& config, const std::string& name);
/// Rules between options. Throws ConfigError naming both options.
void validate(const Config& config);

/// The whole config as INI text that --config reads back.
std::string config_text(const Config& config);
/// The identity options that mean something to the run, one "name = value" per line in table order.
std::string identity_text(const Config& config);
/// Reads what config_text wrote, on top of the defaults, and validates it. `where` names the file in messages.
Config parse_config_text(const std::string& text, const std::string& where);

}  // namespace ladle
