// Description and tensors of a soup, taken apart and put together strictly.
#include <fmt/format.h>

#include "description_fields.hpp"
#include "export_parts.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kFormatName = "ladle.soup 1";

[[noreturn]] void refuse(const std::string& label, const std::string& why) {
    throw DataError("cannot read " + label, why, "use a file that ladle or the published code wrote");
}

Tensor as_float32(const Tensor& tensor) {
    return tensor.dtype == DType::f32 ? tensor : Tensor::from_floats(tensor.shape, tensor.to_floats().data());
}

}  // namespace

ordered_json describe_soup(const Soup& soup) {
    ordered_json description;
    description["format"] = kFormatName;
    visit_soup_fields([&](const char* key, const char*, const char*, auto field) { description[key] = soup.*field; });
    return description;
}

Soup parse_description(const json& description, const std::string& label) {
    Soup soup;
    try {
        if (description.at("format") != kFormatName) {
            refuse(label, "its description has another format than " + std::string(kFormatName));
        }
        visit_soup_fields([&](const char* key, const char*, const char*, auto field) {
            if (is_since_1_1(key) && !description.contains(key)) {
                return;
            }
            read_description_field(description.at(key), key, label, soup.*field);
        });
    } catch (const json::exception& error) {
        refuse(label, std::string("its description is incomplete: ") + error.what());
    }
    check_description(soup, label);
    return soup;
}

std::vector<std::pair<std::string, Shape>> head_tensors(const Soup& soup) {
    const std::int64_t hidden = soup.hidden_size;
    const std::int64_t outputs = num_outputs(soup);
    if (soup.architecture == "bert") {
        return {{"classifier.weight", {outputs, hidden}}, {"classifier.bias", {outputs}}};
    }
    return {{"classifier.dense.weight", {hidden, hidden}},
            {"classifier.dense.bias", {hidden}},
            {"classifier.out_proj.weight", {outputs, hidden}},
            {"classifier.out_proj.bias", {outputs}}};
}

std::vector<Attachment> soup_attachments(const Soup& soup, std::int64_t layer) {
    return attachments(adapter_options(soup),
                       block_shape(soup.architecture, layer, soup.hidden_size, soup.intermediate_size));
}

void take_tensors(Soup& soup, TensorMap tensors, const std::string& label) {
    const auto take = [&](const std::string& name, const Shape& shape) {
        auto found = tensors.extract(name);
        if (found.empty()) {
            refuse(label, "tensor " + name + " is missing");
        }
        if (found.mapped().shape != shape) {
            refuse(label,
                   "tensor " + name + " is " + shape_text(found.mapped().shape) + ", expected " + shape_text(shape));
        }
        soup.tensors.emplace_back(name, as_float32(found.mapped()));
    };
    visit_bank_tensors(soup, take);
    const auto head = head_tensors(soup);
    if (soup.adapter_kind == "bias") {
        std::vector<std::pair<std::string, Shape>> biases;
        for (const auto& [name, tensor] : tensors) {
            if (!name.starts_with("classifier.")) {
                biases.emplace_back(name, tensor.shape);
            }
        }
        for (const auto& [name, shape] : biases) {
            take(name, shape);
        }
    }
    for (const auto& [name, shape] : head) {
        take(name, shape);
    }
    if (!tensors.empty()) {
        refuse(label, "tensor " + tensors.begin()->first + " is surplus");
    }
}

}  // namespace ladle
