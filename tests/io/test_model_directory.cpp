// Model directories: folded LoRA, replaced biases, code of their own, shards.
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "ladle/io/pretrained.hpp"
#include "ladle/io/safetensors.hpp"
#include "names.hpp"
#include "scratch.hpp"
#include "soups.hpp"

using ladle::ConfigError;
using ladle::DataError;
using ladle::ModelSource;
using ladle::Shape;
using ladle::Soup;
using ladle::SoupExport;
using ladle::SoupFormat;
using ladle::Tensor;

namespace {

Tensor numbers(const Shape& shape, float first) {
    std::vector<float> values(ladle::shape_elements(shape));
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = first + std::sin(static_cast<float>(i));
    }
    return Tensor::from_floats(shape, values.data());
}

/// The projections of the soups of soups.hpp, an embedding in half precision and a tokenizer.
class Backbone {
public:
    explicit Backbone(const std::string& architecture) {
        source.directory = scratch_.path("backbone");
        std::filesystem::create_directory(source.directory);
        source.config = "{\"model_type\": \"" + architecture +
                        "\", \"_name_or_path\": \"/home/somebody\", \"torch_dtype\": \"float16\", \"hidden_size\": 6}";
        spill(source.directory + "/vocab.txt", "[PAD]\n");
        spill(source.directory + "/notes.txt", "not copied");
        for (const char* layer : {"0", "1"}) {
            const std::string block = architecture + ".encoder.layer." + layer + ".";
            add(block + "attention.self.query", 6, 6);
            add(block + "attention.output.dense", 6, 6);
            add(block + "intermediate.dense", 10, 6);
            add(block + "output.dense", 6, 10);
        }
        // 1.5 in half precision
        source.tensors[architecture + ".embeddings.word_embeddings.weight"] = ladle::stored_tensor(
            {ladle::DType::f16, {2}, {std::byte{0}, std::byte{0x3e}, std::byte{0}, std::byte{0x3e}}});
    }
    ladle::TensorMap write(const Soup& soup, const std::string& name) {
        SoupExport target{SoupFormat::model, path(name), false, false, &source};
        ladle::export_soup(soup, target);
        ladle::verify_export(soup, target);
        return ladle::load_tensors(ladle::open_weights(target.path).tensors);
    }
    std::string path(const std::string& name) const { return scratch_.path(name); }
    ModelSource source;

private:
    void add(const std::string& name, std::int64_t out, std::int64_t in) {
        const auto number = static_cast<float>(source.tensors.size());
        source.tensors[name + ".weight"] = ladle::stored_tensor(numbers({out, in}, number));
        source.tensors[name + ".bias"] = ladle::stored_tensor(numbers({out}, number));
    }
    Scratch scratch_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(model_directories)

BOOST_AUTO_TEST_CASE(lora_is_folded_and_rounded_once) {
    for (const char* architecture : {"bert", "roberta"}) {
        Backbone backbone(architecture);
        const Soup soup = ladle::merge_experts(make_soup(architecture, "adamix-lora", 2, true));
        const auto tensors = backbone.write(soup, "m");
        BOOST_TEST(tensors.size() == 17U + (soup.architecture == "bert" ? 2U : 4U));
        for (const std::string module : {".attention.self.query", ".intermediate.dense", ".output.dense"}) {
            const std::string name = std::string(architecture) + ".encoder.layer.1" + module;
            const Tensor& folded = tensors.at(name + ".weight");
            const auto weight = backbone.source.tensors.at(name + ".weight").load().to_floats();
            const auto a = soup.tensor(name + ".lora_A.weight").to_floats();
            const auto b = soup.tensor(name + ".lora_B.weight").to_floats();
            const auto in = static_cast<std::size_t>(folded.shape[1]);
            const std::vector<float> found = folded.to_floats();
            for (std::size_t i = 0; i < found.size(); ++i) {
                double sum = static_cast<double>(weight[i]);
                for (std::size_t k = 0; k < 3; ++k) {
                    sum += 2.0 * static_cast<double>(b[i / in * 3 + k]) * static_cast<double>(a[k * in + i % in]);
                }
                // Both sum in double; another order may tip the last bit of a float.
                BOOST_TEST(found[i] == static_cast<float>(sum), boost::test_tools::tolerance(1.2e-7F));
            }
        }
        const auto words = tensors.at(std::string(architecture) + ".embeddings.word_embeddings.weight");
        BOOST_TEST((words.dtype == ladle::DType::f32));
        BOOST_TEST(words.to_floats()[1] == 1.5F);
        const auto config = read_json(backbone.path("m/config.json"));
        BOOST_TEST(config["architectures"][0] == (soup.architecture == "bert" ? "BertForSequenceClassification"
                                                                              : "RobertaForSequenceClassification"));
        BOOST_TEST(config["id2label"]["2"] == "contradiction");
        BOOST_TEST(config["label2id"]["neutral"] == 1);
        BOOST_TEST(config["torch_dtype"] == "float32");
        BOOST_TEST(config["model_type"] == architecture);
        BOOST_TEST(!config.contains("_name_or_path"));
        BOOST_TEST(!config.contains("auto_map"));
        BOOST_TEST(slurp(backbone.path("m/vocab.txt")) == "[PAD]\n");
        BOOST_TEST(!std::filesystem::exists(backbone.path("m/notes.txt")));
        BOOST_TEST(!std::filesystem::exists(backbone.path("m/attach.py")));
        BOOST_CHECK_EXCEPTION(ladle::import_soup(backbone.path("m")), DataError, names("has no ladle_soup"));
    }
}

BOOST_AUTO_TEST_CASE(other_adapters_come_with_their_code_and_can_be_read_back) {
    Backbone backbone("roberta");
    for (const char* kind : {"adamix", "houlsby", "pfeiffer", "adakron", "madakron", "adamix-lora"}) {
        const Soup experts = make_soup(
            "roberta", kind, kind[0] == 'h' || kind[0] == 'p' || kind == std::string("adakron") ? 1 : 2, true);
        const auto tensors = backbone.write(experts, kind);
        BOOST_TEST(tensors.size() == 17 + experts.tensors.size());
        BOOST_TEST(ladle::tensor_digest(ladle::import_soup(backbone.path(kind))) == ladle::tensor_digest(experts));
    }
    const Soup merged = ladle::merge_experts(make_soup("roberta", "madakron", 2, true));
    backbone.write(merged, "merged");
    const auto config = read_json(backbone.path("merged/config.json"));
    BOOST_TEST(config["model_type"] == "ladle-roberta");
    BOOST_TEST(config["architectures"][0] == "LadleRobertaForSequenceClassification");
    BOOST_TEST(config["auto_map"]["AutoConfig"] == "modeling_ladle.LadleRobertaConfig");
    BOOST_TEST(config["auto_map"]["AutoModelForSequenceClassification"] ==
               "modeling_ladle.LadleRobertaForSequenceClassification");
    BOOST_TEST(config["ladle_soup"]["adapter_kind"] == "madakron");
    BOOST_TEST(read_json(backbone.path("merged/tokenizer_config.json"))["tokenizer_class"] == "RobertaTokenizer");
    BOOST_TEST(slurp(backbone.path("merged/attach.py")).find("def attach_adapters") != std::string::npos);
    BOOST_TEST(slurp(backbone.path("merged/modeling_ladle.py")).find("class LadleRobertaConfig") != std::string::npos);
    BOOST_TEST(slurp(backbone.path("merged/README.md")).find("trust_remote_code=True") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(heads_and_biases_need_no_code) {
    Backbone backbone("bert");
    Soup soup = make_soup("bert", "head", 1, true);
    soup.label_names.clear();
    soup.regression = true;
    soup.tensors.clear();
    add(soup, "classifier.weight", {1, 6});
    add(soup, "classifier.bias", {1});
    BOOST_TEST(backbone.write(soup, "head").size() == 19U);
    const auto config = read_json(backbone.path("head/config.json"));
    BOOST_TEST(config["problem_type"] == "regression");
    BOOST_TEST(config["num_labels"] == 1);
    BOOST_TEST(config["id2label"] == nlohmann::json({{"0", "LABEL_0"}}));

    Soup biases = make_soup("bert", "bias", 1, true);
    const std::string name = "bert.encoder.layer.0.output.dense.bias";
    biases.tensors.emplace(biases.tensors.begin(), name, numbers({6}, 7));
    const auto tensors = backbone.write(biases, "bias");
    BOOST_TEST(tensors.size() == 19U);
    BOOST_TEST((tensors.at(name).bytes == biases.tensor(name).bytes));
    biases.tensors.front().first = "bert.encoder.layer.9.output.dense.bias";
    BOOST_CHECK_EXCEPTION(backbone.write(biases, "none"), DataError, names("layer.9.output.dense.bias of"));
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused_before_anything_is_written) {
    Backbone backbone("bert");
    const Soup soup = make_soup("bert", "lora", 1, true);
    const std::string query = "bert.encoder.layer.1.attention.self.query.weight";
    const auto original = backbone.source.tensors;
    backbone.source.tensors.erase(query);
    BOOST_CHECK_EXCEPTION(backbone.write(soup, "none"), DataError, names(query));
    backbone.source.tensors = original;
    backbone.source.tensors[query] = ladle::stored_tensor(numbers({6, 5}, 0));
    BOOST_CHECK_EXCEPTION(backbone.write(soup, "none"), DataError, names("the soup needs [6, 6]"));
    backbone.source.tensors = original;
    backbone.source.tensors["classifier.weight"] = ladle::stored_tensor(numbers({3, 6}, 0));
    BOOST_CHECK_EXCEPTION(backbone.write(soup, "none"), DataError, names("classifier.weight of the soup is in"));
    backbone.source.tensors = original;
    backbone.source.config = "{";
    BOOST_CHECK_EXCEPTION(backbone.write(soup, "none"), DataError, names("config.json"));
    BOOST_TEST(!std::filesystem::exists(backbone.path("none")));
    BOOST_CHECK_EXCEPTION(backbone.write(soup, "backbone"), ConfigError, names("name a new or empty directory"));
}

BOOST_AUTO_TEST_CASE(a_failure_leaves_nothing_in_the_way_of_another_try) {
    Backbone backbone("roberta");
    const Soup soup = make_soup("roberta", "adamix", 2, true);
    const std::string output = "roberta.encoder.layer.1.output.dense.weight";
    const auto original = backbone.source.tensors;
    backbone.source.tensors[output].read = [](std::size_t, std::size_t) -> std::vector<std::byte> {
        throw DataError("cannot read the weights", "the file ends early", "fetch it again");
    };
    BOOST_CHECK_EXCEPTION(backbone.write(soup, "again"), DataError, names("ends early"));
    BOOST_TEST(std::filesystem::is_empty(backbone.path("again")));
    backbone.source.tensors = original;
    backbone.write(soup, "again");
    BOOST_TEST(std::filesystem::exists(backbone.path("again/config.json")));
}

BOOST_AUTO_TEST_CASE(weights_are_cut_into_shards) {
    const Scratch scratch;
    ladle::StoredTensorMap tensors;
    for (const char* name : {"a", "b", "c"}) {
        tensors[name] = ladle::stored_tensor(numbers({5}, 1));
    }
    ladle::write_weights(scratch.directory(), tensors, 40);
    BOOST_TEST(ladle::read_safetensors(scratch.path("model-00001-of-00002.safetensors")).tensors.size() == 2U);
    BOOST_TEST(read_json(scratch.path("model.safetensors.index.json"))["metadata"]["total_size"] == 60);
    const auto back = ladle::load_tensors(ladle::open_weights(scratch.directory()).tensors);
    BOOST_TEST_REQUIRE(back.size() == 3U);
    BOOST_TEST((back.at("c").bytes == numbers({5}, 1).bytes));
}

BOOST_AUTO_TEST_SUITE_END()
