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
constexpr std::int64_t kMost = 1 << 20;

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

void check_dimensions(const Soup& soup, const std::string& label) {
    check_adapter(soup, label);
    const bool possible = soup.num_layers > 0 && soup.num_layers <= 1024 && soup.num_experts > 0 &&
                          soup.num_experts <= kMost && soup.hidden_size > 0 && soup.hidden_size <= kMost &&
                          soup.adapter_size >= 0 && soup.adapter_size <= kMost;
    if (!possible || (soup.architecture != "bert" && soup.architecture != "roberta")) {
        refuse(label, "its description is not that of a BERT or RoBERTa soup");
    }
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
    check_dimensions(soup, label);
    return soup;
}

Soup guess_description(const TensorMap& tensors, const std::string& label) {
    Soup soup;
    soup.adapter_kind = "adamix";
    soup.architecture = !tensors.empty() && tensors.rbegin()->first.starts_with("roberta.") ? "roberta" : "bert";
    const auto count_while_found = [&](const auto& name_of) {
        std::int64_t count = 0;
        while (tensors.contains(name_of(count))) {
            ++count;
        }
        return count;
    };
    const auto first_bank = [&](std::int64_t layer) { return soup_banks(soup, layer).front(); };
    const auto experts_of = [&](const Bank& bank) {
        return count_while_found([&](std::int64_t k) { return bank.tensor_name(k, "weight"); });
    };
    soup.num_layers = count_while_found([&](std::int64_t layer) { return first_bank(layer).tensor_name(0, "weight"); });
    const std::int64_t down = experts_of(first_bank(0));
    const std::int64_t up = experts_of(soup_banks(soup, 0).back());
    soup.num_experts = std::max(down, up);
    soup.share_down = down == 1 && up > 1;
    soup.share_up = up == 1 && down > 1;
    if (soup.num_layers == 0 || up == 0 || (down != up && down != 1 && up != 1)) {
        refuse(label, "it holds no AdaMix experts (names with .ExpertSoup.MoA_A.deepspeed_experts.0.weight)");
    }
    const Shape& shape = tensors.at(first_bank(0).tensor_name(0, "weight")).shape;
    const auto head = tensors.find(soup.architecture == "bert" ? "classifier.bias" : "classifier.out_proj.bias");
    if (shape.size() != 2 || head == tensors.end() || head->second.shape.size() != 1) {
        refuse(label, "its experts or its classifier have unexpected shapes");
    }
    soup.adapter_size = shape[0];
    soup.hidden_size = shape[1];
    set_unknown_labels(soup, head->second.shape[0]);
    check_dimensions(soup, label);
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
    for (std::int64_t layer = 0; has_banks(soup) && layer < soup.num_layers; ++layer) {
        for (const Bank& bank : soup_banks(soup, layer)) {
            for (int k = 0; k < bank.experts; ++k) {
                for (const std::string& part : bank.parts()) {
                    take(bank.tensor_name(k, part), bank.part_shape(part));
                }
            }
        }
    }
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
