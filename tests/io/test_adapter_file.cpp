// Adapter files: what is written is read back, and what does not belong together is refused.
#include <boost/test/unit_test.hpp>
#include <functional>
#include <stdexcept>

#include "io/names.hpp"
#include "io/scratch.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/adapter_file.hpp"
#include "ladle/io/moa_adapter.hpp"
#include "ladle/io/pytorch.hpp"
#include "support/fixtures.hpp"
#include "support/small_adapter.hpp"

using namespace ladle;
using test::small_adapter;

namespace {

/// Width inside the feed-forward part, as the weights have it.
int meta_ffn(const std::string& directory) {
    for (const auto& [name, tensor] : open_torch(directory + "/consolidated.00.pth")) {
        if (name == "layers.0.feed_forward.w1.weight") {
            return static_cast<int>(tensor.shape.front());
        }
    }
    throw std::runtime_error("no w1 in " + directory);
}

/// What reading an adapter file that `spoil` has changed says.
void refuses(const std::function<void(AdapterFile&)>& spoil, const char* named) {
    const Scratch scratch;
    AdapterFile adapter = small_adapter("soft-moa");
    spoil(adapter);
    write_adapter_file(scratch.path("a.h5"), adapter);
    BOOST_CHECK_EXCEPTION(read_adapter_file(scratch.path("a.h5")), DataError, names(named));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(adapter_file)

BOOST_AUTO_TEST_CASE(every_system_is_read_back) {
    for (const MoaSystem& system : moa_systems(2)) {
        const Scratch scratch;
        AdapterFile written = small_adapter(system.name);
        write_adapter_file(scratch.path("a.h5"), written);
        const AdapterFile read = read_adapter_file(scratch.path("a.h5"));
        BOOST_TEST(read.digest == written.digest);
        BOOST_TEST(read.system == system.name);
        BOOST_TEST(read.block.ffn == 10);
        BOOST_TEST(read.seed == 5U);
        BOOST_TEST(read.score == 1.5);
        BOOST_TEST((read.experts == written.experts));
        BOOST_TEST_REQUIRE(read.tensors.size() == written.tensors.size());
        for (std::size_t i = 0; i < read.tensors.size(); ++i) {
            BOOST_TEST(read.tensors[i].first == written.tensors[i].first);
            BOOST_TEST((read.tensors[i].second.bytes == written.tensors[i].second.bytes));
        }
    }
}

BOOST_AUTO_TEST_CASE(what_does_not_belong_together_is_refused) {
    refuses([](AdapterFile& a) { a.tensors.pop_back(); }, "fewer than its experts have");
    refuses([](AdapterFile& a) { a.tensors.emplace_back("more", a.tensors.front().second); },
            "more than its experts have");
    refuses([](AdapterFile& a) { a.tensors.front().second.shape = {4, 9}; }, "lora_A");
    refuses([](AdapterFile& a) { a.tensors.front().first = "other"; }, "lora_A");
    refuses([](AdapterFile& a) { a.layers = 1; }, "layers up to 2");
    refuses([](AdapterFile& a) { a.layers = 1 << 30; }, "layers of /model is");
    refuses([](AdapterFile& a) { a.block.dim = -1; }, "dim of /model is");
    refuses([](AdapterFile& a) { a.experts.num_experts = 1 << 20; }, "num_experts of /experts is");
    refuses([](AdapterFile& a) { a.experts.lora_rank = 0; }, "LoRA rank 0");
    refuses([](AdapterFile& a) { a.block.heads = a.block.head_dim = 1 << 15; }, "too many or too wide");
}

BOOST_AUTO_TEST_CASE(the_published_form_holds_the_same_tensors) {
    for (const MoaSystem& system : moa_systems(2)) {
        const Scratch scratch;
        const AdapterFile written = small_adapter(system.name);
        write_moa_adapter(scratch.path("published"), written);
        AdapterFile description = written;
        description.tensors.clear();
        description.experts = moa_options(system.name, 2);
        const AdapterFile read = read_moa_adapter(scratch.path("published"), description);
        BOOST_TEST((read.experts == written.experts));
        BOOST_TEST(read.max_length == written.max_length);
        BOOST_TEST_REQUIRE(read.tensors.size() == written.tensors.size());
        for (std::size_t i = 0; i < read.tensors.size(); ++i) {
            BOOST_TEST(read.tensors[i].first == written.tensors[i].first);
            BOOST_TEST((read.tensors[i].second.bytes == written.tensors[i].second.bytes));
        }
    }
}

BOOST_AUTO_TEST_CASE(files_of_the_extract_script_are_read) {
    AdapterFile published;
    const std::string directory = test::fixtures_root() + "/moa/meta_tiny";
    const auto params = read_json_file(directory + "/params.json");
    published.layers = params.at("n_layers");
    published.block.dim = params.at("dim");
    published.block.heads = params.at("n_heads");
    published.block.kv_heads = params.at("n_kv_heads");
    published.block.head_dim = published.block.dim / published.block.heads;
    published.block.ffn = meta_ffn(directory);
    published.system = "soft-moa";
    published.experts = moa_options("soft-moa", published.layers);
    const AdapterFile read = read_moa_adapter(directory, published);
    BOOST_TEST(read.experts.lora_rank == 4);
    BOOST_TEST(read.max_length == 64);
    BOOST_TEST(read.tensors.front().first == "layers.0.attention.lora_Q.lora_A.weight");
}

BOOST_AUTO_TEST_CASE(published_files_that_do_not_fit_are_refused) {
    const auto refuses_params = [](const std::string& from, const std::string& to, const char* named) {
        const Scratch scratch;
        const AdapterFile written = small_adapter("soft-moa");
        write_moa_adapter(scratch.directory(), written);
        std::string params = slurp(scratch.path("adapter_params.json"));
        params.replace(params.find(from), from.size(), to);
        spill(scratch.path("adapter_params.json"), params);
        AdapterFile description = written;
        description.tensors.clear();
        BOOST_CHECK_EXCEPTION(read_moa_adapter(scratch.directory(), description), DataError, names(named));
    };
    refuses_params("\"lora_rank\":3", "\"lora_rank\":4", "lora_A");
    refuses_params("\"lora_rank\":3", "\"lora_rank\":-1", "lora_rank is -1");
    refuses_params("\"lora_rank\":3", "\"lora_rank\":1e300", "lora_rank is");
    refuses_params("\"expert_num\":1", "\"expert_num\":1000000000", "expert_num is");
    refuses_params("\"expert_num\":1", "\"expert_num\":2", "fewer than its experts have");
    refuses_params("\"lora_rank\":3", "\"lora_rank\":3,\"colour\":1", "colour is not known");
    refuses_params("\"w_bias\":false", "\"w_bias\":true", "norms and biases");
    refuses_params("\"lora_layers\":\"0-2\"", "\"lora_layers\":\"0-9\"", "the model has 2 layers");
    refuses_params("\"prompt_layers\":\"0-2\"", "\"prompt_layers\":\"0-0\"", "more than its experts have");
    refuses_params("\"w_bias\":false", "\"adamole\":true", "contradicts the system soft-moa");
    refuses_params("\"lora_alpha\":24.0,", "", "lora_alpha is missing");
    refuses_params("\"lora_layers\":\"0-2\"", "\"lora_layers\":\"0-2,1-2\"", "no list of ranges");
}

BOOST_AUTO_TEST_CASE(ranges_and_words_are_what_their_texts_say) {
    for (const char* text : {"0-0", "0-8", "0-8,24-32"}) {
        BOOST_TEST(LayerRanges::parse(text).text() == text);
    }
    BOOST_TEST(decoder_targets_text(parse_decoder_targets("FFN_DOWN,Q")) == "Q,FFN_DOWN");
    BOOST_CHECK_EXCEPTION(parse_block_router("soft"), ConfigError, names("none, token"));
    BOOST_CHECK_EXCEPTION(parse_site_rule(""), ConfigError, names("softmax, top_k"));
}

BOOST_AUTO_TEST_SUITE_END()
