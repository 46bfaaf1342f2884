// Soups as one safetensors file; the description travels in the metadata.
#include "export_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/safetensors.hpp"

namespace ladle {
namespace {

constexpr const char* kDescription = "ladle.soup";
constexpr const char* kDigest = "ladle.sha256";

}  // namespace

void export_safetensors(const Soup& soup, const SoupExport& target) {
    const StringMap metadata = {{kDescription, describe_soup(soup).dump()}, {kDigest, tensor_digest(soup)}};
    write_safetensors(target.path, soup.tensors, metadata);
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
