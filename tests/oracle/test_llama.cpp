// Golden files of decoders and their experts, computed with PyTorch: rotary tables, hidden states, what routers
// decided, logits, loss, gradients, and generation with cached keys and values.
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "ladle/models/generation.hpp"
#include "llama_case.hpp"
#include "support/device_kernels.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

// The reference computes frequencies and angles in fp32: 6e-8 of the angle, which is below the position's number.
constexpr double kAngleTolerance = 2e-7;

template <class Real>
void check_rotary_tables(const LlamaCase<Real>& model) {
    if (!model.file.has("/trace/freqs_cos")) {
        return;
    }
    const RotaryTable<Real>& table = model.model->rotary();
    const double tolerance = kAngleTolerance * table.positions();
    BOOST_TEST(largest_difference(model.numbers("/trace/freqs_cos"), table.cosine().to_host()) < tolerance);
    BOOST_TEST(largest_difference(model.numbers("/trace/freqs_sin"), table.sine().to_host()) < tolerance);
}

/// What a /generate group holds. One of the first prompt alone may leave out what the other says, and what is clear.
struct Generated {
    template <class Real>
    Generated(const LlamaCase<Real>& model, const std::string& group) {
        const std::string source = model.file.has(group + "/prompts") ? group : "/generate";
        auto lengths = model.numbers(source + "/prompt_len");
        const auto all_prompts = model.numbers(source + "/prompts");
        const auto all_tokens = model.numbers(group + "/tokens");
        const std::size_t prompt_width = all_prompts.size() / lengths.size();
        lengths.resize(static_cast<std::size_t>(model.file.shape(group + "/tokens").at(0)));
        new_tokens = all_tokens.size() / lengths.size();
        for (std::size_t s = 0; s < lengths.size(); ++s) {
            const auto prompt = all_prompts.begin() + static_cast<std::ptrdiff_t>(s * prompt_width);
            prompts.emplace_back(prompt, prompt + static_cast<std::ptrdiff_t>(lengths[s]));
            tokens.emplace_back();
            for (std::size_t t = 0; t < new_tokens && all_tokens[s * new_tokens + t] >= 0; ++t) {
                tokens.back().push_back(static_cast<std::int32_t>(all_tokens[s * new_tokens + t]));
            }
        }
    }
    /// The length of the shortest prompt.
    std::size_t first_call() const {
        std::size_t shortest = prompts.front().size();
        for (const auto& prompt : prompts) {
            shortest = std::min(shortest, prompt.size());
        }
        return shortest;
    }
    /// The prompt and what follows it, all that is ever fed to the model.
    std::vector<std::int32_t> sequence(std::size_t s) const {
        auto all = prompts[s];
        all.insert(all.end(), tokens[s].begin(), tokens[s].end());
        return all;
    }
    std::vector<std::vector<std::int32_t>> prompts;
    std::vector<std::vector<std::int32_t>> tokens;  ///< up to the end token, without it
    std::size_t new_tokens = 0;
};

template <class Real>
void check_greedy(const LlamaCase<Real>& model, const std::string& group) {
    const Generated expected(model, group);
    GenerationOptions options;
    options.max_new_tokens = static_cast<int>(expected.new_tokens);
    options.end_token = static_cast<std::int32_t>(model.file.integer("/", "eos_id"));
    options.first_tokens = model.options.sees_whole_samples() ? static_cast<int>(expected.first_call()) : 0;
    const auto found = generate(model.kernels, *model.model, expected.prompts, 0, options);
    BOOST_REQUIRE_EQUAL(found.size(), expected.tokens.size());
    for (std::size_t s = 0; s < found.size(); ++s) {
        BOOST_TEST(found[s] == expected.tokens[s], boost::test_tools::per_element());
    }
}

/// Feeds the cache the columns that the reference fed, and compares the logits behind each call.
template <class Real>
void check_steps(const LlamaCase<Real>& model, const std::string& group) {
    const Generated expected(model, group);
    const auto step_logits = model.numbers(group + "/step_logits");
    const auto vocab = static_cast<std::size_t>(model.model->config().vocab);
    std::vector<int> capacities;
    for (std::size_t s = 0; s < expected.prompts.size(); ++s) {
        capacities.push_back(static_cast<int>(expected.sequence(s).size()));
    }
    KeyValueCache<Real> cache(model.kernels.memory(), model.model->config(), capacities, model.model->kept_widths());
    const auto steps = static_cast<std::size_t>(model.file.shape(group + "/step_logits").at(0));
    const auto first_call = static_cast<std::ptrdiff_t>(expected.first_call());
    std::size_t compared = 0;
    for (std::size_t step = 0; step < steps; ++step) {
        NextTokens next;
        std::vector<std::int32_t> last;
        const std::ptrdiff_t begin = step == 0 ? 0 : first_call + static_cast<std::ptrdiff_t>(step) - 1;
        const std::ptrdiff_t count = step == 0 ? first_call : 1;
        for (std::size_t s = 0; s < expected.prompts.size(); ++s) {
            const auto sequence = expected.sequence(s);
            if (begin + count > static_cast<std::ptrdiff_t>(sequence.size())) {
                continue;  // the reference went on behind the end
            }
            next.sequences.push_back(static_cast<int>(s));
            next.counts.push_back(static_cast<int>(count));
            next.ids.insert(next.ids.end(), sequence.begin() + begin, sequence.begin() + begin + count);
            last.push_back(static_cast<std::int32_t>(next.ids.size()) - 1);
        }
        if (next.sequences.empty()) {
            continue;
        }
        Arena arena;
        Arena scratch;
        Arena staging;
        const Context<Real> context{model.kernels, arena, scratch, staging, model.parameters.data(), {}};
        const Real* states = model.model->extend(context, next, cache);
        std::vector<Real> logits(last.size() * vocab);
        model.model->logits(context, states, static_cast<int>(last.size()), last.data(), logits.data());
        for (std::size_t i = 0; i < last.size(); ++i) {
            const auto s = static_cast<std::size_t>(next.sequences[i]);
            const auto from =
                step_logits.begin() + static_cast<std::ptrdiff_t>((step * expected.prompts.size() + s) * vocab);
            const std::vector<double> row(from, from + static_cast<std::ptrdiff_t>(vocab));
            const std::vector<Real> found(logits.begin() + static_cast<std::ptrdiff_t>(i * vocab),
                                          logits.begin() + static_cast<std::ptrdiff_t>((i + 1) * vocab));
            BOOST_TEST(largest_difference(row, found) < kLogitTolerance, group << " step " << step << ", prompt " << s);
            ++compared;
        }
    }
    BOOST_TEST(compared >= steps);
}

template <class Real>
void check_file(const std::string& path, const Kernels<Real>& kernels) {
    LlamaCase<Real> model(path, kernels, Precision::fp32);
    check_rotary_tables(model);
    for (const auto& [name, difference] : training_differences(model)) {
        BOOST_TEST(difference < 1, name << " is off by " << difference << " tolerances");
    }
    for (const char* group : {"/generate", "/generate1"}) {
        check_greedy(model, group);
        check_steps(model, group);
    }
}

}  // namespace

BOOST_DATA_TEST_CASE(reference_kernels_in_double_agree_with_llama, boost::unit_test::data::make(moa_files()), path) {
    const auto kernels = make_reference_kernels<double>();
    check_file(path, *kernels);
}

BOOST_DATA_TEST_CASE(reference_kernels_in_float_agree_with_llama, boost::unit_test::data::make(moa_files()), path) {
    const auto kernels = make_reference_kernels<float>();
    check_file(path, *kernels);
}

/// Of LADLE_TEST_BACKEND.
BOOST_DATA_TEST_CASE(kernels_under_test_agree_with_llama, boost::unit_test::data::make(moa_files()), path) {
    auto kernels = device_kernels_under_test();
    if (kernels == nullptr) {
        kernels = make_cpu_kernels("auto", Precision::fp32);
    }
    check_file(path, *kernels);
}
