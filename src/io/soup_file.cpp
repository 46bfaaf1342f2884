// Soup files: /model, /adapter, /task and /provenance carry attributes; the experts of a bank are stacked
// ("/adapter/layer_00/down/weight" [N, out, in]; without N where merged); other tensors lie under their PyTorch names.
#include <fmt/format.h>

#include "export_parts.hpp"
#include "hdf5_fields.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/soup.hpp"

namespace ladle {
namespace {

constexpr const char* kSchema = "ladle.soup";
constexpr int kMajor = 1;
constexpr int kMinor = 0;

std::string bank_path(std::int64_t layer, bool up) {
    return fmt::format("/adapter/layer_{:02}/{}", layer, up ? "up" : "down");
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
        read_field(file, group, name, soup.*field);
    });
    soup.digest = file.digest();
    constexpr std::int64_t kMost = 1 << 20;
    if (soup.num_layers < 1 || soup.num_layers > 1024 || soup.num_experts < 1 || soup.num_experts > kMost ||
        soup.hidden_size < 1 || soup.hidden_size > kMost || soup.adapter_size < 0 || soup.adapter_size > kMost) {
        throw DataError("cannot read " + file.path(), "its dimensions are not possible", "use a soup that ladle wrote");
    }
    if ((soup.architecture != "bert" && soup.architecture != "roberta") || soup.activation != "gelu") {
        throw DataError("cannot read " + file.path(),
                        fmt::format("its architecture is {} and its activation {}", soup.architecture, soup.activation),
                        "use a soup of BERT or RoBERTa with gelu, the only ones that ladle writes");
    }
    return soup;
}

Shape part_shape(const Soup& soup, bool up, const std::string& part) {
    const std::int64_t out = up ? soup.hidden_size : soup.adapter_size;
    const std::int64_t in = up ? soup.adapter_size : soup.hidden_size;
    return part == "weight" ? Shape{out, in} : Shape{out};
}

void write_bank(Hdf5Writer& file, const Soup& soup, std::int64_t layer, bool up) {
    file.group(bank_path(layer, up));
    for (const char* part : {"weight", "bias"}) {
        Tensor stacked;
        stacked.shape = part_shape(soup, up, part);
        if (!soup.merged) {
            stacked.shape.insert(stacked.shape.begin(), bank_experts(soup, up));
        }
        for (std::int64_t k = 0; k < bank_experts(soup, up); ++k) {
            const auto& bytes = soup.tensor(bank_tensor_name(soup, layer, up, k, part)).bytes;
            stacked.bytes.insert(stacked.bytes.end(), bytes.begin(), bytes.end());
        }
        file.tensor(bank_path(layer, up) + "/" + part, stacked);
    }
}

void read_bank(const Hdf5Reader& file, std::int64_t layer, bool up, Soup& soup) {
    const std::int64_t experts = bank_experts(soup, up);
    std::vector<Tensor> stacked;
    for (const char* part : {"weight", "bias"}) {
        Shape shape = part_shape(soup, up, part);
        if (!soup.merged) {
            shape.insert(shape.begin(), experts);
        }
        stacked.push_back(file.tensor(bank_path(layer, up) + "/" + part, DType::f32, shape));
    }
    for (std::int64_t k = 0; k < experts; ++k) {
        for (std::size_t p = 0; p < 2; ++p) {
            const std::string part = p == 0 ? "weight" : "bias";
            Tensor one{DType::f32, part_shape(soup, up, part), {}};
            const std::size_t bytes = stacked[p].bytes.size() / static_cast<std::size_t>(experts);
            const auto begin =
                stacked[p].bytes.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(k) * bytes);
            one.bytes.assign(begin, begin + static_cast<std::ptrdiff_t>(bytes));
            soup.tensors.emplace_back(bank_tensor_name(soup, layer, up, k, part), std::move(one));
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
    if (has_banks(soup)) {
        for (std::int64_t layer = 0; layer < soup.num_layers; ++layer) {
            file.group(fmt::format("/adapter/layer_{:02}", layer));
            write_bank(file, soup, layer, false);
            write_bank(file, soup, layer, true);
        }
    }
    // In name order: a soup that was read from another format has the bytes of the one it came from.
    for (const auto& [name, tensor] : TensorMap(soup.tensors.begin(), soup.tensors.end())) {
        if (name.find(".ExpertSoup.") == std::string::npos && name.find(".output.soup.") == std::string::npos) {
            file.tensor(plain_group(name) + "/" + name, tensor);
        }
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
            read_bank(file, layer, false, soup);
            read_bank(file, layer, true, soup);
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
