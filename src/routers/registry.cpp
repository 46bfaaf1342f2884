// The list of route streams.
#include <fmt/ranges.h>

#include <array>

#include "ladle/core/error.hpp"
#include "streams.hpp"

namespace ladle {
namespace {

struct StreamRow {
    const char* name;
    std::unique_ptr<RouteSource> (*make)(const RouteOptions&);
};
constexpr std::array<StreamRow, 2> kStreams = {{
    {"counter", make_counter_routes},
    {"mt19937", make_mt19937_routes},
}};

}  // namespace

std::vector<std::string> route_stream_names() {
    std::vector<std::string> names;
    for (const StreamRow& row : kStreams) {
        names.emplace_back(row.name);
    }
    return names;
}

std::unique_ptr<RouteSource> make_route_source(const std::string& name, const RouteOptions& options) {
    for (const StreamRow& row : kStreams) {
        if (name == row.name) {
            return row.make(options);
        }
    }
    throw ConfigError("unknown routing.stream '" + name + "'", "there is no stream of that name",
                      fmt::format("choose one of {}", fmt::join(route_stream_names(), " ")));
}

}  // namespace ladle
