// Golden AdaMix files computed with PyTorch: logits, hidden states, losses, gradients and five optimizer steps.
#define BOOST_TEST_MODULE oracle_adamix
#include <fmt/format.h>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "adamix_case.hpp"
#include "ladle/io/soup.hpp"
#include "ladle/optim/schedule.hpp"
#include "support/device_kernels.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

// The files are fp32; fp32 against fp64 of the same code differs by up to 1.8e-6, so 1e-5 is comfortable.
constexpr double kTolerance = 1e-5;

double largest_difference(const std::vector<double>& expected, const std::vector<double>& found) {
    BOOST_REQUIRE_EQUAL(expected.size(), found.size());
    double largest = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double difference = std::abs(expected[i] - found[i]);
        largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
    }
    return largest;
}

/// Relative above one, since losses and norms of other files may be large.
bool close(double expected, double found) {
    return std::abs(expected - found) < kTolerance * std::max(1.0, std::abs(expected));
}

template <class Real>
std::vector<double> widened(const Real* begin, std::size_t count) {
    return std::vector<double>(begin, begin + count);
}

template <class Real>
void check_forward(AdamixCase<Real>& model) {
    const auto compare = [&](const std::string& name, const std::vector<Real>& logits, std::size_t first) {
        const auto expected = model.numbers("/outputs/" + name);
        BOOST_TEST(largest_difference(expected, widened(logits.data() + first, expected.size())) < kTolerance, name);
    };
    const std::size_t per_pass = static_cast<std::size_t>(model.samples * model.outputs);
    const int passes = model.has("/outputs/logits_pass1") ? 2 : 1;
    const auto trained = model.logits(model.picks(0, passes), passes);
    compare("logits_pass0", trained, 0);
    if (passes == 2) {
        compare("logits_pass1", trained, per_pass);
    }
    const auto soup = model.logits(RoutePlan::soup(), 1);
    compare("logits_level0", model.logits(model.forced(0), 1), 0);
    compare("logits_level1", model.logits(model.forced(1), 1), 0);
    compare("logits_level3", soup, 0);
    if (model.has("/outputs/logits_level3_clipped")) {
        // What the published RoBERTa returns for regression.
        std::vector<Real> clipped(soup);
        for (Real& value : clipped) {
            value = std::max(value, Real(0));
        }
        compare("logits_level3_clipped", clipped, 0);
    }
}

template <class Real>
void check_hidden(AdamixCase<Real>& model, const std::string& group, const RoutePlan& plan) {
    const auto states = model.hidden(plan);
    const PackedFixture batch(model.file, 1);
    const auto hidden = static_cast<std::size_t>(model.model->encoder().hidden_size());
    for (std::size_t layer = 0; layer < states.size(); ++layer) {
        const auto padded = model.numbers("/outputs/" + group + "/" + std::to_string(layer));
        std::vector<double> expected;
        for (std::size_t s = 0; s < batch.lengths.size(); ++s) {
            const auto begin =
                padded.begin() + static_cast<std::ptrdiff_t>(s * static_cast<std::size_t>(model.length) * hidden);
            expected.insert(expected.end(), begin,
                            begin + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(batch.lengths[s]) * hidden));
        }
        BOOST_TEST(largest_difference(expected, widened(states[layer].data(), states[layer].size())) < kTolerance,
                   group << " layer " << layer);
    }
}

double largest_of(const std::vector<double>& values) {
    double largest = 0;
    for (const double value : values) {
        largest = std::max(largest, std::abs(value));
    }
    return largest;
}

template <class Real>
void check_gradients(AdamixCase<Real>& model, const std::string& outputs, bool consistency) {
    const auto found = model.gradients(0, consistency);
    BOOST_TEST(close(model.numbers(outputs + "/task_loss")[0], found.task_loss));
    BOOST_TEST(close(model.numbers(outputs + "/consistency_loss")[0], found.consistency_loss));
    BOOST_TEST(close(model.numbers(outputs + "/total_loss")[0], found.task_loss + found.consistency_loss));
    const double norm = gradient_norm(model.kernels, model.table, found.values.data());
    BOOST_TEST(close(model.numbers(outputs + "/grad_norm")[0], norm));
    BOOST_TEST(model.file.members(outputs + "/grads").size() == model.table.all().size());
    for (std::size_t id = 0; id < model.table.all().size(); ++id) {
        const Parameter& parameter = model.table.at(id);
        const auto expected = model.numbers(outputs + "/grads/" + parameter.name);
        const double difference =
            largest_difference(expected, widened(found.values.data() + parameter.offset, parameter.count));
        BOOST_TEST(difference < kTolerance * std::max(1.0, largest_of(expected)), parameter.name);
        BOOST_TEST((model.numbers(outputs + "/grad_defined/" + parameter.name)[0] != 0) == (found.used[id] > 0),
                   parameter.name << " has a gradient");
    }
}

/// Largest and mean absolute difference over all trainable tensors.
template <class Real>
void check_parameters(const AdamixCase<Real>& model, const std::string& group) {
    double largest = 0;
    double sum = 0;
    for (const Parameter& parameter : model.table.all()) {
        const auto expected = model.numbers(group + "/" + parameter.name);
        const auto found = widened(model.parameters.data() + parameter.offset, parameter.count);
        largest = std::max(largest, largest_difference(expected, found));
        for (std::size_t i = 0; i < expected.size(); ++i) {
            sum += std::abs(expected[i] - found[i]);
        }
    }
    // Adam amplifies rounding where a gradient is nearly zero: single entries up to 4e-6 were seen in the fixtures.
    BOOST_TEST(largest < 1e-5, group);
    BOOST_TEST(sum / static_cast<double>(model.table.total_count()) < 1e-6, group << " mean");
}

template <class Real>
void check_trajectory(AdamixCase<Real>& model, const std::string& group, GradientReset reset, bool consistency) {
    const std::string outputs = group.substr(0, group.rfind('/'));
    AdamWOptions options;
    options.weight_decay = model.number("weight_decay");
    options.max_grad_norm = model.number("max_grad_norm");
    options.gradient_reset = reset;
    AdamW<Real> optimizer(model.table, options);
    const Schedule schedule =
        make_schedule(ScheduleShape::linear, model.number("learning_rate"), model.number("warmup_ratio"),
                      static_cast<std::int64_t>(model.number("total_steps")));
    const auto rates = model.numbers(group + "/lr");
    for (int step = 0; step < 5; ++step) {
        const auto at = static_cast<std::size_t>(step);
        const auto found = model.gradients(step, consistency);
        const double rate = schedule.rate(step);
        BOOST_TEST(std::abs(rate - rates[at]) < 1e-12);
        const double norm =
            optimizer.step(model.kernels, rate, found.used, found.values.data(), model.parameters.data());
        BOOST_TEST(close(model.numbers(group + "/grad_norm")[at], norm), group << " step " << step);
        BOOST_TEST(close(model.numbers(group + "/task_loss")[at], found.task_loss));
        BOOST_TEST(close(model.numbers(group + "/consistency_loss")[at], found.consistency_loss));
        const std::string after = group + "/params_step" + std::to_string(step + 1);
        if (model.has(after)) {
            check_parameters(model, after);
        }
        if (step == 0) {
            for (const Parameter& parameter : model.table.all()) {
                const std::string name = outputs + "/exp_avg_step1/" + parameter.name;
                if (model.has(name)) {
                    const std::vector<Real> moments = optimizer.state().first_moment;
                    const Real* moment = moments.data() + parameter.offset;
                    BOOST_TEST(largest_difference(model.numbers(name), widened(moment, parameter.count)) < 1e-6, name);
                }
            }
        }
    }
    for (std::size_t id = 0; id < model.table.all().size(); ++id) {
        const std::string name = group + "/adam_steps/" + model.table.at(id).name;
        BOOST_TEST(static_cast<std::int64_t>(model.numbers(name)[0]) == optimizer.state().steps[id], name);
    }
    const auto logits = model.logits(RoutePlan::soup(), 1);
    BOOST_TEST(largest_difference(model.numbers(group + "/logits_level3_after5"),
                                  widened(logits.data(), logits.size())) < kTolerance,
               group);
}

/// The mean of the experts as soups hold it.
template <class Real>
void check_merged(AdamixCase<Real>& model) {
    const ModelSpec& spec = model.model->spec();
    Soup soup;
    soup.architecture = spec.backbone.architecture;
    soup.hidden_size = spec.backbone.hidden_size;
    soup.num_layers = spec.backbone.num_layers;
    set_adapter(soup, spec.adapter);
    for (const Parameter& parameter : model.table.all()) {
        soup.tensors.emplace_back(parameter.name, model.file.tensor("/weights/" + parameter.name));
    }
    const Soup merged = merge_experts(soup);
    for (int layer = 0; layer < model.layers; ++layer) {
        for (const Bank& bank : soup_banks(merged, layer)) {
            for (const char* part : {"weight", "bias"}) {
                const std::string name = fmt::format("{}.encoder.layer.{}.output.ExpertSoup.MoA_{}.{}",
                                                     soup.architecture, layer, bank.name == "up" ? "B" : "A", part);
                const auto found = merged.tensor(bank.tensor_name(0, part)).to_floats();
                // One rounding per expert of numbers of order one.
                BOOST_TEST(largest_difference(model.numbers("/outputs/soup/" + name),
                                              widened(found.data(), found.size())) < 1e-6,
                           name);
            }
        }
    }
}

template <class Real>
void check_file(const std::string& path, const Kernels<Real>& kernels) {
    const auto fresh = [&] { return AdamixCase<Real>(path, kernels, Precision::fp32); };
    auto model = fresh();
    check_forward(model);
    check_merged(model);
    check_hidden(model, "hidden_pass0", model.picks(0, 1));
    check_hidden(model, "hidden_level3", RoutePlan::soup());
    std::vector<std::pair<std::string, bool>> outputs = {{"/outputs", model.consistency}};
    if (model.has("/outputs_ce_only")) {
        outputs.emplace_back("/outputs_ce_only", false);
    }
    for (const auto& [group, consistency] : outputs) {
        auto first = fresh();
        check_gradients(first, group, consistency);
        check_trajectory(first, group + "/traj", GradientReset::zero, consistency);
        auto second = fresh();
        check_trajectory(second, group + "/traj_setnone", GradientReset::none, consistency);
    }
}

}  // namespace

BOOST_DATA_TEST_CASE(reference_kernels_in_double_agree_with_pytorch, boost::unit_test::data::make(adamix_files()),
                     path) {
    const auto kernels = make_reference_kernels<double>();
    check_file(path, *kernels);
}

BOOST_DATA_TEST_CASE(reference_kernels_in_float_agree_with_pytorch, boost::unit_test::data::make(adamix_files()),
                     path) {
    const auto kernels = make_reference_kernels<float>();
    check_file(path, *kernels);
}

/// Of LADLE_TEST_BACKEND.
BOOST_DATA_TEST_CASE(kernels_under_test_agree_with_pytorch, boost::unit_test::data::make(adamix_files()), path) {
    auto kernels = device_kernels_under_test();
    if (kernels == nullptr) {
        kernels = make_cpu_kernels("auto", Precision::fp32);
    }
    check_file(path, *kernels);
}
