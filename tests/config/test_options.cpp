// The option table: text to value and back, limits, presets, rules between options, config text.
#define BOOST_TEST_MODULE config
#include <boost/test/unit_test.hpp>
#include <set>

#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"

using namespace ladle;

namespace {

std::string message_of_setting(const std::string& name, const std::string& text) {
    Config config;
    try {
        set_option(config, *find_option(name), text, "a.cfg");
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "";
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_option_has_its_own_name_and_field_and_a_sentence) {
    std::set<std::string> names;
    std::set<const void*> fields;
    Config config;
    for (const Option& option : option_table()) {
        BOOST_TEST_CONTEXT(option.name) {
            BOOST_TEST(names.insert(option.name).second);
            const void* address =
                std::visit([](auto* value) { return static_cast<const void*>(value); }, option.field(config));
            BOOST_TEST(fields.insert(address).second);
            const std::string help = option.help;
            BOOST_TEST(help.ends_with('.'));
            BOOST_TEST((help.front() >= 'A' && help.front() <= 'Z'));
        }
    }
}

BOOST_AUTO_TEST_CASE(every_default_is_within_its_own_limits_and_survives_text) {
    const Config defaults;
    for (const Option& option : option_table()) {
        BOOST_TEST_CONTEXT(option.name) {
            Config config;
            const std::string text = option_value(defaults, option);
            set_option(config, option, text, "a test");
            BOOST_TEST(option_value(config, option) == text);
        }
    }
}

BOOST_AUTO_TEST_CASE(numbers_are_read_strictly) {
    for (const char* text : {"nan", "inf", "-inf", "1e999", "", " 1", "1 ", "1x", "0x10", "+1", "1,5"}) {
        BOOST_TEST_CONTEXT(text) {
            BOOST_TEST(!message_of_setting("optim.lr", text).empty());
        }
    }
    for (const char* text : {"1e3", "-3", "0", "2.5", "99999999999999999999", ""}) {
        BOOST_TEST_CONTEXT(text) {
            BOOST_TEST(!message_of_setting("train.batch", text).empty());
        }
    }
    BOOST_TEST(message_of_setting("run.seed", "18446744073709551615").empty());
    BOOST_TEST(!message_of_setting("run.seed", "18446744073709551616").empty());
    BOOST_TEST(!message_of_setting("run.seed", "-1").empty());
    BOOST_TEST(message_of_setting("optim.lr", "3e-4").empty());
    BOOST_TEST(!message_of_setting("train.epochs", "0").empty());
    BOOST_TEST(message_of_setting("train.epochs", "0.5").empty());
}

BOOST_AUTO_TEST_CASE(messages_name_option_value_place_and_limits) {
    const std::string text = message_of_setting("train.batch", "-3");
    BOOST_TEST(contains(text, "train.batch"));
    BOOST_TEST(contains(text, "-3"));
    BOOST_TEST(contains(text, "a.cfg"));
    BOOST_TEST(contains(text, "from 1 to"));
    BOOST_TEST(contains(message_of_setting("model.precision", "fp23"), "did you mean \"fp32\"?"));
}

BOOST_AUTO_TEST_CASE(values_that_config_files_cannot_hold_are_refused) {
    for (const char* text : {"a#b", "a\nb", " a", "a ", "a\tb"}) {
        BOOST_TEST_CONTEXT(text) {
            BOOST_TEST(!message_of_setting("run.dir", text).empty());
        }
    }
    BOOST_TEST(message_of_setting("run.dir", "a b").empty());
}

BOOST_AUTO_TEST_CASE(automatic_values_are_stored_as_minus_one) {
    Config config;
    const Option& option = *find_option("train.consistency");
    set_option(config, option, "2", "a test");
    BOOST_TEST(config.train.consistency == 2.0);
    set_option(config, option, "auto", "a test");
    BOOST_TEST(config.train.consistency == -1.0);
    BOOST_TEST(option_value(config, option) == "auto");
    BOOST_TEST(!message_of_setting("train.consistency", "-1").empty());
    BOOST_TEST(!message_of_setting("train.batch", "auto").empty());
}

BOOST_AUTO_TEST_CASE(rules_between_options_hold) {
    Config config;
    BOOST_CHECK_NO_THROW(validate(config));
    config.train.leaf = config.train.batch + 1;
    BOOST_CHECK_THROW(validate(config), ConfigError);
    config = Config();
    config.train.loss_group = 3;
    BOOST_CHECK_THROW(validate(config), ConfigError);
    config = Config();
    config.train.min_delta = 0.1;
    BOOST_CHECK_THROW(validate(config), ConfigError);
    config = Config();
    config.eval.level = 2;
    BOOST_CHECK_THROW(validate(config), ConfigError);
}

BOOST_AUTO_TEST_CASE(what_the_other_family_uses_is_refused) {
    const auto refused = [](const std::string& system, const std::string& name, const std::string& value) {
        Config config;
        config.moa.system = system;
        set_option(config, *find_option(name), value, "a test");
        try {
            validate(config);
        } catch (const ConfigError& error) {
            return std::string(error.what()).find(name + " = " + value) != std::string::npos;
        }
        return false;
    };
    BOOST_TEST(refused("", "moa.lora_rank", "4"));
    BOOST_TEST(refused("", "optim.base_lr", "0.5"));
    BOOST_TEST(refused("", "data.train", "train.json"));
    BOOST_TEST(refused("lora", "adapter.size", "4"));
    BOOST_TEST(refused("lora", "data.dir", "shards"));
    BOOST_TEST(refused("lora", "train.consistency", "1"));
    BOOST_TEST(!refused("lora", "moa.lora_rank", "4"));
    BOOST_TEST(!refused("", "adapter.size", "4"));
}

BOOST_AUTO_TEST_CASE(config_text_reads_back_to_the_same_text) {
    Config config;
    config.run.dir = "runs/one two";
    config.run.seed = 12345678901234567890ULL;
    config.optim.lr = 1.0 / 3.0;
    config.adapter.share_down = true;
    const std::string text = config_text(config);
    const Config copy = parse_config_text(text, "config.cfg");
    BOOST_TEST(config_text(copy) == text);
    BOOST_TEST(copy.optim.lr == config.optim.lr);
    BOOST_TEST(copy.run.seed == config.run.seed);
}

BOOST_AUTO_TEST_CASE(the_best_is_chosen_on_dev_or_on_a_share_of_train) {
    Config config;
    BOOST_TEST(selection_share(config) == 0.0);
    config.eval.select = "split:0.25";
    BOOST_TEST(selection_share(config) == 0.25);
    for (const char* wrong :
         {"", "accuracy", "split", "split:", "split:0", "split:1", "split:-0.1", "split:0.1x", "split:nan", "Dev"}) {
        config.eval.select = wrong;
        BOOST_CHECK_THROW(validate(config), ConfigError);
    }
}

BOOST_AUTO_TEST_CASE(recomputation_is_of_decoders_and_changes_no_identity) {
    Config config;
    config.moa.system = "soft-moa";
    const std::string text = identity_text(config);
    config.train.recompute = true;
    BOOST_TEST(identity_text(config) == text);
    BOOST_CHECK_NO_THROW(validate(config));
    config.moa.system = "";
    BOOST_CHECK_THROW(validate(config), ConfigError);
}

BOOST_AUTO_TEST_CASE(identity_holds_what_decides_the_bytes_and_nothing_else) {
    Config config;
    const std::string text = identity_text(config);
    BOOST_TEST(contains(text, "run.seed = 0\n"));
    BOOST_TEST(contains(text, "optim.lr = 0.0003\n"));
    config.run.dir = "elsewhere";
    config.cpu.threads = 8;
    config.checkpoint.keep = 5;
    BOOST_TEST(identity_text(config) == text);
    config.train.leaf = 8;
    BOOST_TEST(identity_text(config) != text);
}
