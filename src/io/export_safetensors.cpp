// Soups as one safetensors file; the description travels in the metadata.
#include <fmt/format.h>

#include "export_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/safetensors.hpp"

namespace ladle {
namespace {

constexpr const char* kDescription = "ladle.soup";
constexpr const char* kDigest = "ladle.sha256";

std::string readme(const Soup& soup, const std::string& path) {
    const std::string file = path.substr(path.rfind('/') + 1);
    return fmt::format(
        "# {}: soup of kind {} for task {}\n\n"
        "Written by ladle; opened by its Python package ladle_soup (src/python):\n\n"
        "```python\n"
        "from ladle_soup import load_soup\n"
        "from transformers import {}\n\n"
        "model = {}.from_pretrained(BACKBONE, num_labels={})\n"
        "load_soup(model, \"path/to/{}\").eval()\n"
        "```\n\n"
        "BACKBONE is the pretrained model of the run. Without the package: the file holds named tensors, and its\n"
        "metadata ladle.soup says as JSON what they are.\n\n{}",
        file, soup.adapter_kind, task_text(soup), classifier_class(soup), classifier_class(soup), num_outputs(soup),
        file, readme_facts(soup));
}

}  // namespace

void export_safetensors(const Soup& soup, const SoupExport& target) {
    const StringMap metadata = {{kDescription, describe_soup(soup).dump()}, {kDigest, tensor_digest(soup)}};
    write_safetensors(target.path, soup.tensors, metadata);
    write_file(target.path + ".README.md", readme(soup, target.path));
}

Soup import_safetensors(const std::string& path) {
    SafetensorsFile file = read_safetensors(path);
    const bool own = file.metadata.contains(kDescription);
    Soup soup = own ? parse_description(parse_json(file.metadata[kDescription], path), path)
                    : guess_description(file.tensors, path);
    take_tensors(soup, std::move(file.tensors), path);
    if (own && tensor_digest(soup) != file.metadata[kDigest]) {
        throw DataError("cannot read " + path, "its tensors do not match its ladle.sha256: it is damaged or was edited",
                        "export the soup again");
    }
    return soup;
}

}  // namespace ladle
