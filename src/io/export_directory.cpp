// What the readers of directories of other programs share.
#include "export_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/pytorch.hpp"
#include "ladle/io/safetensors.hpp"

namespace ladle {
namespace {

[[noreturn]] void refuse(const std::string& directory, const std::string& why) {
    throw DataError("cannot read " + directory, why, "export the adapter again, or use another one");
}

bool same_tensors(const TensorMap& a, const TensorMap& b) {
    const auto equal = [](const auto& x, const auto& y) {
        return x.first == y.first && x.second.shape == y.second.shape && x.second.bytes == y.second.bytes;
    };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), equal);
}

}  // namespace

TensorMap read_either(const std::string& directory, const char* torch_file, const char* safetensors_file) {
    const std::string torch = directory + "/" + torch_file;
    const std::string safetensors = directory + "/" + safetensors_file;
    TensorMap tensors;
    if (file_exists(torch)) {
        for (auto& [name, tensor] : read_torch(torch)) {
            tensors.emplace(name, std::move(tensor));
        }
    }
    if (file_exists(safetensors)) {
        TensorMap other = read_safetensors(safetensors).tensors;
        if (!tensors.empty() && !same_tensors(tensors, other)) {
            refuse(directory, std::string(torch_file) + " and " + safetensors_file + " hold different tensors");
        }
        tensors = std::move(other);
    }
    if (tensors.empty()) {
        refuse(directory, std::string("neither ") + torch_file + " nor " + safetensors_file + " is there");
    }
    return tensors;
}

std::string text_of(const nlohmann::json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace ladle
