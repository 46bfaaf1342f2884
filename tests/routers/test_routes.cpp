// Route streams: the published sequence, independence of what was asked before, even use of the experts.
#define BOOST_TEST_MODULE routers
#include <array>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <random>

#include "ladle/core/error.hpp"
#include "ladle/core/random.hpp"
#include "ladle/routers/route_source.hpp"

using namespace ladle;

namespace {

RouteOptions small_options() {
    RouteOptions options;
    options.seed = 42;
    options.passes = 2;
    options.layers = 3;
    options.draws = {4, 3};
    options.batches_per_epoch = 5;
    return options;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_published_generator_starts_as_recorded) {
    // adamix.md section 4: seed 0, four experts, without the sampler's draws. An epoch's start consumes two outputs,
    // so the first picks of a run are the recorded ones from the third on.
    const std::array<int, 14> expected = {1, 0, 3, 3, 3, 3, 1, 3, 1, 2, 0, 3, 2, 0};
    RouteOptions options;
    options.layers = 7;
    options.draws = {4, 4};
    const std::vector<int> picks = make_route_source("mt19937", options)->picks(0);
    BOOST_TEST(picks == expected, boost::test_tools::per_element());
    options.seed = std::uint64_t{1} << 32U;  // only the low word counts
    BOOST_TEST(make_route_source("mt19937", options)->picks(0) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_published_stream_is_read_in_the_order_of_the_program) {
    // One long run: two outputs per epoch start, picks batch by batch, two outputs per evaluation.
    for (const int evaluation_epochs : {0, 1, 2}) {
        RouteOptions options = small_options();
        options.evaluation_epochs = evaluation_epochs;
        std::mt19937 generator(42);
        const auto source = make_route_source("mt19937", options);
        for (std::int64_t batch = 0; batch < 20; ++batch) {
            if (batch % 5 == 0) {
                generator.discard(2);
            }
            std::vector<int> expected;
            for (int i = 0; i < 2 * 3; ++i) {
                expected.push_back(static_cast<int>(generator() % 4));
                expected.push_back(static_cast<int>(generator() % 3));
            }
            BOOST_TEST(source->picks(batch) == expected, boost::test_tools::per_element());
            const std::int64_t epochs_done = (batch + 1) / 5;
            if ((batch + 1) % 5 == 0 && evaluation_epochs != 0 && epochs_done % evaluation_epochs == 0) {
                generator.discard(2);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(counter_picks_are_the_documented_words) {
    const std::vector<int> picks = make_route_source("counter", small_options())->picks(7);
    BOOST_TEST(picks.size() == 12U);
    Stream stream;
    stream.seed = 42;
    stream.batch = 7;
    stream.purpose = Purpose::route;
    for (std::size_t i = 0; i < picks.size(); ++i) {
        stream.pass = static_cast<std::uint32_t>(i / 6);
        stream.layer = static_cast<std::uint32_t>(i / 2 % 3);
        stream.site = static_cast<std::uint32_t>(i % 2);
        BOOST_TEST(picks[i] == static_cast<int>(uniform_below(random_word(stream, 0), i % 2 == 0 ? 4 : 3)));
    }
}

BOOST_AUTO_TEST_CASE(picks_depend_on_nothing_asked_before) {
    for (const std::string& name : route_stream_names()) {
        const auto source = make_route_source(name, small_options());
        const std::vector<int> late = source->picks(11);
        source->picks(3);
        BOOST_TEST(source->picks(11) == late, boost::test_tools::per_element());
        BOOST_TEST(make_route_source(name, small_options())->picks(11) == late, boost::test_tools::per_element());
        BOOST_CHECK(source->picks(12) != late);
    }
    BOOST_CHECK_THROW(make_route_source("philox", small_options()), ConfigError);
}

BOOST_AUTO_TEST_CASE(every_stream_uses_all_experts_evenly) {
    for (const std::string& name : route_stream_names()) {
        const auto source = make_route_source(name, small_options());
        std::array<int, 4> counts{};
        for (std::int64_t batch = 0; batch < 1000; ++batch) {
            const std::vector<int> picks = source->picks(batch);
            for (std::size_t i = 0; i < picks.size(); i += 2) {
                ++counts.at(static_cast<std::size_t>(picks[i]));
            }
        }
        for (const int count : counts) {
            BOOST_TEST(std::abs(count - 1500) < 170);  // five standard deviations of 6000 draws
        }
    }
}

BOOST_AUTO_TEST_CASE(evaluation_routes_are_per_sample_or_per_token) {
    int changes_by_token = 0;
    int changes_by_sample = 0;
    for (std::uint32_t i = 0; i < 100; ++i) {
        BOOST_TEST(evaluation_expert(1, 5, 2, 1, 4, 9, i) == evaluation_expert(1, 5, 2, 1, 4, 9, 0));
        changes_by_token += evaluation_expert(0, 5, 2, 1, 4, 9, i) != evaluation_expert(0, 5, 2, 1, 4, 9, 0) ? 1 : 0;
        changes_by_sample += evaluation_expert(1, 5, 2, 1, 4, i, 0) != evaluation_expert(1, 5, 2, 1, 4, 0, 0) ? 1 : 0;
        BOOST_TEST(evaluation_expert(0, 5, 2, 1, 1, 9, i) == 0);
    }
    // Three of four draws differ from a given one: 75 of 100, five standard deviations are 22.
    BOOST_TEST(std::abs(changes_by_token - 75) < 22);
    BOOST_TEST(std::abs(changes_by_sample - 75) < 22);
    BOOST_CHECK_THROW(evaluation_expert(3, 5, 2, 1, 4, 9, 0), InternalError);
}
