// Entry of the tests of what `ladle bench` counts, reads and reports.
#define BOOST_TEST_MODULE bench
#include <boost/test/unit_test.hpp>
