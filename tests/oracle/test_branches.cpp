// Golden files of AdaKron and LoRA: logits of both passes and of the soup, losses, gradients, averaged weights.
#include <fmt/format.h>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <span>

#include "branch_case.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/soup.hpp"
#include "observation.hpp"
#include "support/device_kernels.hpp"
#include "support/differences.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

// Seen: 3e-6 in fp32. A wrong order of the factors, scale or route changes logits by 1e-2 and more.
constexpr double kTolerance = 1e-5;

double largest_of(const std::vector<double>& values) {
    double largest = 0;
    for (const double value : values) {
        largest = std::max(largest, std::abs(value));
    }
    return largest;
}

template <class Real>
void check_forward(BranchCase<Real>& model) {
    const auto compare = [&](const std::string& name, const std::vector<Real>& logits, std::size_t first) {
        const auto expected = model.numbers("/outputs/" + name);
        BOOST_TEST(largest_difference(expected, std::span(logits).subspan(first, expected.size())) < kTolerance, name);
    };
    const auto trained = model.logits(model.picks(), model.passes());
    compare("logits_pass0", trained, 0);
    if (model.passes() == 2) {
        compare("logits_pass1", trained, static_cast<std::size_t>(model.samples * model.outputs));
    }
}

template <class Real>
void check_gradients(BranchCase<Real>& model) {
    const auto found = model.gradients(model.picks(), model.passes());
    const double ce = model.numbers("/outputs/loss_ce")[0];
    const double consistency = model.numbers("/outputs/loss_consistency")[0];
    BOOST_TEST(std::abs(found.task_loss - ce) < kTolerance * std::max(1.0, ce));
    BOOST_TEST(std::abs(found.consistency_loss - consistency) < kTolerance * std::max(1.0, consistency));
    const std::vector<std::string> idle =
        nlohmann::json::parse(model.file.text("/", "no_grad_keys")).template get<std::vector<std::string>>();
    for (std::size_t id = 0; id < model.table.all().size(); ++id) {
        const Parameter& parameter = model.table.at(id);
        const std::string name = model.name_in_file(parameter.name);
        const bool is_idle = std::find(idle.begin(), idle.end(), name) != idle.end();
        BOOST_TEST((found.used[id] == 0) == is_idle, name << " has a gradient");
        if (!is_idle) {
            const auto expected = model.numbers("/grads/" + name);
            BOOST_TEST(
                largest_difference(expected, std::span(found.values).subspan(parameter.offset, expected.size())) <
                    kTolerance * std::max(1.0, largest_of(expected)),
                name);
        }
    }
    BOOST_TEST(model.file.integer("/", "trainable_params") == static_cast<std::int64_t>(model.table.total_count()));
}

template <class Real>
Soup make_soup(const BranchCase<Real>& model) {
    const ModelSpec& spec = model.model->spec();
    Soup soup;
    soup.architecture = spec.backbone.architecture;
    soup.hidden_size = spec.backbone.hidden_size;
    soup.intermediate_size = spec.backbone.intermediate_size;
    soup.num_layers = model.layers;
    set_adapter(soup, spec.adapter);
    for (const Parameter& parameter : model.table.all()) {
        soup.tensors.emplace_back(parameter.name, model.file.tensor("/weights/" + model.name_in_file(parameter.name)));
    }
    return soup;
}

/// Puts the merged tensor of a bank in the place of each expert.
template <class Real>
void use_merged(BranchCase<Real>& model, const Bank& bank, const std::string& part, const std::vector<float>& merged) {
    for (const Parameter& parameter : model.table.all()) {
        for (int k = 0; k < bank.experts; ++k) {
            if (parameter.name == bank.tensor_name(k, part)) {
                std::copy(merged.begin(), merged.end(),
                          model.parameters.begin() + static_cast<std::ptrdiff_t>(parameter.offset));
            }
        }
    }
}

/// The averages as soups hold them, with the scores of each layer where the file has some, and what they compute.
template <class Real>
void check_soup(BranchCase<Real>& model) {
    const Soup soup = make_soup(model);
    for (int layer = 0; layer < model.layers; ++layer) {
        const Soup merged = merge_experts(soup, model.soup_weights(layer));
        for (const Bank& bank : soup_banks(soup, layer)) {
            for (const std::string& part : bank.parts()) {
                const std::string name = "/soup/" + model.merged_name_in_file(bank, part);
                const auto found = merged.tensor(merged_bank(bank).tensor_name(0, part)).to_floats();
                BOOST_TEST((model.has(name) || soup.num_experts == 1), name);
                if (model.has(name)) {
                    // One rounding per expert of numbers of order one.
                    BOOST_TEST(largest_difference(model.numbers(name), found) < 1e-6, name);
                }
                use_merged(model, bank, part, found);
            }
        }
    }
    BOOST_TEST(largest_difference(model.numbers("/outputs/eval_logits"), model.logits(RoutePlan::soup(), 1)) <
               kTolerance);
}

/// The mean of the experts' outputs: a single LoRA on the same backbone.
void check_outputs(BranchCase<double>& model) {
    const Soup soup = average_outputs(make_soup(model));
    BOOST_TEST(soup.adapter_size == soup.num_experts * model.config.at("r").get<std::int64_t>());
    ModelSpec spec = model.model->spec();
    spec.adapter = adapter_options(soup);
    spec.adapter.num_experts = 1;
    const auto logits = model.logits_of(spec, soup.tensors);
    BOOST_TEST(largest_difference(model.numbers("/outputs/eval_logits_output_averaging"), logits) < kTolerance);
    BOOST_TEST(largest_difference(model.numbers("/outputs/eval_logits"), logits) > 1e-3);
}

template <class Real>
void check_file(const std::string& path, const Kernels<Real>& kernels) {
    BranchCase<Real> model(path, kernels, Precision::fp32);
    check_forward(model);
    check_gradients(model);
    check_soup(model);
}

template <class Real>
Observation observe(BranchCase<Real>& model) {
    Observation found;
    const auto trained = model.logits(model.picks(), model.passes());
    const auto soup = model.logits(RoutePlan::soup(), 1);
    const auto gradients = model.gradients(model.picks(), model.passes());
    found["logits of the passes"].assign(trained.begin(), trained.end());
    found["logits of the soup"].assign(soup.begin(), soup.end());
    for (const Parameter& parameter : model.table.all()) {
        const auto begin = gradients.values.begin() + static_cast<std::ptrdiff_t>(parameter.offset);
        found["gradient of " + parameter.name].assign(begin, begin + static_cast<std::ptrdiff_t>(parameter.count));
    }
    return found;
}

}  // namespace

BOOST_DATA_TEST_CASE(double_reference_follows_the_golden_branches, boost::unit_test::data::make(branch_files()), path) {
    check_file(path, *make_reference_kernels<double>());
}

BOOST_DATA_TEST_CASE(kernels_under_test_follow_the_golden_branches, boost::unit_test::data::make(branch_files()),
                     path) {
    const auto device = device_kernels_under_test();
    const auto cpu = device == nullptr ? make_cpu_kernels("auto", Precision::fp32) : nullptr;
    check_file(path, device == nullptr ? *cpu : *device);
}

BOOST_AUTO_TEST_CASE(averaged_outputs_of_a_mixture_are_one_wider_lora) {
    int checked = 0;
    const auto kernels = make_reference_kernels<double>();
    for (const std::string& path : branch_files()) {
        BranchCase<double> model(path, *kernels, Precision::fp32);
        const AdapterOptions& adapter = model.model->spec().adapter;
        if (model.is_adakron() || adapter.num_experts == 1 || adapter.share_down || adapter.share_up) {
            BOOST_CHECK_THROW(average_outputs(make_soup(model)), ConfigError);
        } else {
            check_outputs(model);
            ++checked;
        }
    }
    BOOST_TEST(checked > 0);
}

BOOST_AUTO_TEST_CASE(kernels_under_test_in_bfloat16_agree_on_branches_with_the_reference_that_rounds_alike) {
    const auto kernels = bf16_kernels();
    if (kernels == nullptr) {
        return;
    }
    const auto reference = make_reference_kernels<double>();
    Bf16Comparison comparison;
    for (const std::string& path : branch_files()) {
        BranchCase<double> expected(path, *reference, Precision::bf16);
        BranchCase<float> found(path, *kernels, Precision::bf16);
        comparison.add(observe(expected), observe(found), static_cast<std::size_t>(found.outputs));
    }
    BOOST_TEST_MESSAGE(comparison.agreeing << " of " << comparison.samples << " samples agree, logits differ by up to "
                                           << comparison.largest_logit_difference << ", gradients by "
                                           << comparison.worst_gradient);
    BOOST_TEST(comparison.passes());
}
