// Sums, broadcast and gather over real ranks; started by mpirun with 1, 2 and 4 of them.
// Only soft checks: a rank that left a test early would hang the others in the next collective.
#define BOOST_TEST_MODULE mpi
#define BOOST_TEST_NO_MAIN
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <cstring>
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

// LADLE_TEST_NO_WINDOW is set where the test is started with an MPI that makes no shared windows.
BOOST_AUTO_TEST_CASE(frozen_weights_are_one_copy_that_the_first_rank_of_the_node_writes) {
    const std::vector<std::size_t> sizes = {100, 1, 4096};
    PlannedWeights planned;
    for (const std::size_t bytes : sizes) {
        BOOST_TEST(planned.take(bytes) == nullptr);
    }
    BOOST_TEST(planned.bytes() == 128U + 64U + 4096U);
    const FrozenMemory memory = world->frozen_memory(planned.bytes());
    const bool shared = world->world_size() > 1 && std::getenv("LADLE_TEST_NO_WINDOW") == nullptr;
    BOOST_TEST(memory.sharers == (shared ? world->world_size() : 1));
    BOOST_TEST(memory.why_private.empty() == shared);
    BOOST_TEST(memory.store->writes() == (!shared || world->is_root()));
    std::vector<std::shared_ptr<void>> arrays;
    for (const std::size_t bytes : sizes) {
        arrays.push_back(memory.store->take(bytes));
        BOOST_TEST(reinterpret_cast<std::uintptr_t>(arrays.back().get()) % 64 == 0U);
        if (memory.store->writes()) {
            std::memset(arrays.back().get(), static_cast<int>(arrays.size()), bytes);
        }
    }
    memory.store->publish();
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        const auto* bytes = static_cast<const char*>(arrays[i].get());
        BOOST_TEST(std::count(bytes, bytes + sizes[i], static_cast<char>(i + 1)) ==
                   static_cast<std::ptrdiff_t>(sizes[i]));
    }
    // One copy: what rank 0 changes now changes for all that share.
    world->barrier();
    if (world->is_root()) {
        static_cast<char*>(arrays[0].get())[99] = 77;
    }
    world->barrier();
    BOOST_TEST(static_cast<int>(static_cast<const char*>(arrays[0].get())[99]) ==
               (shared || world->is_root() ? 77 : 1));
}

BOOST_AUTO_TEST_CASE(frozen_weights_are_private_where_the_node_has_no_room) {
    const FrozenMemory memory = world->frozen_memory(std::size_t{1} << 60U);
    BOOST_TEST(memory.sharers == 1);
    BOOST_TEST(memory.why_private.find(world->world_size() == 1 ? "one rank" : "/dev/shm has") == 0U);
    BOOST_TEST(memory.store->writes());
    BOOST_TEST(memory.store->take(8) != nullptr);
    const FrozenMemory planned = world->planned_frozen_memory(std::size_t{1} << 60U);
    BOOST_TEST(planned.sharers == 1);
    BOOST_TEST(planned.why_private == memory.why_private);
}

BOOST_AUTO_TEST_CASE(small_weights_are_planned_for_all_ranks_of_the_node) {
    const FrozenMemory planned = world->planned_frozen_memory(1024);
    BOOST_TEST(planned.sharers == world->place().local_size);
    BOOST_TEST(planned.store->writes());
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
