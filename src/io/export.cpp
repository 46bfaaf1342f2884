// Choice of format, and the check of what was written.
#include "ladle/io/export.hpp"

#include <algorithm>
#include <array>

#include "binary_file.hpp"
#include "export_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"

namespace ladle {
namespace {

struct FormatRow {
    const char* name;
    SoupFormat format;
    const char* title;  ///< in errors
    Misfit (*misfit)(const Soup&, const SoupExport&);
    void (*write)(const Soup&, const SoupExport&);
    Soup (*read)(const std::string&);
};

void export_own(const Soup& soup, const SoupExport& target) {
    Soup copy = soup;
    write_soup(target.path, copy);
}

Soup import_own(const std::string& path) {
    return soup_of(Hdf5Reader::isolated(path, Hdf5Origin::ladle));
}

Misfit fits(const Soup&, const SoupExport&) {
    return {};
}

constexpr std::array<FormatRow, 6> kFormats = {{
    {"soup", SoupFormat::soup, "a soup file", fits, export_own, import_own},
    {"adamix", SoupFormat::adamix, "an AdaMix file", adamix_misfit, export_adamix, import_adamix},
    {"safetensors", SoupFormat::safetensors, "a safetensors file", fits, export_safetensors, import_safetensors},
    {"adapters", SoupFormat::adapters, "an adapters directory", adapters_misfit, export_adapters, import_adapters},
    {"peft", SoupFormat::peft, "a PEFT directory", peft_misfit, export_peft, import_peft},
    {"model", SoupFormat::model, "a model directory", model_misfit, export_model, import_model},
}};

const FormatRow& row_of(SoupFormat format) {
    return *std::find_if(kFormats.begin(), kFormats.end(), [&](const FormatRow& row) { return row.format == format; });
}

SoupFormat detect_directory(const std::string& path) {
    const std::string config = path + "/adapter_config.json";
    if (!file_exists(config)) {
        return file_exists(path + "/config.json") ? SoupFormat::model : SoupFormat::adapters;
    }
    const nlohmann::json parsed = read_json_file(config);
    return parsed.is_object() && parsed.contains("peft_type") ? SoupFormat::peft : SoupFormat::adapters;
}

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

std::string format_name(SoupFormat format) {
    return row_of(format).name;
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
    const FormatRow& row = row_of(target.format);
    const Misfit misfit = row.misfit(soup, target);
    if (!misfit.why.empty()) {
        throw ConfigError("this soup of kind " + soup.adapter_kind + " cannot become " + row.title, misfit.why,
                          misfit.fix);
    }
    row.write(soup, target);
}

SoupFormat detect_soup_format(const std::string& path) {
    if (directory_exists(path)) {
        return detect_directory(path);
    }
    switch (file_signature(path)) {
        case FileSignature::hdf5:
            return SoupFormat::soup;
        case FileSignature::torch:
            return SoupFormat::adamix;
        default:
            return SoupFormat::safetensors;
    }
}

Soup import_soup(const std::string& path) {
    return row_of(detect_soup_format(path)).read(path);
}

void verify_export(const Soup& soup, const SoupExport& target) {
    if (target.format == SoupFormat::model && !has_own_code(soup)) {
        return;
    }
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
