// Lists of banks and draws.
#include "ladle/adapters/bank.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>
#include <sstream>

#include "ladle/adapters/adapter.hpp"
#include "ladle/core/error.hpp"

namespace ladle {

namespace {

struct ProjectionRow {
    const char* name;
    const char* path;  ///< PyTorch name below the block
    bool wide_input;   ///< of intermediate_size, not hidden_size
    bool wide_output;
};
constexpr std::array<ProjectionRow, kProjections> kProjectionRows = {{
    {"query", "attention.self.query", false, false},
    {"key", "attention.self.key", false, false},
    {"value", "attention.self.value", false, false},
    {"attention_output", "attention.output.dense", false, false},
    {"intermediate", "intermediate.dense", false, true},
    {"output", "output.dense", true, false},
}};

[[noreturn]] void refuse_targets(const std::string& targets, const std::string& why) {
    throw ConfigError("adapter.targets = " + targets, why,
                      fmt::format("list some of {}", fmt::join(projection_names(), ", ")));
}

}  // namespace

BlockShape block_shape(const std::string& architecture, std::int64_t layer, std::int64_t hidden_size,
                       std::int64_t intermediate_size) {
    return {architecture + ".encoder.layer." + std::to_string(layer) + ".", static_cast<int>(layer),
            static_cast<int>(hidden_size), static_cast<int>(intermediate_size)};
}

std::vector<std::string> projection_names() {
    std::vector<std::string> names;
    for (const ProjectionRow& row : kProjectionRows) {
        names.emplace_back(row.name);
    }
    return names;
}

std::vector<Projection> parse_targets(const std::string& targets) {
    if (targets.empty()) {
        refuse_targets(targets, "it names no projection");
    }
    const std::vector<std::string> names = projection_names();
    std::set<Projection> found;
    // With a comma more, nothing after the last one is a word as well.
    std::stringstream words(targets + ",");
    for (std::string word; std::getline(words, word, ',');) {
        const auto at = std::find(names.begin(), names.end(), word);
        if (at == names.end()) {
            refuse_targets(targets, "there is no projection \"" + word + "\"");
        }
        if (!found.insert(static_cast<Projection>(at - names.begin())).second) {
            refuse_targets(targets, word + " is there twice");
        }
    }
    return {found.begin(), found.end()};
}

std::vector<Attachment> attachments(const AdapterOptions& options, const BlockShape& block) {
    const AdapterSite site = adapter_kind(options.kind).site;
    std::vector<Attachment> result;
    if (site == AdapterSite::on_projections) {
        for (const Projection projection : parse_targets(options.targets)) {
            const ProjectionRow& row = kProjectionRows.at(static_cast<std::size_t>(projection));
            result.push_back({block.prefix + row.path, row.name, projection, block.layer,
                              row.wide_input ? block.intermediate_size : block.hidden_size,
                              row.wide_output ? block.intermediate_size : block.hidden_size});
        }
    } else if (site != AdapterSite::none) {
        result.push_back(
            {block.prefix + "output", "", Projection::output, block.layer, block.hidden_size, block.hidden_size});
    }
    return result;
}

std::vector<std::string> Bank::parts() const {
    return has_bias ? std::vector<std::string>{"weight", "bias"} : std::vector<std::string>{"weight"};
}

std::string Bank::tensor_name(std::int64_t expert, const std::string& part) const {
    std::string name = expert_name;
    const auto at = name.find("{k}");
    if (at != std::string::npos) {
        name.replace(at, 3, std::to_string(expert));
    }
    return name + "." + part;
}

Shape Bank::part_shape(const std::string& part) const {
    return part == "weight" ? Shape{out_features, in_features} : Shape{out_features};
}

Bank merged_bank(Bank bank) {
    bank.experts = 1;
    bank.expert_name = bank.merged_name;
    return bank;
}

AdapterOptions settled(AdapterOptions options) {
    if (!adapter_kind(options.kind).mixture) {
        options.num_experts = 1;
        options.share_down = true;
        options.share_up = true;
    }
    return options;
}

std::vector<Bank> block_banks(const AdapterOptions& options, const BlockShape& block) {
    const AdapterKind& kind = adapter_kind(options.kind);
    std::vector<Bank> banks;
    for (const Attachment& at : attachments(options, block)) {
        for (Bank& bank : kind.banks(settled(options), at)) {
            banks.push_back(std::move(bank));
        }
    }
    return banks;
}

std::vector<Draw> layer_draws(const AdapterOptions& options) {
    const AdapterKind& kind = adapter_kind(options.kind);
    return kind.site == AdapterSite::none ? std::vector<Draw>{} : kind.draws(settled(options));
}

}  // namespace ladle
