// Entry point of the tests of file formats.
#define BOOST_TEST_MODULE io
#include <boost/test/unit_test.hpp>
