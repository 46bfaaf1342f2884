// Hostile config files, config.json files and launch environments.
#include <boost/test/unit_test.hpp>
#include <cstdlib>

#include "io/export_parts.hpp"
#include "io/names.hpp"
#include "io/scratch.hpp"
#include "ladle/comm/communicator.hpp"
#include "ladle/config/ini.hpp"
#include "ladle/config/options.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/pretrained.hpp"
#include "ladle/models/backbone_config.hpp"

namespace {

using namespace std::string_literals;

void refuses(const std::string& text, const char* named) {
    BOOST_CHECK_NO_THROW(ladle::parse_config_text("[train]\nbatch = 8\n", "a.cfg"));
    BOOST_CHECK_EXCEPTION(ladle::parse_config_text(text, "a.cfg"), ladle::ConfigError, names(named));
}

void refuses_backbone(const std::string& change, const char* named) {
    const auto text = [](const std::string& last) {
        return R"({"model_type": "bert", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, )"
               R"("intermediate_size": 8, "vocab_size": 10, "max_position_embeddings": 16, "type_vocab_size": 2, )" +
               last + "}";
    };
    BOOST_CHECK_NO_THROW(ladle::parse_backbone_config(text(R"("pad_token_id": 0)"), "a"));
    BOOST_CHECK_EXCEPTION(ladle::parse_backbone_config(text(change), "a"), ladle::DataError, names(named));
}

/// Sets an environment variable for its lifetime.
class Variable {
public:
    Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
    ~Variable() { ::unsetenv(name_); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

private:
    const char* name_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(hostile_config)

BOOST_AUTO_TEST_CASE(unknown_keys) {
    refuses("[train]\nbtach = 8\n", "did you mean");
    refuses("x = 1\n", "unknown option");
}

BOOST_AUTO_TEST_CASE(a_line_with_a_placeholder_of_the_parser) {
    refuses("%invalid_line%\n[optim]\nlr = 1\n", "line 1 is neither a heading nor an option");
    refuses("[optim]\n\nlr %invalid_line%  # x = y\n", "line 3");
}

BOOST_AUTO_TEST_CASE(key_given_twice) {
    refuses("[train]\nbatch = 8\nbatch = 9\n", "twice");
}

BOOST_AUTO_TEST_CASE(value_nan) {
    refuses("[optim]\nlr = nan\n", "optim.lr");
    refuses("[optim]\nlr = -inf\n", "optim.lr");
}

BOOST_AUTO_TEST_CASE(value_1e999) {
    refuses("[optim]\nlr = 1e999\n", "optim.lr");
}

BOOST_AUTO_TEST_CASE(negative_counts) {
    refuses("[train]\nbatch = -8\n", "train.batch");
    refuses("[adapter]\nnum_experts = -1\n", "adapter.num_experts");
    refuses("[run]\nseed = -1\n", "run.seed");
    refuses("[train]\nbatch = 99999999999999999999\n", "train.batch");
}

BOOST_AUTO_TEST_CASE(nul) {
    refuses("[run]\ndir = a\0b\n"s, "run.dir");
    refuses("[run]\nd\0ir = a\n"s, "unknown option");
}

BOOST_AUTO_TEST_CASE(path_traversal) {
    // A directory may lie anywhere: the user names it. A task's name becomes part of paths and may not lead elsewhere.
    BOOST_CHECK_NO_THROW(ladle::parse_config_text("[run]\ndir = ../../elsewhere\n", "a.cfg"));
    const Scratch scratch;
    spill(scratch.path("model.safetensors.index.json"), R"({"weight_map": {"a": "../../secret"}})");
    BOOST_CHECK_EXCEPTION(ladle::open_weights(scratch.directory()), ladle::DataError, names("same directory"));
    spill(scratch.path("model.safetensors.index.json"), R"({"weight_map": {"a": ".."}})");
    BOOST_CHECK_EXCEPTION(ladle::open_weights(scratch.directory()), ladle::DataError, names("not a regular file"));
}

BOOST_AUTO_TEST_CASE(include_loops) {
    // There is no including: such lines are like any other unknown ones.
    refuses("include = a.cfg\n", "unknown option");
    refuses("include a.cfg\n", "not a config file");
    refuses("config = a.cfg\n", "unknown option");
}

BOOST_AUTO_TEST_CASE(endless_file) {
    const Scratch scratch;
    spill(scratch.path("a.cfg"), std::string(2000000, '#'));
    BOOST_CHECK_EXCEPTION(ladle::read_config_file(scratch.path("a.cfg")), ladle::ConfigError, names("1 MiB"));
    BOOST_CHECK_EXCEPTION(ladle::read_config_file("/dev/zero"), ladle::ConfigError, names("1 MiB"));
    BOOST_CHECK_THROW(ladle::read_config_file(scratch.directory()), ladle::ConfigError);
}

BOOST_AUTO_TEST_CASE(backbone_deep_json) {
    refuses_backbone(R"("hidden_act": )" + std::string(100000, '[') + std::string(100000, ']'), "nested deeper");
}

BOOST_AUTO_TEST_CASE(backbone_duplicate_keys) {
    refuses_backbone(R"("pad_token_id": 0, "pad_token_id": 1)", "occurs twice");
}

BOOST_AUTO_TEST_CASE(backbone_impossible_numbers) {
    refuses_backbone(R"("pad_token_id": -1)", "pad_token_id");
    refuses_backbone(R"("pad_token_id": 4294967296)", "pad_token_id");
    refuses_backbone(R"("pad_token_id": 18446744073709551615)", "pad_token_id");
    refuses_backbone(R"("pad_token_id": 0.0)", "pad_token_id");
    refuses_backbone(R"("pad_token_id": 0, "layer_norm_eps": 1e999)", "JSON");
    refuses_backbone(R"("pad_token_id": 0, "hidden_dropout_prob": -0.1)", "hidden_dropout_prob");
}

BOOST_AUTO_TEST_CASE(description_impossible_numbers) {
    ladle::Soup soup;
    soup.architecture = "bert";
    soup.hidden_size = 4;
    soup.num_layers = 1;
    soup.adapter_kind = "adamix";
    soup.num_experts = 2;
    soup.adapter_size = 2;
    const auto parse = [&](const std::string& key, const std::string& value) {
        auto changed = ladle::parse_json(ladle::describe_soup(soup).dump(), "d");
        changed[key] = ladle::parse_json(value, "d");
        return ladle::parse_description(changed, "d");
    };
    BOOST_TEST(parse("seed", "18446744073709551615").seed == 18446744073709551615U);
    for (const char* layers : {"1e300", "1.5", "-1", "0", "18446744073709551615", "true"}) {
        BOOST_CHECK_THROW(parse("num_layers", layers), ladle::DataError);
    }
    for (const char* seed : {"-1", "1e300", "\"1\""}) {
        BOOST_CHECK_THROW(parse("seed", seed), ladle::DataError);
    }
    BOOST_CHECK_THROW(parse("adapter_kind", "\"no\""), ladle::DataError);
    // A kind with experts has a size, a kind without has none, and one expert is no mixture.
    BOOST_CHECK_THROW(parse("adapter_kind", "\"head\""), ladle::DataError);
    BOOST_CHECK_THROW(parse("adapter_kind", "\"houlsby\""), ladle::DataError);
    BOOST_CHECK_THROW(parse("adapter_size", "0"), ladle::DataError);
    BOOST_CHECK_THROW(parse("activation", "\"relu\""), ladle::DataError);
    BOOST_CHECK_THROW(parse("intermediate_size", "-1"), ladle::DataError);
    BOOST_CHECK_THROW(parse("intermediate_size", "4294967297"), ladle::DataError);

    // Written before there were other kinds than AdaMix's.
    auto old = ladle::parse_json(ladle::describe_soup(soup).dump(), "d");
    for (const char* key :
         {"intermediate_size", "lora_targets", "lora_alpha", "factor_size", "factor_order", "factor_experts"}) {
        BOOST_TEST(old.erase(key) == 1U);
    }
    BOOST_TEST(ladle::describe_soup(ladle::parse_description(old, "d")).dump() == ladle::describe_soup(soup).dump());

    soup.num_experts = 1;
    soup.adapter_kind = "adakron";
    soup.adapter_size = 8;
    soup.factor_size = 4;
    soup.factor_order = "small_outer";
    soup.factor_experts = "none";
    BOOST_TEST(parse("seed", "1").factor_size == 4);
    for (const char* size : {"0", "-4", "3", "16", "4294967300"}) {
        BOOST_CHECK_THROW(parse("factor_size", size), ladle::DataError);
    }
    soup.adapter_size = std::int64_t{1} << 32;
    BOOST_CHECK_THROW(parse("factor_size", "4294967296"), ladle::DataError);
    soup.adapter_size = 8;
    BOOST_CHECK_THROW(parse("factor_order", "\"\""), ladle::DataError);
    BOOST_CHECK_THROW(parse("factor_experts", "\"all\""), ladle::DataError);

    soup.adapter_kind = "lora";
    soup.lora_alpha = 16;
    soup.lora_targets = {"query"};
    BOOST_TEST(parse("seed", "1").lora_alpha == 16);
    for (const char* targets :
         {"[]", "[\"query\",\"query\"]", "[\"head\"]", "[\"query,value\"]", "[\"intermediate\"]"}) {
        BOOST_CHECK_THROW(parse("lora_targets", targets), ladle::DataError);
    }
    for (const char* alpha : {"0", "-1", "null"}) {
        BOOST_CHECK_THROW(parse("lora_alpha", alpha), ladle::DataError);
    }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(hostile_environment)

BOOST_AUTO_TEST_CASE(slurm_variables_forged) {
    for (const char* value : {"", "many", "-4", "0", "99999999999999999999", "4x"}) {
        const Variable width("SLURM_STEP_NUM_TASKS", value);
        BOOST_TEST(ladle::launch_environment().width == 1);
    }
    const Variable width("SLURM_STEP_NUM_TASKS", "4");
    const Variable rank("SLURM_PROCID", "minus one");
    BOOST_TEST(ladle::launch_environment().width == 4);
    BOOST_TEST(ladle::launch_environment().rank == 0);
}

BOOST_AUTO_TEST_CASE(slurm_variables_missing) {
    BOOST_TEST(ladle::launch_environment().width == 1);
    BOOST_TEST(ladle::launch_environment().variable.empty());
}

BOOST_AUTO_TEST_SUITE_END()
