// Soup files: /model, /adapter, /task and /provenance carry attributes; the experts of a bank are stacked
// ("/adapter/layer_00/down/weight" [N, out, in]; without N where merged); other tensors lie under their PyTorch names.
#include <fmt/format.h>

#include <map>

#include "export_parts.hpp"
#include "hdf5_fields.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/soup.hpp"

namespace ladle {
namespace {

constexpr const char* kSchema = "ladle.soup";
constexpr int kMajor = 1;
constexpr int kMinor = 1;

std::string bank_path(const Bank& bank) {
    return fmt::format("/adapter/layer_{:02}/{}", bank.layer, bank.name);
}

/// Of all experts of a bank together.
Shape stacked_shape(const Soup& soup, const Bank& bank, const std::string& part) {
    Shape shape = bank.part_shape(part);
    if (!soup.merged) {
        shape.insert(shape.begin(), bank.experts);
    }
    return shape;
}

void write_description(Hdf5Writer& file, const Soup& soup) {
    std::string open_group;
    visit_soup_fields([&](const char*, const char* group, const char* name, auto field) {
        if (group != open_group) {
            file.group(group);
            open_group = group;
        }
        write_field(file, group, name, soup.*field);
    });
}

Soup read_description(const Hdf5Reader& file) {
    Soup soup;
    visit_soup_fields([&](const char*, const char* group, const char* name, auto field) {
        if (!is_since_1_1(name) || file.has_attribute(group, name)) {
            read_field(file, group, name, soup.*field);
        }
    });
    soup.digest = file.digest();
    check_description(soup, file.path());
    return soup;
}

void write_bank(Hdf5Writer& file, const Soup& soup, const Bank& bank) {
    file.group(bank_path(bank));
    for (const std::string& part : bank.parts()) {
        Tensor stacked;
        stacked.shape = stacked_shape(soup, bank, part);
        for (int k = 0; k < bank.experts; ++k) {
            const auto& bytes = soup.tensor(bank.tensor_name(k, part)).bytes;
            stacked.bytes.insert(stacked.bytes.end(), bytes.begin(), bytes.end());
        }
        file.tensor(bank_path(bank) + "/" + part, stacked);
    }
}

/// Removes a bank's tensors from those that have no bank.
void take_bank(const Bank& bank, std::map<std::string, const Tensor*>& plain) {
    for (int k = 0; k < bank.experts; ++k) {
        for (const std::string& part : bank.parts()) {
            plain.erase(bank.tensor_name(k, part));
        }
    }
}

void read_bank(const Hdf5Reader& file, const Bank& bank, Soup& soup) {
    TensorMap stacked;
    for (const std::string& part : bank.parts()) {
        stacked[part] = file.tensor(bank_path(bank) + "/" + part, DType::f32, stacked_shape(soup, bank, part));
    }
    for (int k = 0; k < bank.experts; ++k) {
        for (const std::string& part : bank.parts()) {
            const auto& bytes = stacked[part].bytes;
            const auto count = static_cast<std::ptrdiff_t>(bytes.size() / static_cast<std::size_t>(bank.experts));
            const auto begin = bytes.begin() + k * count;
            soup.tensors.emplace_back(bank.tensor_name(k, part),
                                      Tensor{DType::f32, bank.part_shape(part), {begin, begin + count}});
        }
    }
}

[[noreturn]] void refuse_surplus(const std::string& path, const std::string& tensor) {
    throw DataError("cannot read " + path, fmt::format("tensor {} is surplus", tensor), "use a soup that ladle wrote");
}

/// Any biases in a soup of kind bias, none in another.
void read_biases(const Hdf5Reader& file, Soup& soup) {
    for (const std::string& name : file.members("/biases")) {
        const std::string path = "/biases/" + name;
        Tensor tensor = file.tensor(path);
        if (soup.adapter_kind != "bias") {
            refuse_surplus(file.path(), path);
        }
        if (tensor.dtype != DType::f32) {
            throw DataError("cannot read " + file.path(),
                            fmt::format("{} is {}, expected float32", path, dtype_name(tensor.dtype)),
                            "use a soup that ladle wrote");
        }
        soup.tensors.emplace_back(name, std::move(tensor));
    }
}

void read_head(const Hdf5Reader& file, Soup& soup) {
    std::vector<std::string> surplus = file.members("/head");
    for (const auto& [name, shape] : head_tensors(soup)) {
        soup.tensors.emplace_back(name, file.tensor("/head/" + name, DType::f32, shape));
        std::erase(surplus, name);
    }
    if (!surplus.empty()) {
        refuse_surplus(file.path(), "/head/" + surplus.front());
    }
}

/// Tensors outside the banks: their group in the file.
std::string plain_group(const std::string& name) {
    return name.starts_with("classifier") ? "/head" : "/biases";
}

}  // namespace

void write_soup(const std::string& path, Soup& soup) {
    Hdf5Writer file(kSchema, kMajor, kMinor);
    write_description(file, soup);
    file.group("/biases");
    file.group("/head");
    // In name order: a soup that was read from another format has the bytes of the one it came from.
    std::map<std::string, const Tensor*> plain;
    for (const auto& [name, tensor] : soup.tensors) {
        plain.emplace(name, &tensor);
    }
    if (has_banks(soup)) {
        for (std::int64_t layer = 0; layer < soup.num_layers; ++layer) {
            file.group(fmt::format("/adapter/layer_{:02}", layer));
            for (const Bank& bank : soup_banks(soup, layer)) {
                write_bank(file, soup, bank);
                take_bank(bank, plain);
            }
        }
    }
    for (const auto& [name, tensor] : plain) {
        file.tensor(plain_group(name) + "/" + name, *tensor);
    }
    soup.digest = file.save(path);
}

Soup read_soup(const std::string& path) {
    return soup_of(Hdf5Reader(path));
}

Soup soup_of(const Hdf5Reader& file) {
    file.require_schema(kSchema, kMajor);
    Soup soup = read_description(file);
    if (has_banks(soup)) {
        for (std::int64_t layer = 0; layer < soup.num_layers; ++layer) {
            for (const Bank& bank : soup_banks(soup, layer)) {
                read_bank(file, bank, soup);
            }
        }
    }
    const auto layers = has_banks(soup) ? static_cast<std::size_t>(soup.num_layers) : 0;
    if (file.members("/adapter").size() != layers) {
        throw DataError("cannot read " + file.path(),
                        fmt::format("/adapter holds {} members for {} layers", file.members("/adapter").size(), layers),
                        "use a soup that ladle wrote");
    }
    read_biases(file, soup);
    read_head(file, soup);
    return soup;
}

}  // namespace ladle
