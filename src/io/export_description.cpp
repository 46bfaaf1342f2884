// Description and tensors of a soup, taken apart and put together strictly.
#include <fmt/format.h>

#include <cmath>
#include <limits>

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

/// JSON numbers beyond the type, and fractions, are not cut to size.
std::int64_t whole_number(const json& value, const char* key, const std::string& label) {
    const bool whole = value.is_number_integer() &&
                       (!value.is_number_unsigned() ||
                        value.get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<std::int64_t>::max()});
    if (!whole) {
        refuse(label, fmt::format("its {} is {}", key, value.dump()));
    }
    return value.get<std::int64_t>();
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
            const json& value = description.at(key);
            // JSON has no NaN.
            if constexpr (std::is_same_v<decltype(field), double Soup::*>) {
                soup.*field = value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
            } else if constexpr (std::is_same_v<decltype(field), std::int64_t Soup::*>) {
                soup.*field = whole_number(value, key, label);
            } else if constexpr (std::is_same_v<decltype(field), std::uint64_t Soup::*>) {
                if (!value.is_number_unsigned()) {
                    refuse(label, fmt::format("its {} is {}", key, value.dump()));
                }
                soup.*field = value.get<std::uint64_t>();
            } else {
                value.get_to(soup.*field);
            }
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
