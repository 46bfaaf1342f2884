// Constructors of the route streams, for the registry.
#pragma once

#include <memory>

#include "ladle/routers/route_source.hpp"

namespace ladle {

std::unique_ptr<RouteSource> make_counter_routes(const RouteOptions& options);
std::unique_ptr<RouteSource> make_mt19937_routes(const RouteOptions& options);

}  // namespace ladle
