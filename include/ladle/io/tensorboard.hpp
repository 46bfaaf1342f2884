// TensorBoard event files: scalars over steps, appended while a run lasts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ladle {

/// Appends scalars to one event file. Each record is written with a single call, so a killed run leaves at most one
/// half record at the end, which the next start cuts off. Throws CheckpointError.
/// Source of the format: TensorFlow, core/lib/io/record_writer.h and core/util/event.proto.
class TensorboardWriter {
public:
    /// Opens or creates the file, e.g. "<run.dir>/events.out.tfevents.ladle". In an existing file `first_step` tells
    /// TensorBoard to forget what was logged from that step on.
    TensorboardWriter(std::string path, std::int64_t first_step);
    ~TensorboardWriter();
    TensorboardWriter(const TensorboardWriter&) = delete;
    TensorboardWriter& operator=(const TensorboardWriter&) = delete;
    /// `seconds` since 1970.
    void scalar(const std::string& tag, std::int64_t step, float value, double seconds);

private:
    void append(std::string_view event);
    [[noreturn]] void fail(const char* doing) const;

    std::string path_;
    int descriptor_ = -1;
};

/// One scalar of an event file.
struct EventPoint {
    std::int64_t step = 0;
    float value = 0;
};

/// The scalars of an event file by tag.
struct EventLog {
    std::map<std::string, std::vector<EventPoint>> scalars;  ///< in the order of the file
    bool is_whole = true;                                    ///< false: the last record is cut off or damaged
};

/// True if a file starts like TensorBoard events: a length with its checksum.
bool starts_like_events(std::string_view start);

/// Reads event records. Points from the step of a restart on are dropped, as TensorBoard does; events of other kinds
/// are skipped. Throws DataError if a record is not an event.
EventLog read_events(const std::string& path);

/// CRC-32C (Castagnoli) of some bytes.
std::uint32_t crc32c(std::string_view bytes);

}  // namespace ladle
