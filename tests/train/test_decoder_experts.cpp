// Experts that a config asks for, and learning rates of the published MoA run.
#include <boost/test/unit_test.hpp>

#include "io/names.hpp"
#include "ladle/config/job_options.hpp"
#include "ladle/config/options.hpp"
#include "ladle/train/decoder_experts.hpp"
#include "ladle/train/training_plan.hpp"

using namespace ladle;

BOOST_AUTO_TEST_SUITE(decoder_experts_of_a_config)

BOOST_AUTO_TEST_CASE(what_is_left_open_is_as_published) {
    MoaConfig config;
    config.system = "hydralora";
    MoaOptions experts = decoder_experts(config, 3);
    BOOST_TEST(experts.num_experts == 2);
    BOOST_TEST(experts.share_lora_a);
    BOOST_TEST(experts.lora_layers.text() == "0-3");
    BOOST_TEST(decoder_targets_text(experts.lora_targets) == "Q,K,V,O,FFN_DOWN");
    config.num_experts = 4;
    config.share_lora_a = "no";
    config.lora_targets = "V";
    config.lora_layers = "1-2";
    experts = decoder_experts(config, 3);
    BOOST_TEST(experts.num_experts == 4);
    BOOST_TEST(!experts.share_lora_a);
    BOOST_TEST(experts.lora_layers.text() == "1-2");
    BOOST_TEST(decoder_targets_text(experts.lora_targets) == "V");
}

BOOST_AUTO_TEST_CASE(a_settled_config_asks_for_the_same_experts) {
    for (const MoaSystem& system : moa_systems(2)) {
        MoaConfig config;
        config.system = system.name;
        const MoaConfig once = settled(config, 2);
        Config first;
        first.moa = once;
        Config second;
        second.moa = settled(once, 2);
        BOOST_TEST(identity_text(first) == identity_text(second));
        BOOST_TEST(first.moa.lora_layers == system.options.lora_layers.text());
    }
}

BOOST_AUTO_TEST_CASE(wrong_experts_are_refused) {
    MoaConfig config;
    config.system = "softmoa";
    BOOST_CHECK_EXCEPTION(decoder_experts(config, 2), ConfigError, names("soft-moa"));
    config.system = "soft-moa";
    config.lora_layers = "0-3";
    BOOST_CHECK_EXCEPTION(decoder_experts(config, 2), ConfigError, names("the model has 2 layers"));
    config.lora_layers = "0-2,1-2";
    BOOST_CHECK_EXCEPTION(decoder_experts(config, 2), ConfigError, names("no list of ranges"));
}

BOOST_AUTO_TEST_CASE(options_without_use_to_the_system_are_refused) {
    const auto refuses = [](MoaConfig config, const char* named) {
        config.system = "soft-moa";
        BOOST_CHECK_EXCEPTION(decoder_experts(config, 2), ConfigError, names(named));
    };
    MoaConfig top_k;
    top_k.top_k = 2;
    refuses(top_k, "moa.top_k = 2 and moa.system = soft-moa");
    MoaConfig threshold;
    threshold.max_threshold = 0.25;
    refuses(threshold, "moa.max_threshold = 0.25");
    MoaConfig constant;
    constant.constant_threshold = true;
    refuses(constant, "moa.constant_threshold");
    MoaConfig trained;
    trained.trained_threshold = true;
    refuses(trained, "moa.trained_threshold");
    MoaConfig gate;
    gate.adapter_gate = "own";
    refuses(gate, "a gate of the adapter's own");
    MoaConfig balance;
    balance.balance_weight = 0.5;
    refuses(balance, "moa.balance_weight");
}

BOOST_AUTO_TEST_CASE(the_published_recipe_follows_from_the_system) {
    const JobOptions job = resolve({{"moa.system", "soft-moa", "command line"}});
    // Source: README of the MoA repository: 6e-3 * 32 / 256, one of two epochs is warm-up.
    BOOST_TEST(peak_rate(job.config) == 7.5e-4);
    Config config = job.config;
    config.optim.lr = peak_rate(config);
    const TrainingPlan plan = training_plan(config, 803);  // 100 whole batches of 8, 25 windows of 4
    BOOST_TEST(plan.steps.batches_per_epoch == 100);
    BOOST_TEST(plan.total_steps == 50);
    BOOST_TEST(plan.rate(0) == 0.0);
    BOOST_TEST(plan.rate(10) == 7.5e-4 * 0.4);
    BOOST_TEST(plan.rate(25) == 7.5e-4);
    const JobOptions by_hand =
        resolve({{"moa.system", "soft-moa", "command line"}, {"optim.lr", "0.01", "command line"}});
    BOOST_TEST(peak_rate(by_hand.config) == 0.01);
    BOOST_CHECK_EXCEPTION(training_plan(job.config, 31), ConfigError, names("no step would be left"));
    const JobOptions mended =
        resolve({{"moa.system", "unipelt", "command line"}, {"preset", "mended", "command line"}});
    BOOST_TEST(mended.config.moa.padding == "ignored");
    BOOST_TEST(mended.config.data.labels == "mended");
    BOOST_TEST(mended.config.train.leftover == "own");
}

BOOST_AUTO_TEST_CASE(mends_are_asked_for_by_option_or_preset) {
    const auto experts = [](std::vector<Assignment> given) { return decoder_experts(resolve(given).config.moa, 2); };
    const std::string line = "command line";
    const Assignment sparse{"moa.system", "sparse-moa", line};
    const Assignment mended{"preset", "mended", line};
    BOOST_TEST(!experts({sparse}).trained_threshold);
    BOOST_TEST(experts({sparse, mended}).trained_threshold);
    BOOST_TEST(!experts({sparse, mended, {"moa.constant_threshold", "true", line}}).trained_threshold);
    BOOST_TEST(!experts({sparse, mended, {"moa.trained_threshold", "false", line}}).trained_threshold);
    const Assignment unipelt{"moa.system", "unipelt", line};
    BOOST_TEST(!experts({unipelt}).own_adapter_gate);
    BOOST_TEST(experts({unipelt, mended}).own_adapter_gate);
    const Assignment soft{"moa.system", "soft-moa", line};
    BOOST_TEST(!experts({soft, mended}).normed_router);
    BOOST_TEST(experts({soft, {"moa.router_input", "normed", line}}).normed_router);
    BOOST_TEST(!experts({soft, mended}).random_lora_b);
    BOOST_TEST(experts({soft, {"moa.lora_start", "random", line}}).random_lora_b);
}

BOOST_AUTO_TEST_CASE(options_of_the_other_family_are_no_part_of_an_identity) {
    Config encoder;
    BOOST_TEST(identity_text(encoder).find("moa.") == std::string::npos);
    BOOST_TEST(identity_text(encoder).find("data.labels") == std::string::npos);
    BOOST_TEST(identity_text(encoder).find("adapter.kind") != std::string::npos);
    Config decoder;
    decoder.moa.system = "lora";
    BOOST_TEST(identity_text(decoder).find("moa.lora_rank = 8\n") != std::string::npos);
    BOOST_TEST(identity_text(decoder).find("adapter.") == std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
