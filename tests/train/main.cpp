// Entry of the tests of the run directory and of what a run writes into it.
#define BOOST_TEST_MODULE train
#include <boost/test/unit_test.hpp>
