// Finds and opens the weight files of a model directory.
#include "ladle/io/pretrained.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "file_digests.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/pytorch.hpp"
#include "ladle/io/safetensors.hpp"

namespace ladle {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
    throw DataError("cannot read " + path, why, "fetch the model directory again");
}

/// weight_map of an index: tensor name to file name.
std::map<std::string, std::string> read_index(const std::string& path) {
    const nlohmann::json index = read_json_file(path);
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
        refuse(path, "it has no weight_map");
    }
    std::map<std::string, std::string> files;
    for (const auto& [tensor, file] : index["weight_map"].items()) {
        if (!file.is_string() || file.get<std::string>().find('/') != std::string::npos) {
            refuse(path, "the file of tensor " + tensor + " is not the name of a file in the same directory");
        }
        files[tensor] = file.get<std::string>();
    }
    return files;
}

PretrainedWeights open_sharded(const std::string& directory, const std::string& index_path) {
    const auto file_of = read_index(index_path);
    std::set<std::string> files;
    for (const auto& [tensor, file] : file_of) {
        files.insert(file);
    }
    PretrainedWeights weights;
    FileDigests digests;
    for (const std::string& file : files) {
        const std::string path = directory + "/" + file;
        for (auto& [name, tensor] : open_safetensors(path)) {
            const auto listed = file_of.find(name);
            if (listed == file_of.end() || listed->second != file) {
                refuse(path, "tensor " + name + " is not listed for this file in " + index_path);
            }
            weights.tensors.emplace(name, std::move(tensor));
        }
        digests.add(directory, file);
    }
    for (const auto& [tensor, file] : file_of) {
        if (!weights.tensors.contains(tensor)) {
            refuse(directory + "/" + file, "tensor " + tensor + " is missing, " + index_path + " lists it");
        }
    }
    weights.files = digests.files();
    weights.digest = digests.finish();
    return weights;
}

std::size_t bytes_of(const StoredTensor& tensor) {
    return tensor.elements() * dtype_bytes(tensor.dtype);
}

/// The tensors in name order, cut into lists of at most `shard_bytes`, or of a single tensor.
std::vector<StoredTensorMap> cut_into_shards(const StoredTensorMap& tensors, std::size_t shard_bytes) {
    std::vector<StoredTensorMap> shards(1);
    std::size_t filled = 0;
    for (const auto& [name, tensor] : tensors) {
        if (filled > 0 && filled + bytes_of(tensor) > shard_bytes) {
            shards.emplace_back();
            filled = 0;
        }
        filled += bytes_of(tensor);
        shards.back().emplace(name, tensor);
    }
    return shards;
}

}  // namespace

PretrainedWeights open_weights(const std::string& directory) {
    const std::string safetensors = directory + "/model.safetensors";
    const std::string index = safetensors + ".index.json";
    const std::string torch = directory + "/pytorch_model.bin";
    if (file_exists(safetensors)) {
        const std::string digest = file_digest(safetensors);
        return {open_safetensors(safetensors), digest, "model.safetensors = " + digest + "\n"};
    }
    if (file_exists(index)) {
        return open_sharded(directory, index);
    }
    if (file_exists(torch)) {
        const std::string digest = file_digest(torch);
        PretrainedWeights weights{{}, digest, "pytorch_model.bin = " + digest + "\n"};
        for (auto& [name, tensor] : open_torch(torch)) {
            weights.tensors.emplace(name, std::move(tensor));
        }
        return weights;
    }
    throw DataError("cannot read the model " + directory,
                    "it holds neither model.safetensors, model.safetensors.index.json nor pytorch_model.bin",
                    "name a directory as save_pretrained() of transformers writes it");
}

void write_weights(const std::string& directory, const StoredTensorMap& tensors, std::size_t shard_bytes) {
    const std::string path = directory + "/model.safetensors";
    const std::vector<StoredTensorMap> shards = cut_into_shards(tensors, shard_bytes);
    if (shards.size() == 1) {
        write_stored_tensors(path, tensors, {});
        return;
    }
    nlohmann::ordered_json index;
    std::size_t total = 0;
    for (std::size_t i = 0; i < shards.size(); ++i) {
        const std::string file = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
        write_stored_tensors(directory + "/" + file, shards[i], {});
        for (const auto& [name, tensor] : shards[i]) {
            index["weight_map"][name] = file;
            total += bytes_of(tensor);
        }
    }
    index["metadata"]["total_size"] = total;
    write_file(path + ".index.json", index.dump(2) + "\n");
}

}  // namespace ladle
