// Experts of decoders in the formats of other programs: what is written is read back, and what does not belong together
// is refused.
#include <boost/test/unit_test.hpp>
#include <functional>

#include "io/names.hpp"
#include "io/scratch.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/core/stored_views.hpp"
#include "ladle/io/adapter_formats.hpp"
#include "ladle/io/adapter_safetensors.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/moa_adapter.hpp"
#include "ladle/io/peft_adapter.hpp"
#include "ladle/io/pytorch.hpp"
#include "ladle/io/safetensors.hpp"
#include "support/fixtures.hpp"
#include "support/small_adapter.hpp"

using namespace ladle;
using nlohmann::json;
using test::small_adapter;

namespace {

/// Values that tell every element apart.
AdapterFile numbered_lora() {
    AdapterFile adapter = small_adapter("lora");
    adapter.experts.lora_layers = LayerRanges::parse("1-2");
    adapter.experts.max_threshold = MoaOptions{}.max_threshold;
    adapter.tensors.erase(adapter.tensors.begin(), adapter.tensors.begin() + 10);
    for (auto& [name, tensor] : adapter.tensors) {
        std::vector<float> values(tensor.elements());
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = static_cast<float>(i);
        }
        tensor = Tensor::from_floats(tensor.shape, values.data());
    }
    return adapter;
}

void check_same(const AdapterFile& read, const AdapterFile& written) {
    BOOST_TEST_REQUIRE(read.tensors.size() == written.tensors.size());
    for (std::size_t i = 0; i < read.tensors.size(); ++i) {
        BOOST_TEST(read.tensors[i].first == written.tensors[i].first);
        BOOST_TEST((read.tensors[i].second.bytes == written.tensors[i].second.bytes), read.tensors[i].first);
    }
    BOOST_TEST(read.system == written.system);
    BOOST_TEST((read.experts.router == written.experts.router));
    BOOST_TEST((read.experts.rule == written.experts.rule));
    BOOST_TEST(read.experts.lora_layers.text() == written.experts.lora_layers.text());
    BOOST_TEST((read.experts.lora_targets == written.experts.lora_targets));
    BOOST_TEST(read.experts.adapter_layers.text() == written.experts.adapter_layers.text());
    BOOST_TEST(read.experts.share_lora_a == written.experts.share_lora_a);
    BOOST_TEST(read.experts.lora_alpha == written.experts.lora_alpha);
    BOOST_TEST(read.experts.max_threshold == written.experts.max_threshold);
}

/// A directory of PEFT without what ladle wrote down about it, as PEFT saves it.
struct ForeignDirectory {
    explicit ForeignDirectory(const AdapterFile& adapter) : model(adapter) {
        write_peft_adapter(scratch.directory(), adapter);
        config = read_json_file(scratch.path("adapter_config.json"));
        config.erase("ladle");
        model.tensors.clear();
        model.experts = {};
        model.system = "";
    }
    AdapterFile read() const {
        spill(scratch.path("adapter_config.json"), config.dump());
        return read_peft_adapter(scratch.directory(), model);
    }
    void refuses(const char* key, const json& value, const char* named) {
        const json before = config;
        config[key] = value;
        BOOST_TEST_CONTEXT(key << " = " << value.dump()) {
            BOOST_CHECK_EXCEPTION(read(), DataError, names(named));
        }
        config = before;
    }
    /// The same with other tensors.
    void refuses(const std::function<void(TensorMap&)>& spoil, const char* named) {
        const std::string path = scratch.path("adapter_model.safetensors");
        const std::string before = slurp(path);
        TensorMap tensors = read_safetensors(path).tensors;
        spoil(tensors);
        write_safetensors(path, {tensors.begin(), tensors.end()}, {});
        BOOST_CHECK_EXCEPTION(read(), DataError, names(named));
        spill(path, before);
    }

    Scratch scratch;
    AdapterFile model;
    json config;
};

/// What reading a safetensors file says whose description `spoil` has changed.
void refuses_description(const std::function<void(json&)>& spoil, const char* named) {
    const Scratch scratch;
    const std::string path = scratch.path("a.safetensors");
    write_adapter_safetensors(path, small_adapter("soft-moa"));
    const AdapterFile adapter = read_adapter_safetensors(path);
    StringMap metadata = read_safetensors_header(path).metadata;
    json description = parse_json(metadata["ladle.adapter"], path);
    spoil(description);
    metadata["ladle.adapter"] = description.dump();
    write_safetensors(path, adapter.tensors, metadata);
    BOOST_CHECK_EXCEPTION(read_adapter_safetensors(path), DataError, names(named));
}

AdapterFile tiny_published() {
    AdapterFile published;
    published.layers = 2;
    published.block = {0, 64, 4, 2, 16, 128};
    published.system = "soft-moa";
    published.experts = moa_options("soft-moa", published.layers);
    return published;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(adapter_formats)

BOOST_AUTO_TEST_CASE(every_system_comes_back_from_safetensors) {
    for (const MoaSystem& system : moa_systems(2)) {
        const Scratch scratch;
        const AdapterFile written = small_adapter(system.name);
        write_adapter_safetensors(scratch.path("a"), written);
        const AdapterFile read = read_adapter_safetensors(scratch.path("a"));
        check_same(read, written);
        BOOST_TEST(read.seed == 5U);
        BOOST_TEST(read.score == 1.5);
        BOOST_TEST(read.backbone_digest == "b");
        BOOST_TEST((detect_adapter_format(scratch.path("a")) == AdapterFormat::safetensors));
    }
}

BOOST_AUTO_TEST_CASE(safetensors_that_do_not_fit_are_refused) {
    refuses_description([](json& d) { d["format"] = "ladle.adapter 2"; }, "another format");
    refuses_description([](json& d) { d.erase("rule"); }, "incomplete");
    refuses_description([](json& d) { d["dim"] = 1e300; }, "its dim is");
    refuses_description([](json& d) { d["dim"] = -1; }, "its dim is");
    refuses_description([](json& d) { d["layers"] = std::int64_t{1} << 40; }, "its layers is");
    refuses_description([](json& d) { d["num_experts"] = 1 << 20; }, "its num_experts is");
    refuses_description([](json& d) { d["seed"] = -1; }, "its seed is");
    refuses_description([](json& d) { d["head_dim"] = 3; }, "3 wide");
    refuses_description([](json& d) { d["system"] = 1; }, "incomplete");
    refuses_description([](json& d) { d["router"] = "any"; }, "known ones are");
    refuses_description([](json& d) { d["lora_rank"] = 4; }, "lora_A");
    refuses_description([](json& d) { d["router"] = "none"; }, "more than its experts have");

    const Scratch scratch;
    const std::string path = scratch.path("a");
    write_adapter_safetensors(path, small_adapter("lora"));
    std::string bytes = slurp(path);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    spill(path, bytes);
    BOOST_CHECK_EXCEPTION(read_adapter_safetensors(path), DataError, names("do not match"));
    write_safetensors(path, small_adapter("lora").tensors, {});
    BOOST_CHECK_EXCEPTION(read_adapter_safetensors(path), DataError, names("no ladle.adapter"));
    BOOST_TEST(!detect_adapter_format(path).has_value());
}

BOOST_AUTO_TEST_CASE(rows_of_heads_have_two_orders) {
    for (const std::size_t head_dim : {2U, 4U, 6U, 128U}) {
        for (std::size_t row = 0; row < 2 * head_dim; ++row) {
            BOOST_TEST(interleaved_row(half_split_row(row, head_dim), head_dim) == row);
            BOOST_TEST(half_split_row(row, head_dim) / head_dim == row / head_dim);
        }
    }
    // Pairs (0, 1) and (2, 3) of the second head of four.
    BOOST_TEST(half_split_row(4, 4) == 4U);
    BOOST_TEST(half_split_row(5, 4) == 6U);
    BOOST_TEST(half_split_row(6, 4) == 5U);
    BOOST_TEST(half_split_row(7, 4) == 7U);
}

BOOST_AUTO_TEST_CASE(lora_becomes_a_directory_of_peft) {
    const Scratch scratch;
    const AdapterFile written = numbered_lora();
    write_peft_adapter(scratch.path("p"), written);
    const json config = read_json_file(scratch.path("p/adapter_config.json"));
    BOOST_TEST(config["peft_type"] == "LORA");
    BOOST_TEST(config["task_type"] == "CAUSAL_LM");
    BOOST_TEST(config["r"] == 3);
    BOOST_TEST(config["layers_to_transform"] == json({1}));
    BOOST_TEST(config["target_modules"] == json({"q_proj", "k_proj", "v_proj", "o_proj", "down_proj"}));
    const TensorMap tensors = read_safetensors(scratch.path("p/adapter_model.safetensors")).tensors;
    BOOST_TEST(tensors.size() == 10U);
    const std::string layer = "base_model.model.model.layers.1.";
    const auto column = [&](const std::string& name) {
        const std::vector<float> values = tensors.at(layer + name).to_floats();
        std::vector<float> first;
        for (std::size_t i = 0; i < 8; ++i) {
            first.push_back(values[3 * i]);
        }
        return first;
    };
    const std::vector<float> turned = {0, 6, 3, 9, 12, 18, 15, 21};
    const std::vector<float> plain = {0, 3, 6, 9, 12, 15, 18, 21};
    BOOST_TEST(column("self_attn.q_proj.lora_B.weight") == turned, boost::test_tools::per_element());
    BOOST_TEST(column("self_attn.k_proj.lora_B.weight") == turned, boost::test_tools::per_element());
    BOOST_TEST(column("self_attn.v_proj.lora_B.weight") == plain, boost::test_tools::per_element());
    BOOST_TEST(column("mlp.down_proj.lora_B.weight") == plain, boost::test_tools::per_element());
    BOOST_TEST((detect_adapter_format(scratch.path("p")) == AdapterFormat::peft));

    const AdapterFile read = read_peft_adapter(scratch.path("p"), std::nullopt);
    check_same(read, written);
    BOOST_TEST(read.step == 7);
}

BOOST_AUTO_TEST_CASE(other_experts_do_not_fit_into_peft) {
    for (const MoaSystem& system : moa_systems(2)) {
        const Scratch scratch;
        const AdapterFile adapter = small_adapter(system.name);
        if (std::string(system.name) == "lora") {
            BOOST_TEST(fits_peft(adapter));
            continue;
        }
        BOOST_TEST(!fits_peft(adapter));
        BOOST_CHECK_EXCEPTION(write_peft_adapter(scratch.path("p"), adapter), ConfigError,
                              names(std::string(system.name) + " needs"));
        BOOST_TEST(!directory_exists(scratch.path("p")));
    }
}

BOOST_AUTO_TEST_CASE(directories_that_others_saved_are_read) {
    ForeignDirectory directory(numbered_lora());
    check_same(directory.read(), numbered_lora());
    directory.config["layers_pattern"] = "layers";
    directory.config["layers_to_transform"] = 1;
    check_same(directory.read(), numbered_lora());
    // Every module by its whole name needs no list of layers.
    directory.config["layers_to_transform"] = nullptr;
    json whole = json::array();
    for (const char* module :
         {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.down_proj"}) {
        whole.push_back(std::string("model.layers.1.") + module);
    }
    directory.config["target_modules"] = whole;
    check_same(directory.read(), numbered_lora());
    BOOST_CHECK_EXCEPTION(read_peft_adapter(directory.scratch.directory(), std::nullopt), ConfigError,
                          names("--model.path"));
}

BOOST_AUTO_TEST_CASE(directories_that_compute_something_else_are_refused) {
    ForeignDirectory directory(numbered_lora());
    directory.refuses("peft_type", "IA3", "LORA only");
    directory.refuses("task_type", "SEQ_CLS", "CAUSAL_LM only");
    directory.refuses("use_rslora", true, "use_rslora");
    directory.refuses("use_dora", true, "use_dora");
    directory.refuses("bias", "all", "bias is");
    directory.refuses("modules_to_save", json({"lm_head"}), "modules_to_save");
    directory.refuses("rank_pattern", {{"q_proj", 2}}, "rank_pattern");
    directory.refuses("init_lora_weights", "pissa", "changed base weights");
    directory.refuses("layers_pattern", "h", "layers_pattern");
    directory.refuses("layers_to_transform", json({"1"}), "layers_to_transform");
    directory.refuses("layers_to_transform", json({-1}), "layers_to_transform");
    directory.refuses("layers_to_transform", json({0}), "names model.layers.0");
    directory.refuses("layers_to_transform", nullptr, "names model.layers.0");
    directory.refuses("target_modules", "all-linear", "list of names");
    directory.refuses("target_modules", json({"q_proj"}), "does not name model.layers.1.self_attn.k_proj");
    directory.refuses("target_modules", json({"q_proj", "k_proj", "v_proj", "o_proj", "down_proj", "lm_head"}),
                      "names lm_head");
    directory.refuses("r", 4, "lora_A");
    directory.refuses("r", 2.5, "no rank");
    directory.refuses("lora_alpha", 0, "lora_alpha");
    directory.refuses("ladle", json::object(), "incomplete");

    const std::string query = "base_model.model.model.layers.1.self_attn.q_proj.";
    directory.refuses([&](TensorMap& tensors) { tensors.erase(query + "lora_B.weight"); }, "lora_B.weight is missing");
    directory.refuses([&](TensorMap& tensors) { tensors.erase(query + "lora_A.weight"); }, "no tensors for it");
    directory.refuses([&](TensorMap& tensors) { tensors["more"] = tensors.begin()->second; }, "more is surplus");
    directory.refuses([&](TensorMap& tensors) { tensors[query + "lora_B.weight"].shape = {3, 16}; }, "lora_B.weight");
    directory.refuses([&](TensorMap& tensors) { tensors = {{"other", tensors.begin()->second}}; }, "no LoRA");
    directory.refuses([&](TensorMap& tensors) { tensors.clear(); }, "neither");
    directory.model.block.head_dim = 8;
    BOOST_CHECK_EXCEPTION(directory.read(), DataError, names("lora_B.weight is"));
}

BOOST_AUTO_TEST_CASE(own_directories_must_say_what_peft_reads) {
    const Scratch scratch;
    write_peft_adapter(scratch.directory(), numbered_lora());
    const std::string path = scratch.path("adapter_config.json");
    json config = read_json_file(path);
    config["lora_alpha"] = 9;
    spill(path, config.dump());
    BOOST_CHECK_EXCEPTION(read_peft_adapter(scratch.directory(), std::nullopt), DataError, names("lora_alpha is 9"));
    config["lora_alpha"] = 8;
    config["ladle"]["num_experts"] = 2;
    spill(path, config.dump());
    BOOST_CHECK_EXCEPTION(read_peft_adapter(scratch.directory(), std::nullopt), DataError, names("no plain LoRA"));
}

BOOST_AUTO_TEST_CASE(training_checkpoints_give_their_experts) {
    const std::string directory = test::fixtures_root() + "/moa/meta_tiny";
    const std::string checkpoint = directory + "/checkpoint-1.pth";
    const json arguments = read_torch_arguments(checkpoint, "args");
    BOOST_TEST(arguments == read_json_file(directory + "/adapter_params.json"));
    const AdapterFile read = read_moa_checkpoint(checkpoint, tiny_published());
    check_same(read, read_moa_adapter(directory, tiny_published()));
    BOOST_TEST(read.max_length == 64);
    BOOST_TEST((detect_adapter_format(checkpoint) == AdapterFormat::checkpoint));
    BOOST_TEST((detect_adapter_format(directory) == AdapterFormat::moa));

    AdapterFile other = tiny_published();
    other.block.ffn = 64;
    BOOST_CHECK_EXCEPTION(read_moa_checkpoint(checkpoint, other), DataError, names("lora_DOWN"));
    other.experts = moa_options("sparse-moa", 2);
    BOOST_CHECK_EXCEPTION(read_moa_checkpoint(checkpoint, other), DataError, names("max_threshold is missing"));
    BOOST_CHECK_EXCEPTION(read_torch_arguments(checkpoint, "scaler"), DataError, names("no arguments"));
    BOOST_CHECK_EXCEPTION(read_torch_arguments(checkpoint, "absent"), DataError, names("no arguments"));
    BOOST_CHECK_EXCEPTION(read_moa_checkpoint(directory + "/adapter.pth", tiny_published()), DataError,
                          names("no arguments"));
}

BOOST_AUTO_TEST_CASE(formats_have_names) {
    for (const char* name : {"adapter", "moa", "peft", "safetensors"}) {
        BOOST_TEST(adapter_format_name(adapter_format(name)) == std::string(name));
    }
    BOOST_CHECK_EXCEPTION(adapter_format("soup"), ConfigError, names("adapter, moa, peft, safetensors"));
    BOOST_CHECK_EXCEPTION(adapter_format("checkpoint"), ConfigError, names("adapter, moa, peft, safetensors"));
}

BOOST_AUTO_TEST_SUITE_END()
