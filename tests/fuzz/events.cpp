// Fuzzing target: TensorBoard events. The first byte of an input chooses between a file as it is and one event that
// gets its length and checksums here, since no change of a file would keep them.
#include <cstring>

#include "ladle/core/error.hpp"
#include "ladle/io/tensorboard.hpp"
#include "support.hpp"

namespace {

template <class T>
std::string raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

std::string masked_crc(std::string_view bytes) {
    const std::uint32_t crc = ladle::crc32c(bytes);
    return raw(static_cast<std::uint32_t>(((crc >> 15U) | (crc << 17U)) + 0xa282ead8U));
}

std::string record(std::string_view event) {
    const std::string length = raw(static_cast<std::uint64_t>(event.size()));
    return (length + masked_crc(length)).append(event) + masked_crc(event);
}

bool same_points(const std::vector<ladle::EventPoint>& a, const std::vector<ladle::EventPoint>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
        return x.step == y.step && std::memcmp(&x.value, &y.value, sizeof(float)) == 0;
    });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryFile file;
    static const ladle_fuzz::MemoryFile copy;
    if (count == 0) {
        return 0;
    }
    const std::string_view rest = ladle_fuzz::text_of(bytes + 1, count - 1);
    file.set(bytes[0] % 2 == 0 ? std::string(rest) : record(rest));
    ladle::EventLog log;
    try {
        log = ladle::read_events(file.path());
    } catch (const ladle::DataError&) {
        return 0;
    }
    copy.set("");
    {
        ladle::TensorboardWriter writer(copy.path(), 0);
        for (const auto& [tag, points] : log.scalars) {
            for (const ladle::EventPoint& point : points) {
                writer.scalar(tag, point.step, point.value, 0.0);
            }
        }
    }
    const ladle::EventLog again = ladle::read_events(copy.path());
    ladle_fuzz::require(again.is_whole, "the written file is whole");
    for (const auto& [tag, points] : log.scalars) {
        const auto found = again.scalars.find(tag);
        ladle_fuzz::require(points.empty() || (found != again.scalars.end() && same_points(points, found->second)),
                            "the points come back");
    }
    return 0;
}
