// Which layout a path has, and its reader.
#include "ladle/train/decoder_files.hpp"

#include <algorithm>
#include <filesystem>

#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/gguf.hpp"
#include "ladle/io/meta_directory.hpp"
#include "ladle/io/pretrained.hpp"

namespace ladle {
namespace {

enum class DecoderLayout { meta, hugging_face, gguf };

DecoderLayout layout_of(const std::string& path) {
    if (path.ends_with(".gguf")) {
        return DecoderLayout::gguf;
    }
    if (file_exists(path + "/params.json")) {
        return DecoderLayout::meta;
    }
    if (file_exists(path + "/config.json")) {
        return DecoderLayout::hugging_face;
    }
    throw DataError("cannot read the model " + path,
                    "it is neither a .gguf file nor a directory with params.json or config.json",
                    "name a LLaMA model in the layout of Meta, Hugging Face or GGUF");
}

DecoderWeights open_gguf_decoder(const std::string& path) {
    GgufFile file = open_gguf(path);
    return gguf_decoder(file.metadata, std::move(file.tensors), path);
}

DecoderFiles open_gguf_files(const std::string& path) {
    const std::string digest = file_digest(path);
    return {open_gguf_decoder(path), digest, std::filesystem::path(path).filename().string() + " = " + digest + "\n"};
}

DecoderFiles open_meta_files(const std::string& path) {
    const MetaDirectory directory = open_meta_directory(path);
    return {meta_decoder(directory.params, directory.shards, path), directory.digest, directory.files};
}

DecoderFiles open_hugging_face_files(const std::string& path) {
    PretrainedWeights weights = open_weights(path);
    // The config decides positions and norms, so it belongs to what a run is trained on.
    const std::string config = file_digest(path + "/config.json");
    return {hugging_face_decoder(read_json_file(path + "/config.json"), std::move(weights.tensors), path),
            Digest().add_text(config).add_text(weights.digest).finish(),
            "config.json = " + config + "\n" + weights.files};
}

bool holds_weights(const std::string& directory) {
    const std::vector<std::string> files = list_files(directory);
    return std::any_of(files.begin(), files.end(), [](const std::string& name) {
        return name.ends_with(".pth") || name.ends_with(".safetensors") || name.ends_with(".bin") ||
               name.ends_with(".index.json");
    });
}

/// The description in a directory alone.
DecoderConfig read_shapes(const std::string& path) {
    const DecoderConfig config = read_decoder_config(path);
    if (config.vocab == 0) {
        throw DataError("cannot use the model of " + path,
                        "params.json has no vocab_size, and there are no weights to take it from",
                        "write vocab_size into params.json, or add consolidated.00.pth");
    }
    return config;
}

}  // namespace

bool has_decoder_layout(const std::string& path) {
    return path.ends_with(".gguf") || file_exists(path + "/params.json");
}

DecoderConfig read_decoder_config(const std::string& path) {
    switch (layout_of(path)) {
        case DecoderLayout::gguf:
            return open_gguf_decoder(path).config;
        case DecoderLayout::meta:
            return parse_meta_params(read_json_file(path + "/params.json"), path);
        default:
            return parse_llama_config(read_json_file(path + "/config.json"), path);
    }
}

DecoderWeights open_decoder(const std::string& path) {
    return layout_of(path) == DecoderLayout::gguf ? open_gguf_decoder(path) : open_decoder_files(path).weights;
}

DecoderFiles open_decoder_files(const std::string& path, bool shapes_suffice) {
    const DecoderLayout layout = layout_of(path);
    if (shapes_suffice && layout != DecoderLayout::gguf && !holds_weights(path)) {
        return {{read_shapes(path), {}}, "", ""};
    }
    switch (layout) {
        case DecoderLayout::gguf:
            return open_gguf_files(path);
        case DecoderLayout::meta:
            return open_meta_files(path);
        default:
            return open_hugging_face_files(path);
    }
}

std::unique_ptr<const DecoderTokenizer> open_decoder_tokenizer(const std::string& path) {
    switch (layout_of(path)) {
        case DecoderLayout::gguf:
            return make_gguf_tokenizer(open_gguf(path).metadata, path);
        case DecoderLayout::meta:
            return load_rank_tokenizer(path + "/tokenizer.model");
        default:
            return load_llama_tokenizer(path);
    }
}

bool has_decoder_tokenizer(const std::string& path) {
    switch (layout_of(path)) {
        case DecoderLayout::gguf:
            return true;
        case DecoderLayout::meta:
            return file_exists(path + "/tokenizer.model");
        default:
            return file_exists(path + "/tokenizer.json");
    }
}

}  // namespace ladle
