// PEFT directories: what is written, what other programs wrote, and configurations that must be refused.
#include <boost/test/unit_test.hpp>

#include "ladle/io/pytorch.hpp"
#include "ladle/io/safetensors.hpp"
#include "names.hpp"
#include "scratch.hpp"
#include "soups.hpp"

using ladle::DataError;
using ladle::Soup;
using ladle::SoupFormat;
using ladle::Tensor;

namespace {

/// A directory that ladle wrote, with ways to change it.
class PeftDirectory {
public:
    explicit PeftDirectory(const Soup& soup) : path_(scratch_.path("p")) {
        ladle::export_soup(soup, {SoupFormat::peft, path_, false, false});
        config = read_json(path_ + "/adapter_config.json");
    }
    std::string path() const { return path_; }
    std::string file(const std::string& name) const { return path_ + "/" + name; }
    Soup read() const { return read(config); }
    Soup read(const nlohmann::json& other) const {
        spill(file("adapter_config.json"), other.dump());
        return ladle::import_soup(path_);
    }
    void refuses(const char* key, const nlohmann::json& value, const std::string& reason) const {
        nlohmann::json other = config;
        other[key] = value;
        BOOST_TEST_CONTEXT(key << " = " << value.dump()) {
            BOOST_CHECK_EXCEPTION(read(other), DataError, names(reason));
        }
    }
    nlohmann::json config;

private:
    Scratch scratch_;
    std::string path_;
};

Soup lora_soup(const std::string& architecture = "bert") {
    return ladle::merge_experts(make_soup(architecture, "adamix-lora", 2, true));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(peft_directories)

BOOST_AUTO_TEST_CASE(directory_has_what_the_library_needs) {
    const PeftDirectory directory(lora_soup("roberta"));
    const nlohmann::json& config = directory.config;
    BOOST_TEST(config["peft_type"] == "LORA");
    BOOST_TEST(config["task_type"] == "SEQ_CLS");
    BOOST_TEST(config["r"] == 3);
    BOOST_TEST(config["lora_alpha"].get<double>() == 6.0);
    BOOST_TEST(config["modules_to_save"] == nlohmann::json({"classifier"}));
    // The end "output.dense" would find the attention's as well.
    BOOST_TEST(config["target_modules"] ==
               nlohmann::json({"query", "attention.output.dense", "intermediate.dense",
                               "roberta.encoder.layer.0.output.dense", "roberta.encoder.layer.1.output.dense"}));
    const auto tensors = ladle::read_safetensors(directory.file("adapter_model.safetensors")).tensors;
    BOOST_TEST(tensors.size() == 2U * 4 * 2 + 4);
    const std::string block = "base_model.model.roberta.encoder.layer.1.";
    BOOST_TEST(tensors.at(block + "output.dense.lora_A.weight").shape == (ladle::Shape{3, 10}),
               boost::test_tools::per_element());
    BOOST_TEST(tensors.at(block + "attention.self.query.lora_B.weight").shape == (ladle::Shape{6, 3}),
               boost::test_tools::per_element());
    BOOST_TEST(tensors.contains("base_model.model.classifier.out_proj.bias"));
}

BOOST_AUTO_TEST_CASE(directories_of_others_are_understood) {
    for (const char* architecture : {"bert", "roberta"}) {
        const Soup soup = lora_soup(architecture);
        PeftDirectory directory(soup);
        directory.config.erase("ladle");
        // As PEFT itself writes it beside.
        directory.config["modules_to_save"] = {"classifier", "score"};
        directory.config["megatron_core"] = "megatron.core";
        directory.config["qalora_group_size"] = 16;
        directory.config["rank_pattern"] = {{"query", 3}};
        directory.config["loftq_config"] = nlohmann::json::object();
        directory.config["use_bdlora"] = nullptr;
        const Soup back = directory.read();
        BOOST_TEST(back.architecture == architecture);
        BOOST_TEST(back.adapter_kind == "lora");
        BOOST_TEST(back.lora_targets == soup.lora_targets, boost::test_tools::per_element());
        BOOST_TEST(back.lora_alpha == 6.0);
        BOOST_TEST(back.adapter_size == 3);
        BOOST_TEST(back.hidden_size == 6);
        BOOST_TEST(back.intermediate_size == 10);
        BOOST_TEST(back.num_layers == 2);
        BOOST_TEST(back.label_names[2] == "LABEL_2");
        const std::string block = std::string(architecture) + ".encoder.layer.1.output.dense.";
        BOOST_TEST(
            (back.tensor(block + "experts_lora_B.0.weight").bytes == soup.tensor(block + "lora_B.weight").bytes));
        BOOST_TEST((back.tensors.back().second.bytes == soup.tensors.back().second.bytes));
    }
}

BOOST_AUTO_TEST_CASE(a_torch_file_is_as_good) {
    const Soup soup = lora_soup();
    const PeftDirectory directory(soup);
    ladle::TensorList tensors;
    for (auto& [name, tensor] : ladle::read_safetensors(directory.file("adapter_model.safetensors")).tensors) {
        tensors.emplace_back(name, tensor);
    }
    ladle::write_torch(directory.file("adapter_model.bin"), tensors);
    BOOST_TEST(ladle::tensor_digest(directory.read()) == ladle::tensor_digest(soup));
    std::filesystem::remove(directory.file("adapter_model.safetensors"));
    BOOST_TEST(ladle::tensor_digest(directory.read()) == ladle::tensor_digest(soup));
    std::filesystem::remove(directory.file("adapter_model.bin"));
    BOOST_CHECK_EXCEPTION(directory.read(), DataError, names("neither adapter_model.bin nor"));
}

BOOST_AUTO_TEST_CASE(settings_that_compute_something_else_are_refused) {
    PeftDirectory directory(lora_soup());
    for (const bool own : {true, false}) {
        if (!own) {
            directory.config.erase("ladle");
        }
        directory.refuses("peft_type", "LOHA", "peft_type is \"LOHA\"");
        directory.refuses("peft_type", nullptr, "peft_type is null");
        directory.refuses("task_type", "CAUSAL_LM", "task_type");
        directory.refuses("bias", "lora_only", "bias is \"lora_only\"");
        directory.refuses("use_rslora", true, "use_rslora");
        directory.refuses("use_dora", true, "use_dora");
        directory.refuses("init_lora_weights", "pissa_niter_4", "init_lora_weights");
        directory.refuses("loftq_config", {{"loftq_bits", 4}}, "loftq_config");
        directory.refuses("fan_in_fan_out", true, "fan_in_fan_out");
        directory.refuses("lora_bias", true, "lora_bias");
        directory.refuses("layers_to_transform", {0}, "layers_to_transform");
        directory.refuses("something_new", {{"a", 1}}, "something_new");
        directory.refuses("rank_pattern", {{"query", 2}}, "rank_pattern");
        directory.refuses("rank_pattern", "query", "rank_pattern");
        directory.refuses("alpha_pattern", {{"query", 3}}, "alpha_pattern");
        directory.refuses("r", nullptr, "r is missing");
        directory.refuses("r", -1, "r is -1");
        directory.refuses("lora_alpha", "6", "lora_alpha");
        directory.refuses("lora_alpha", nullptr, "lora_alpha is missing");
        directory.refuses("modules_to_save", {"pooler"}, "modules_to_save names pooler");
        directory.refuses("modules_to_save", {1}, "modules_to_save");
        directory.refuses("target_modules", nullptr, "target_modules is missing");
        directory.refuses("target_modules", ".*query", "a list of names");
        directory.refuses("target_modules", {"query"}, "does not name bert.encoder.layer.0.attention.output.dense");
        directory.refuses("target_modules", {"query", "key", "dense"}, "target_modules names");
        directory.refuses("target_modules",
                          {"query", "attention.output.dense", "intermediate.dense", "output.dense", "q"},
                          "names q, which is none");
    }
    directory.config["task_type"] = nullptr;
    directory.refuses("modules_to_save", nullptr, "neither task_type nor modules_to_save");
}

BOOST_AUTO_TEST_CASE(own_descriptions_must_agree_with_the_configuration) {
    PeftDirectory directory(lora_soup());
    directory.refuses("r", 4, "its key ladle says 3");
    directory.refuses("lora_alpha", 7, "its key ladle says 6");
    directory.refuses("ladle", 1, "description");
    nlohmann::json own = directory.config["ladle"];
    own["merged"] = false;
    directory.refuses("ladle", own, "no single LoRA adapter");
    own = directory.config["ladle"];
    own["num_layers"] = 3;
    directory.refuses("ladle", own, "encoder.layer.2.attention.self.query.lora_A.weight is missing");
    own["num_layers"] = 1 << 30;
    directory.refuses("ladle", own, "1073741824 layers");
    spill(directory.file("adapter_config.json"), "[1]");
    BOOST_CHECK_THROW(ladle::import_soup(directory.path()), DataError);
    spill(directory.file("adapter_config.json"), "{\"peft_type\": \"LORA\"");
    BOOST_CHECK_EXCEPTION(ladle::import_soup(directory.path()), DataError, names("adapter_config.json"));
}

BOOST_AUTO_TEST_CASE(tensors_that_do_not_fit_are_named) {
    PeftDirectory directory(lora_soup());
    directory.config.erase("ladle");
    const std::string path = directory.file("adapter_model.safetensors");
    const auto original = ladle::read_safetensors(path).tensors;
    const auto refuses = [&](const std::string& reason, auto change) {
        ladle::TensorMap tensors = original;
        change(tensors);
        ladle::write_safetensors(path, {tensors.begin(), tensors.end()}, {});
        BOOST_CHECK_EXCEPTION(directory.read(), DataError, names(reason));
    };
    const float one = 1.0F;
    const std::string query = "base_model.model.bert.encoder.layer.1.attention.self.query.lora_B.weight";
    refuses(query + " is missing", [&](auto& tensors) { tensors.erase(query); });
    refuses("expected [6, 3]", [&](auto& tensors) { tensors[query] = Tensor::from_floats({1}, &one); });
    refuses("pooler.dense.lora_A.weight is surplus", [&](auto& tensors) {
        tensors["base_model.model.bert.pooler.dense.lora_A.weight"] = Tensor::from_floats({1}, &one);
    });
    refuses("classifier.bias is surplus",
            [&](auto& tensors) { tensors["base_model.model.bert.classifier.bias"] = Tensor::from_floats({1}, &one); });
    refuses("there is no classifier", [](auto& tensors) {
        std::erase_if(tensors, [](const auto& entry) { return entry.first.find("classifier") != std::string::npos; });
    });
    refuses("no LoRA on a projection", [](auto& tensors) {
        std::erase_if(tensors, [](const auto& entry) { return entry.first.find("lora") != std::string::npos; });
    });
}

BOOST_AUTO_TEST_SUITE_END()
