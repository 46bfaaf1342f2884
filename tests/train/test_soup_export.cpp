// The proof by logits: it holds for what was written, and notices what was not.
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "io/names.hpp"
#include "io/scratch.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/safetensors.hpp"
#include "ladle/train/engine.hpp"
#include "ladle/train/soup_export.hpp"
#include "ladle/train/soup_model.hpp"
#include "support/tiny_model.hpp"

using namespace ladle;

namespace {

/// A tiny backbone on disk and a soup of a kind on it whose tensors are far from zero.
struct Kitchen {
    Kitchen(const std::string& architecture, const std::string& kind) {
        const BackboneConfig shape = test::tiny_backbone(architecture);
        config.model.path = scratch.path("backbone");
        config.comm.reduction = "fast";
        config.adapter.kind = kind;
        config.adapter.size = 4;
        config.adapter.num_experts = 2;
        config.adapter.factor = 2;
        config.adapter.targets = "query,value,intermediate,output";
        std::filesystem::create_directory(config.model.path);
        const nlohmann::json fields = {{"model_type", shape.architecture},
                                       {"hidden_size", shape.hidden_size},
                                       {"num_hidden_layers", shape.num_layers},
                                       {"num_attention_heads", shape.num_heads},
                                       {"intermediate_size", shape.intermediate_size},
                                       {"vocab_size", shape.vocab_size},
                                       {"max_position_embeddings", shape.max_positions},
                                       {"type_vocab_size", shape.type_vocab_size},
                                       {"pad_token_id", shape.pad_token_id}};
        spill(config.model.path + "/config.json", fields.dump());
        const TensorMap tensors = test::tiny_tensors(shape);
        write_safetensors(config.model.path + "/model.safetensors", {tensors.begin(), tensors.end()}, {});
        Backbone backbone = load_backbone(config.model.path);
        Task task;
        task.name = "mine";
        task.label_names = {"no", "yes", "perhaps"};
        const std::string digest = backbone.digest;
        const ModelSpec spec = model_spec(config, backbone.config, 3);
        Engine engine(config, spec, std::move(backbone), *comm);
        std::vector<float> parameters = engine.parameters();
        for (std::size_t i = 0; i < parameters.size(); ++i) {
            parameters[i] += 0.3F * std::sin(0.7F * static_cast<float>(i));
        }
        engine.set_parameters(parameters);
        soup = merge_experts(make_soup(config, engine, task, Split(), digest));
    }

    SoupExport write(SoupFormat format) {
        SoupExport target;
        target.format = format;
        target.path = scratch.path("out." + format_name(format));
        const ModelSource source = open_model_source(soup, config);
        target.model = &source;
        export_soup(soup, target);
        target.model = nullptr;
        return target;
    }

    Scratch scratch;
    Config config;
    std::unique_ptr<Communicator> comm = make_single_communicator();
    Soup soup;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(soup_exports)

BOOST_AUTO_TEST_CASE(logits_of_every_kind_and_format_are_those_of_the_soup) {
    for (const char* architecture : {"bert", "roberta"}) {
        for (const char* kind : {"adamix", "pfeiffer", "madakron", "adamix-lora", "bias", "head"}) {
            Kitchen kitchen(architecture, kind);
            for (const SoupFormat format : {SoupFormat::safetensors, SoupFormat::model}) {
                BOOST_TEST_CONTEXT(architecture << " " << kind << " " << format_name(format)) {
                    const LogitDifference difference =
                        compare_logits(kitchen.soup, kitchen.write(format), kitchen.config, *kitchen.comm);
                    const bool folded = format == SoupFormat::model && kind == std::string("adamix-lora");
                    BOOST_TEST((difference.limit > 0) == folded);
                    BOOST_TEST(difference.samples == 8);
                }
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(another_soup_is_noticed) {
    for (const char* kind : {"adamix-lora", "madakron"}) {
        Kitchen kitchen("bert", kind);
        const SoupExport target = kitchen.write(SoupFormat::model);
        // One number of the first matrix: rounding explains less than what comes of it.
        Tensor& first = kitchen.soup.tensors.front().second;
        std::vector<float> values = first.to_floats();
        values[0] += 0.1F;
        first = Tensor::from_floats(first.shape, values.data());
        BOOST_CHECK_EXCEPTION(compare_logits(kitchen.soup, target, kitchen.config, *kitchen.comm), CheckpointError,
                              names("its logits differ from the soup's by up to"));
        kitchen.soup.backbone_digest = std::string(64, 'a');
        BOOST_CHECK_EXCEPTION(compare_logits(kitchen.soup, target, kitchen.config, *kitchen.comm), DataError,
                              names("it was trained on other weights"));
    }
}

BOOST_AUTO_TEST_SUITE_END()
