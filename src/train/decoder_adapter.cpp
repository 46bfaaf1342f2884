// Parameters of experts to adapter files and back.
#include "ladle/train/decoder_adapter.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

std::string shape_words(const DecoderBlockShape& block, int layers) {
    return fmt::format("{} layers of width {}, {} heads of {} on {} of keys, and {} inside", layers, block.dim,
                       block.heads, block.head_dim, block.kv_heads, block.ffn);
}

[[noreturn]] void refuse_decoder(const std::string& why) {
    throw DataError("this adapter does not fit the decoder", why,
                    "set model.path to the decoder that it was trained on");
}

}  // namespace

AdapterFile make_adapter(const DecoderEngine& engine) {
    AdapterFile adapter;
    adapter.block = block_shape(engine.model().config(), 0);
    adapter.layers = engine.model().config().layers;
    adapter.experts = engine.experts();
    const std::vector<float> parameters = engine.parameters();
    for (const Parameter& parameter : engine.table().all()) {
        adapter.tensors.emplace_back(parameter.name,
                                     Tensor::from_floats(parameter.shape, parameters.data() + parameter.offset));
    }
    return adapter;
}

void require_decoder(const AdapterFile& adapter, const DecoderFiles& files, const DecoderTokenizer& tokenizer,
                     const std::string& model_path) {
    const DecoderConfig& config = files.weights.config;
    const std::string trained = shape_words(adapter.block, adapter.layers);
    const std::string found = shape_words(block_shape(config, 0), config.layers);
    if (trained != found) {
        refuse_decoder(fmt::format("it was trained on {}; {} has {}", trained, model_path, found));
    }
    if (adapter.backbone_digest != files.digest) {
        refuse_decoder(fmt::format("it was trained on other weights than those of {}", model_path));
    }
    if (adapter.tokenizer_digest != tokenizer.facts().digest) {
        refuse_decoder(fmt::format("it was trained with another tokenizer than that of {}", model_path));
    }
}

void load_adapter(const AdapterFile& adapter, DecoderEngine& engine) {
    std::vector<float> parameters(engine.table().total_count());
    const auto& table = engine.table().all();
    if (adapter.tensors.size() != table.size()) {
        refuse_decoder(
            fmt::format("it holds {} tensors, the decoder's experts have {}", adapter.tensors.size(), table.size()));
    }
    for (std::size_t i = 0; i < table.size(); ++i) {
        const auto& [name, tensor] = adapter.tensors[i];
        if (name != table[i].name || tensor.shape != table[i].shape) {
            refuse_decoder(fmt::format("it holds {} {} in place of {} {}", name, shape_text(tensor.shape),
                                       table[i].name, shape_text(table[i].shape)));
        }
        const std::vector<float> values = tensor.to_floats();
        std::copy(values.begin(), values.end(), parameters.begin() + static_cast<std::ptrdiff_t>(table[i].offset));
    }
    engine.set_parameters(parameters);
    engine.prepare();
}

std::unique_ptr<DecoderEngine> make_generator(const Config& config, const DecoderFiles& files,
                                              const DecoderTokenizer& tokenizer, const std::string& adapter_path,
                                              Communicator& comm) {
    std::unique_ptr<DecoderEngine> engine;
    if (adapter_path.empty()) {
        engine = std::make_unique<DecoderEngine>(config, files.weights, comm);
    } else {
        const AdapterFile adapter = read_adapter_file(adapter_path);
        require_decoder(adapter, files, tokenizer, config.model.path);
        engine = std::make_unique<DecoderEngine>(config, files.weights, adapter.experts, comm);
        load_adapter(adapter, *engine);
    }
    check_rows_stay_apart(engine->kernels());
    return engine;
}

}  // namespace ladle
