// bfloat16 products against a reference that rounds at the same places, and planted mistakes that must be seen.
#include <boost/test/unit_test.hpp>

#include "adamix_case.hpp"
#include "adamix_mutations.hpp"
#include "observation.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

// That of the golden files; see test_adamix.cpp.
constexpr double kTolerance = 1e-5;

/// The project's own files alone: what is measured here is the comparison, and it was measured on them.
std::vector<std::string> own_files() {
    std::vector<std::string> files;
    for (const std::string& path : adamix_files()) {
        if (path.starts_with(fixtures_root())) {
            files.push_back(path);
        }
    }
    return files;
}

/// What a model gives on its file: logits, losses, gradients of all tensors.
template <class Real>
Observation observe(AdamixCase<Real>& model) {
    Observation found;
    const auto store = [&](const std::string& name, const Real* begin, std::size_t count) {
        found[name] = std::vector<double>(begin, begin + count);
    };
    const int passes = model.consistency ? 2 : 1;
    const auto trained = model.logits(model.picks(0, passes), passes);
    const auto soup = model.logits(RoutePlan::soup(), 1);
    const auto gradients = model.gradients(0, model.consistency);
    store("logits of the passes", trained.data(), trained.size());
    store("logits of the soup", soup.data(), soup.size());
    found["losses"] = {gradients.task_loss, gradients.consistency_loss};
    for (const Parameter& parameter : model.table.all()) {
        store("gradient of " + parameter.name, gradients.values.data() + parameter.offset, parameter.count);
    }
    return found;
}

/// The same quantities as PyTorch found them.
template <class Real>
Observation golden(const AdamixCase<Real>& model) {
    Observation expected;
    expected["logits of the passes"] = model.numbers("/outputs/logits_pass0");
    if (model.consistency) {
        const auto second = model.numbers("/outputs/logits_pass1");
        expected["logits of the passes"].insert(expected["logits of the passes"].end(), second.begin(), second.end());
    }
    expected["logits of the soup"] = model.numbers("/outputs/logits_level3");
    expected["losses"] = {model.numbers("/outputs/task_loss")[0], model.numbers("/outputs/consistency_loss")[0]};
    for (const Parameter& parameter : model.table.all()) {
        expected["gradient of " + parameter.name] = model.numbers("/outputs/grads/" + parameter.name);
    }
    return expected;
}

/// Relative to a quantity's largest value where that is above one.
double largest_difference(const Observation& expected, const Observation& found) {
    double largest = 0;
    for (const auto& [name, values] : expected) {
        double scale = 1;
        for (const double value : values) {
            scale = std::max(scale, std::abs(value));
        }
        for (std::size_t i = 0; i < values.size(); ++i) {
            const double difference = std::abs(values[i] - found.at(name).at(i)) / scale;
            largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
        }
    }
    return largest;
}

/// Float kernels in bfloat16 against double kernels that round products' operands at the same places.
Bf16Comparison compare_bf16(const Kernels<float>& kernels) {
    const auto reference = make_reference_kernels<double>();
    Bf16Comparison comparison;
    for (const std::string& path : own_files()) {
        AdamixCase<double> expected(path, *reference, Precision::bf16);
        AdamixCase<float> found(path, kernels, Precision::bf16);
        comparison.add(observe(expected), observe(found), static_cast<std::size_t>(found.outputs));
    }
    return comparison;
}

}  // namespace

BOOST_AUTO_TEST_CASE(kernels_under_test_in_bfloat16_agree_with_the_reference_that_rounds_alike) {
    const auto kernels = bf16_kernels();
    if (kernels == nullptr) {
        return;
    }
    const Bf16Comparison comparison = compare_bf16(*kernels);
    BOOST_TEST_MESSAGE(comparison.agreeing << " of " << comparison.samples << " samples agree, logits differ by up to "
                                           << comparison.largest_logit_difference << ", gradients by "
                                           << comparison.worst_gradient);
    BOOST_TEST(comparison.passes());
}

BOOST_AUTO_TEST_CASE(planted_mistakes_are_seen_in_bfloat16) {
    const auto kernels = bf16_kernels();
    if (kernels == nullptr) {
        return;
    }
    for (const Mutation<float>& mutation : mutations<float>()) {
        const auto wrong = mutation.make(*kernels);
        BOOST_TEST(!compare_bf16(*wrong).passes(), mutation.name);
    }
}

BOOST_AUTO_TEST_CASE(planted_mistakes_are_seen_by_the_golden_files) {
    const auto kernels = make_reference_kernels<double>();
    // The kernels that mistakes are planted in are right without one.
    const ForwardingKernels<double> forwarding(*kernels);
    for (const std::string& path : own_files()) {
        AdamixCase<double> right(path, forwarding, Precision::fp32);
        const Observation expected = golden(right);
        BOOST_TEST(largest_difference(expected, observe(right)) < kTolerance);
        for (const Mutation<double>& mutation : mutations<double>()) {
            if (mutation.needs_consistency && (!right.consistency || right.outputs == 1)) {
                continue;
            }
            const auto wrong = mutation.make(*kernels);
            AdamixCase<double> model(path, *wrong, Precision::fp32);
            BOOST_TEST(largest_difference(expected, observe(model)) > kTolerance, mutation.name << " in " << path);
        }
    }
}
