// Experts of decoders as safetensors; the description travels in the metadata.
#include "ladle/io/adapter_safetensors.hpp"

#include <fmt/format.h>

#include "adapter_parts.hpp"
#include "export_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/safetensors.hpp"

namespace ladle {
namespace {

constexpr const char* kDescription = "ladle.adapter";
constexpr const char* kDigest = "ladle.sha256";

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
    throw DataError("cannot read " + path, why, "use a file that ladle convert --to safetensors wrote of an adapter");
}

std::string readme(const AdapterFile& adapter, const std::string& path) {
    const std::string file = path.substr(path.rfind('/') + 1);
    return fmt::format(
        "# {}: experts of a decoder, {}\n\n"
        "Written by ladle; opened by its Python package ladle_soup (src/python):\n\n"
        "```python\n"
        "from ladle_soup import load_experts\n"
        "from transformers import AutoModelForCausalLM\n\n"
        "model = AutoModelForCausalLM.from_pretrained(DECODER)\n"
        "load_experts(model, \"path/to/{}\").eval()\n"
        "```\n\n"
        "DECODER is the model of the run in Hugging Face's layout. Without the package: the file holds named tensors,\n"
        "and its metadata ladle.adapter says as JSON what they are.\n\n{}",
        file, adapter.system, file, adapter_facts(adapter));
}

}  // namespace

void write_adapter_safetensors(const std::string& path, const AdapterFile& adapter) {
    const StringMap metadata = {{kDescription, describe_adapter(adapter).dump()},
                                {kDigest, tensor_digest(adapter.tensors)}};
    write_safetensors(path, adapter.tensors, metadata);
    write_file(path + ".README.md", readme(adapter, path));
}

AdapterFile read_adapter_safetensors(const std::string& path) {
    SafetensorsFile file = read_safetensors(path);
    if (!file.metadata.contains(kDescription)) {
        refuse(path, "its metadata have no ladle.adapter");
    }
    AdapterFile adapter = parse_adapter_description(parse_json(file.metadata[kDescription], path), path);
    StoredTensorMap tensors;
    for (auto& [name, tensor] : file.tensors) {
        tensors.emplace(name, stored_tensor(std::move(tensor)));
    }
    take_expert_tensors(adapter, tensors, "", path);
    if (tensor_digest(adapter.tensors) != file.metadata[kDigest]) {
        refuse(path, "its tensors do not match its ladle.sha256: it is damaged or was edited");
    }
    return adapter;
}

}  // namespace ladle
