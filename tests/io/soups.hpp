// Soups of every kind with distinct values, and the check that a format loses nothing.
#pragma once

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ladle/io/export.hpp"
#include "scratch.hpp"

inline void add(ladle::Soup& soup, const std::string& name, const ladle::Shape& shape) {
    std::vector<float> values(ladle::shape_elements(shape));
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<float>(soup.tensors.size()) + 0.01F * static_cast<float>(i);
    }
    soup.tensors.emplace_back(name, ladle::Tensor::from_floats(shape, values.data()));
}

/// What the kinds that are no bottlenecks say beside.
inline void set_kind(ladle::Soup& soup, const std::string& kind) {
    soup.adapter_kind = kind;
    soup.adapter_size = kind == "head" || kind == "bias" ? 0 : 3;
    if (kind == "adakron" || kind == "madakron") {
        soup.adapter_size = 8;
        soup.factor_size = 4;
        soup.factor_order = "small_outer";
        soup.factor_experts = kind == "madakron" ? "both" : "none";
    }
    if (kind == "lora" || kind == "adamix-lora") {
        soup.lora_targets = {"query", "attention_output", "intermediate", "output"};
        soup.lora_alpha = 6;
    }
}

/// All tensors that the description asks for.
inline void fill(ladle::Soup& soup) {
    for (std::int64_t layer = 0; ladle::has_banks(soup) && layer < 2; ++layer) {
        for (const ladle::Bank& bank : ladle::soup_banks(soup, layer)) {
            for (int k = 0; k < bank.experts; ++k) {
                for (const std::string& part : bank.parts()) {
                    add(soup, bank.tensor_name(k, part), bank.part_shape(part));
                }
            }
        }
    }
    if (soup.architecture == "roberta") {
        add(soup, "classifier.dense.weight", {6, 6});
        add(soup, "classifier.dense.bias", {6});
        add(soup, "classifier.out_proj.weight", {3, 6});
        add(soup, "classifier.out_proj.bias", {3});
    } else {
        add(soup, "classifier.weight", {3, 6});
        add(soup, "classifier.bias", {3});
    }
}

/// A soup with distinct values: 2 layers, hidden size 6, inner size 10, bottleneck 3 (AdaKron: 8 = 4 x 2).
inline ladle::Soup make_soup(const std::string& architecture, const std::string& kind, std::int64_t experts,
                             bool share_up) {
    ladle::Soup soup;
    soup.architecture = architecture;
    soup.hidden_size = 6;
    soup.num_layers = 2;
    soup.intermediate_size = 10;
    set_kind(soup, kind);
    soup.num_experts = experts;
    soup.share_up = share_up;
    soup.task = "mnli";
    soup.label_names = {"entailment", "neutral", "contradiction"};
    soup.seed = ~std::uint64_t{0};
    soup.score = 0.1;
    soup.config = "a = 1\n";
    soup.machine = "abacus";
    soup.sources = {std::string(64, 'a')};
    fill(soup);
    return soup;
}

/// Converts and verifies, then converts what was written back to a soup file: it must have the bytes of the original.
inline void check_round_trip(ladle::Soup soup, const ladle::SoupExport& target) {
    const Scratch scratch;
    ladle::SoupExport place = target;
    place.path = scratch.path("out");
    ladle::export_soup(soup, place);
    ladle::verify_export(soup, place);
    ladle::write_soup(scratch.path("before.h5"), soup);
    ladle::export_soup(ladle::import_soup(place.path),
                       {ladle::SoupFormat::soup, scratch.path("after.h5"), false, false});
    BOOST_TEST((slurp(scratch.path("before.h5")) == slurp(scratch.path("after.h5"))));
}

inline nlohmann::json read_json(const std::string& path) {
    return nlohmann::json::parse(slurp(path));
}
