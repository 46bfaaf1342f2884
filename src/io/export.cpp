// Choice of format, and the check of what was written.
#include "ladle/io/export.hpp"

#include <array>

#include "binary_file.hpp"
#include "export_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"

namespace ladle {
namespace {

struct FormatRow {
    const char* name;
    SoupFormat format;
    void (*write)(const Soup&, const SoupExport&);
};

void export_own(const Soup& soup, const SoupExport& target) {
    Soup copy = soup;
    write_soup(target.path, copy);
}

constexpr std::array<FormatRow, 4> kFormats = {{{"soup", SoupFormat::soup, export_own},
                                                {"adamix", SoupFormat::adamix, export_adamix},
                                                {"safetensors", SoupFormat::safetensors, export_safetensors},
                                                {"adapters", SoupFormat::adapters, export_adapters}}};

}  // namespace

SoupFormat soup_format(const std::string& name) {
    std::string known;
    for (const FormatRow& row : kFormats) {
        if (name == row.name) {
            return row.format;
        }
        known += (known.empty() ? "" : ", ") + std::string(row.name);
    }
    throw ConfigError("unknown format \"" + name + "\"", "known formats are " + known, "choose one of them");
}

void export_soup(const Soup& soup, const SoupExport& target) {
    if (target.one_expert && (target.format != SoupFormat::adamix || !soup.merged)) {
        throw ConfigError("one expert cannot be chosen here", "it is a way to write a merged soup as an AdaMix file",
                          "leave it out, or merge the soup and convert it to adamix");
    }
    if (target.per_expert && target.format != SoupFormat::adapters) {
        throw ConfigError("single experts cannot be written here", "only the format adapters has one per directory",
                          "leave it out, or convert to adapters");
    }
    for (const FormatRow& row : kFormats) {
        if (target.format == row.format) {
            row.write(soup, target);
        }
    }
}

SoupFormat detect_soup_format(const std::string& path) {
    if (directory_exists(path)) {
        return SoupFormat::adapters;
    }
    const BinaryFile file(path);
    const std::string start = file.read_text(0, std::min<std::size_t>(8, file.size()));
    if (start.starts_with("\x89HDF")) {
        return SoupFormat::soup;
    }
    // A safetensors file starts with a length below 100 MB; torch < 1.6 starts with 80 02 and has bytes other than zero
    // where such a length has none.
    const bool old_torch = start.starts_with("\x80\x02") && start.size() == 8 && start[7] != '\0';
    return start.starts_with("PK\x03\x04") || old_torch ? SoupFormat::adamix : SoupFormat::safetensors;
}

Soup import_soup(const std::string& path) {
    switch (detect_soup_format(path)) {
        case SoupFormat::soup:
            return soup_of(Hdf5Reader::isolated(path, Hdf5Origin::ladle));
        case SoupFormat::adamix:
            return import_adamix(path);
        case SoupFormat::adapters:
            return import_adapters(path);
        default:
            return import_safetensors(path);
    }
}

void verify_export(const Soup& soup, const SoupExport& target) {
    const Soup back = import_soup(target.path);
    std::string difference;
    if (tensor_digest(back) != tensor_digest(soup)) {
        difference = "its tensors are " + tensor_digest(back) + ", the soup's are " + tensor_digest(soup);
    } else if (describe_soup(back).dump() != describe_soup(soup).dump()) {
        difference = "its description differs from the soup's";
    }
    if (!difference.empty()) {
        throw CheckpointError("verification of " + target.path + " failed", difference,
                              "write it again to another place and check the disk");
    }
}

}  // namespace ladle
