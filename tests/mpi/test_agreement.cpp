// Ranks that hold different things find out, all of them, and say who and what. Started by mpirun, soft checks only.
#include <boost/test/unit_test.hpp>
#include <vector>

#include "ladle/core/error.hpp"
#include "ladle/train/agreement.hpp"
#include "world.hpp"

using namespace ladle;

namespace {

/// What a call throws on this rank; empty if nothing.
template <class Expected, class Call>
std::string message_of(Call call) {
    try {
        call();
    } catch (const Expected& error) {
        return error.what();
    }
    return "";
}

bool says(const std::string& message, const std::string& part) {
    BOOST_TEST_MESSAGE(message);
    return message.find(part) != std::string::npos;
}

bool is_last() {
    return world->world_size() > 1 && world->world_rank() == world->world_size() - 1;
}

struct State {
    ParameterTable table;
    std::vector<float> parameters = {1, 2, 3, 4, 5};
    AdamWState<float> optimizer{{7, 7}, std::vector<float>(5, 0.5F), std::vector<float>(5, 0.25F)};

    State() {
        table.add("down.weight", {3}, "adapters", {});
        table.add("up.weight", {2}, "adapters", {});
    }
    std::string check() {
        return message_of<DeviceError>([&] { require_same_state(*world, table, parameters, optimizer, 40); });
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(equal_holdings_are_accepted) {
    BOOST_CHECK_NO_THROW(require_same_on_all_ranks(*world, "the input", {"a = 1\n", ""}));
    BOOST_CHECK_NO_THROW(require_same_machine(*world, "kernels = avx2\n"));
}

BOOST_AUTO_TEST_CASE(places_may_differ) {
    const RankHolding mine{"a = 1\n", is_last() ? "a = here\n" : "a = there\n"};
    BOOST_CHECK_NO_THROW(require_same_on_all_ranks(*world, "the input", mine));
}

BOOST_AUTO_TEST_CASE(a_different_file_is_named_on_every_rank) {
    const RankHolding mine{is_last() ? "data.train = abc\n" : "data.train = def\n", "data.train = shards/train.h5\n"};
    const std::string message =
        message_of<DataError>([&] { require_same_on_all_ranks(*world, "the input of this run", mine); });
    if (world->world_size() == 1) {
        BOOST_TEST(message.empty());
        return;
    }
    BOOST_TEST(says(message, "the input of this run differs on 1 of " + std::to_string(world->world_size())));
    BOOST_TEST(says(message, "data.train (shards/train.h5) is abc on rank " + std::to_string(world->world_size() - 1)));
    BOOST_TEST(says(message, "def on rank 0"));
}

BOOST_AUTO_TEST_CASE(different_kernels_are_a_device_error) {
    const std::string message = message_of<DeviceError>(
        [&] { require_same_machine(*world, is_last() ? "kernels = avx2\n" : "kernels = avx512\n"); });
    BOOST_TEST(message.empty() == (world->world_size() == 1));
    if (!message.empty()) {
        BOOST_TEST(says(message, "kernels is avx2 on rank"));
        BOOST_TEST(says(message, "cpu.isa"));
    }
}

BOOST_AUTO_TEST_CASE(a_flipped_bit_anywhere_in_the_state_names_tensor_and_rank) {
    BOOST_TEST(State().check().empty());
    std::vector<State> states(4);
    if (is_last()) {
        states[0].parameters[3] = 4.0000005F;
        states[1].optimizer.first_moment[4] = -0.5F;
        states[2].optimizer.second_moment[3] = 0.3F;
        states[3].optimizer.steps[1] = 8;
    }
    for (State& state : states) {
        const std::string message = state.check();
        BOOST_TEST(message.empty() == (world->world_size() == 1));
        if (!message.empty()) {
            BOOST_TEST(says(message, "after step 40: up.weight is"));
            BOOST_TEST(says(message, "on rank " + std::to_string(world->world_size() - 1)));
        }
    }
}
