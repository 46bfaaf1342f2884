// Hostile input: one case per line of the list of attacks that each parser must withstand.
#define BOOST_TEST_MODULE hostile
#include <boost/test/unit_test.hpp>
