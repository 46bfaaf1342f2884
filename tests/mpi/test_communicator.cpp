// Sums, broadcast and gather over real ranks; started by mpirun with 1, 2 and 4 of them.
// Only soft checks: a rank that left a test early would hang the others in the next collective.
#define BOOST_TEST_MODULE mpi
#define BOOST_TEST_NO_MAIN
#include <boost/test/unit_test.hpp>
#include <numeric>
#include <vector>

#include "world.hpp"

using namespace ladle;

Communicator* world = nullptr;

BOOST_AUTO_TEST_CASE(integer_sums_are_exact_beyond_the_precision_of_doubles) {
    const std::int64_t big = (std::int64_t{1} << 60U) + 1;
    std::vector<std::int64_t> values{world->world_rank() == 0 ? big : 0, world->world_rank(), 1};
    world->all_reduce_sum(values.data(), values.size());
    const std::int64_t n = world->world_size();
    BOOST_TEST(values[0] == big);
    BOOST_TEST(values[1] == n * (n - 1) / 2);
    BOOST_TEST(values[2] == n);
}

BOOST_AUTO_TEST_CASE(float_sums_add_all_ranks) {
    std::vector<float> values(1000, 0.5F);
    world->all_reduce_sum(values.data(), values.size());
    BOOST_TEST(values.front() == 0.5F * static_cast<float>(world->world_size()));
    BOOST_TEST(values.back() == values.front());
}

BOOST_AUTO_TEST_CASE(broadcast_copies_rank_0) {
    std::int32_t value = world->is_root() ? 42 : 0;
    world->broadcast(&value, sizeof(value));
    BOOST_TEST(value == 42);
    BOOST_TEST(world->broadcast_text(world->is_root() ? "from the root" : "x") == "from the root");
    BOOST_TEST(world->broadcast_text(world->is_root() ? "" : "x").empty());
}

BOOST_AUTO_TEST_CASE(gather_concatenates_in_rank_order_on_rank_0_only) {
    std::string expected;
    for (int rank = 0; rank < world->world_size(); ++rank) {
        expected += std::string(static_cast<std::size_t>(rank), static_cast<char>('a' + rank));
    }
    const int mine = world->world_rank();
    const std::string all = world->gather(std::string(static_cast<std::size_t>(mine), static_cast<char>('a' + mine)));
    BOOST_TEST(all == (world->is_root() ? expected : ""));
}

BOOST_AUTO_TEST_CASE(ranks_on_one_host_are_counted) {
    BOOST_TEST(!world->place().host.empty());
    BOOST_TEST(world->place().local_size == world->world_size());
    BOOST_TEST(world->place().local_rank == world->world_rank());
}

int main(int argc, char** argv) {
    MpiSession session;
    const auto comm = session.make_communicator();
    world = comm.get();
    const int result = boost::unit_test::unit_test_main(init_unit_test, argc, argv);
    std::int64_t failures = result != 0 ? 1 : 0;
    comm->all_reduce_sum(&failures, 1);
    return failures == 0 ? 0 : 1;
}
