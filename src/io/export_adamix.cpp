// The pytorch_model_expert_soup.bin of the AdaMix and AdaKron repositories: experts and head in one plain dictionary.
// Source: AdaMix repository, run_glue.py (saving) and src/transformers/models/expert_soup.py (names); the same files of
// the AdaKron repository, whose banks hold one expert each.
#include <fmt/format.h>

#include <algorithm>

#include "export_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/pytorch.hpp"

namespace ladle {
namespace {

std::string sidecar_path(const std::string& path) {
    return path + ".json";
}

/// "....MoA_A.deepspeed_experts.{k}" has the scores "....MoA_A.expert_score_weight".
std::string score_name(const Bank& bank) {
    return bank.expert_name.substr(0, bank.expert_name.find(".deepspeed_experts.")) + ".expert_score_weight";
}

/// The same soup as a mixture without merging: of a merged one every expert is the merged one. AdaKron's code has room
/// for one.
Soup file_layout(const Soup& soup, bool one_expert) {
    Soup layout = soup;
    one_expert = one_expert || (soup.merged && has_factors(soup));
    layout.merged = false;
    layout.num_experts = one_expert ? 1 : soup.num_experts;
    layout.share_down = soup.share_down && !one_expert;
    layout.share_up = soup.share_up && !one_expert;
    return layout;
}

/// Scores of zero give every expert the weight 1 / N.
void check_scores(const Tensor& scores, std::int64_t experts, const std::string& name, const std::string& path) {
    const std::vector<float> values = scores.to_floats();
    const bool zero = std::all_of(values.begin(), values.end(), [](float value) { return value == 0.0F; });
    if (!zero || scores.shape != Shape{experts}) {
        throw DataError("cannot read " + path, "tensor " + name + " is not a list of zeros, one per expert",
                        "ladle averages experts with equal weights; merge this file with its own code first");
    }
}

std::string readme(const Soup& soup, const Soup& layout, const std::string& path) {
    const std::string file = path.substr(path.rfind('/') + 1);
    const std::string code = has_factors(soup) ? "AdaKron" : "AdaMix";
    const std::string warning =
        has_factors(soup)
            ? "The code loads with strict=False: check that the model has exactly the keys of this file.\n"
              "With a file of AdaMix, or another size, it says nothing and evaluates random projections.\n"
            : "The code loads soups without checking names: with any other number it says nothing and\n"
              "evaluates random experts.\n";
    return fmt::format(
        "{}: {} of task {} for the {} code, made by ladle.\n\n"
        "Evaluate it with exactly these flags of its run_glue.py.\n{}\n"
        "  --apply_expert_soup --adapter_size {} --num_experts {} --sharing_down {} --sharing_up {} \\\n"
        "  --inference_level 3 --expert_soup_path {}\n\n"
        "The pooler and all other weights are those of the pretrained model.\n"
        "{}"
        "ladle convert reads this file back; {}.json beside it holds what the file itself cannot say.\n",
        file, soup.merged ? "the merged experts" : "all experts", task_text(soup), code, warning, layout.adapter_size,
        layout.num_experts, layout.share_down ? 1 : 0, layout.share_up ? 1 : 0, file, readme_facts(soup), file);
}

/// Copies of a merged expert back to one; throws if they differ.
TensorMap collapse_copies(TensorMap tensors, const Soup& soup, const Soup& layout, const std::string& path) {
    TensorMap merged;
    for (std::int64_t layer = 0; layer < soup.num_layers; ++layer) {
        for (const Bank& bank : soup_banks(layout, layer)) {
            for (const std::string& part : bank.parts()) {
                const std::string first_name = bank.tensor_name(0, part);
                auto first = tensors.extract(first_name);
                for (int k = 1; k < bank.experts; ++k) {
                    const auto copy = tensors.extract(bank.tensor_name(k, part));
                    if (first.empty() || copy.empty() || copy.mapped().bytes != first.mapped().bytes) {
                        throw DataError("cannot read " + path,
                                        "the experts at " + first_name + " differ, but " + sidecar_path(path) +
                                            " says that they are copies of a merged one",
                                        "remove the .json file to read it as a mixture");
                    }
                }
                if (!first.empty()) {
                    merged.emplace(merged_bank(bank).tensor_name(0, part), std::move(first.mapped()));
                }
            }
        }
    }
    merged.merge(tensors);
    return merged;
}

}  // namespace

void export_adamix(const Soup& soup, const SoupExport& target) {
    const Soup layout = file_layout(soup, target.one_expert);
    TensorList file;
    for (std::int64_t layer = 0; layer < soup.num_layers; ++layer) {
        for (const Bank& bank : soup_banks(layout, layer)) {
            const std::vector<float> zeros(static_cast<std::size_t>(bank.experts), 0.0F);
            file.emplace_back(score_name(bank), Tensor::from_floats({bank.experts}, zeros.data()));
            for (int k = 0; k < bank.experts; ++k) {
                for (const std::string& part : bank.parts()) {
                    const std::string name = bank.tensor_name(k, part);
                    file.emplace_back(name, soup.tensor(soup.merged ? merged_bank(bank).tensor_name(0, part) : name));
                }
            }
        }
    }
    for (const auto& [name, shape] : head_tensors(soup)) {
        file.emplace_back(name, soup.tensor(name));
    }
    nlohmann::ordered_json sidecar;
    sidecar["soup"] = describe_soup(soup);
    sidecar["one_expert"] = target.one_expert;
    // The description goes first: a file beside a description of another one would be read wrongly.
    write_file(sidecar_path(target.path), sidecar.dump(2) + "\n");
    write_file(target.path + ".README.txt", readme(soup, layout, target.path));
    write_torch(target.path, file);
}

Soup import_adamix(const std::string& path) {
    TensorMap tensors;
    for (auto& [name, tensor] : read_torch(path)) {
        tensors.emplace(name, std::move(tensor));
    }
    Soup soup;
    bool one_expert = false;
    const std::string sidecar = sidecar_path(path);
    if (file_exists(sidecar)) {
        const nlohmann::json parsed = read_json_file(sidecar);
        if (!parsed.is_object() || !parsed.contains("soup") ||
            !parsed.value("one_expert", nlohmann::json()).is_boolean()) {
            throw DataError("cannot read " + sidecar, "it does not describe a soup",
                            "remove it to read the .bin file by itself");
        }
        soup = parse_description(parsed["soup"], sidecar);
        one_expert = parsed["one_expert"];
    } else {
        soup = guess_description(tensors, path);
    }
    const Soup layout = file_layout(soup, one_expert);
    for (std::int64_t layer = 0; layer < soup.num_layers; ++layer) {
        for (const Bank& bank : soup_banks(layout, layer)) {
            const std::string name = score_name(bank);
            const auto scores = tensors.extract(name);
            if (!scores.empty()) {
                check_scores(scores.mapped(), bank.experts, name, path);
            }
        }
    }
    if (soup.merged) {
        tensors = collapse_copies(std::move(tensors), soup, layout, path);
    }
    take_tensors(soup, std::move(tensors), path);
    return soup;
}

}  // namespace ladle
