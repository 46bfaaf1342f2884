// Event records: length, masked checksum of it, a protocol buffer, masked checksum of that.
#include "ladle/io/tensorboard.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"

namespace ladle {
namespace {

constexpr std::size_t kHeaderBytes = 12;
constexpr std::size_t kFooterBytes = 4;
constexpr std::size_t kMaxLogBytes = std::size_t{1} << 28U;

constexpr std::array<std::uint32_t, 256> make_crc_table() {
    constexpr std::uint32_t kReversedPolynomial = 0x82f63b78;
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < table.size(); ++i) {
        std::uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit) {
            value = (value >> 1U) ^ ((value & 1U) != 0 ? kReversedPolynomial : 0U);
        }
        table[i] = value;
    }
    return table;
}

std::uint32_t masked_crc(std::string_view bytes) {
    constexpr std::uint32_t kMaskDelta = 0xa282ead8;
    const std::uint32_t crc = crc32c(bytes);
    return ((crc >> 15U) | (crc << 17U)) + kMaskDelta;
}

template <class T>
std::string raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

/// Fields of protocol buffers; the tag byte is (field number << 3) | wire type.
std::string varint(std::uint64_t value) {
    std::string bytes;
    for (; value >= 0x80; value >>= 7U) {
        bytes += static_cast<char>(value | 0x80U);
    }
    return bytes + static_cast<char>(value);
}
std::string field_varint(char tag, std::int64_t value) {
    return tag + varint(static_cast<std::uint64_t>(value));
}
std::string field_bytes(char tag, std::string_view bytes) {
    return tag + varint(bytes.size()).append(bytes);
}

constexpr char kEventTime = 0x09;      // double wall_time = 1
constexpr char kEventStep = 0x10;      // int64 step = 2
constexpr char kEventVersion = 0x1a;   // string file_version = 3
constexpr char kEventSummary = 0x2a;   // Summary summary = 5
constexpr char kEventSession = 0x3a;   // SessionLog session_log = 7
constexpr char kSummaryValue = 0x0a;   // Value value = 1
constexpr char kValueTag = 0x0a;       // string tag = 1
constexpr char kValueNumber = 0x15;    // float simple_value = 2
constexpr char kSessionStatus = 0x08;  // SessionStatus status = 1
constexpr std::int64_t kSessionStart = 1;

/// The event of the record at `position`, if the whole record is there.
std::optional<std::string_view> whole_record(std::string_view log, std::size_t position) {
    if (log.size() - position < kHeaderBytes + kFooterBytes) {
        return std::nullopt;
    }
    std::uint64_t length = 0;
    std::memcpy(&length, log.data() + position, sizeof(length));
    if (!starts_like_events(log.substr(position)) || length > log.size() - position - kHeaderBytes - kFooterBytes) {
        return std::nullopt;
    }
    return log.substr(position + kHeaderBytes, static_cast<std::size_t>(length));
}

/// Bytes up to the end of the last whole record.
std::size_t whole_records(std::string_view log) {
    std::size_t position = 0;
    while (const auto event = whole_record(log, position)) {
        position += kHeaderBytes + event->size() + kFooterBytes;
    }
    return position;
}

/// One field of a protocol buffer after the other; every read is checked against the end.
class FieldReader {
public:
    FieldReader(std::string_view bytes, const std::string& path) : bytes_(bytes), path_(path) {}

    /// Goes to the next field and returns true, or false at the end.
    bool next() {
        if (bytes_.empty()) {
            return false;
        }
        tag_ = static_cast<std::uint8_t>(bytes_[0]);
        if ((tag_ & 0x80U) != 0) {
            refuse();
        }
        bytes_.remove_prefix(1);
        number_ = 0;
        constexpr std::uint8_t kVarint = 0;
        constexpr std::uint8_t kFixed64 = 1;
        constexpr std::uint8_t kBytes = 2;
        constexpr std::uint8_t kFixed32 = 5;
        switch (tag_ & 7U) {
            case kVarint:
                number_ = take_varint();
                break;
            case kFixed64:
                text_ = take(8);
                break;
            case kBytes:
                text_ = take(take_varint());
                break;
            case kFixed32:
                text_ = take(4);
                break;
            default:
                refuse();
        }
        return true;
    }
    bool is(char tag) const { return tag_ == static_cast<std::uint8_t>(tag); }
    std::int64_t number() const { return static_cast<std::int64_t>(number_); }
    /// Bytes of the field; of a number of fixed size its own.
    std::string_view text() const { return text_; }

private:
    [[noreturn]] void refuse() const {
        throw DataError("cannot read " + path_, "a record is not a TensorBoard event", "use a file of scalars");
    }
    std::string_view take(std::uint64_t count) {
        if (count > bytes_.size()) {
            refuse();
        }
        const std::string_view taken = bytes_.substr(0, static_cast<std::size_t>(count));
        bytes_.remove_prefix(taken.size());
        return taken;
    }
    std::uint64_t take_varint() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const auto byte = static_cast<std::uint8_t>(take(1)[0]);
            value |= std::uint64_t{byte & 0x7fU} << shift;
            if ((byte & 0x80U) == 0) {
                return value;
            }
        }
        refuse();
    }

    std::string_view bytes_;
    const std::string& path_;
    std::uint8_t tag_ = 0;
    std::uint64_t number_ = 0;
    std::string_view text_;
};

/// Steps rise within a tag, so that only its end is looked at: a file of nothing but restarts takes no quadratic time.
void drop_from(std::int64_t step, EventLog& log) {
    for (auto& [tag, points] : log.scalars) {
        while (!points.empty() && points.back().step >= step) {
            points.pop_back();
        }
    }
}

void add_value(std::string_view bytes, std::int64_t step, const std::string& path, EventLog& log) {
    std::string tag;
    std::optional<float> number;
    for (FieldReader value(bytes, path); value.next();) {
        if (value.is(kValueTag)) {
            tag = value.text();
        } else if (value.is(kValueNumber)) {
            number.emplace();
            std::memcpy(&*number, value.text().data(), sizeof(float));
        }
    }
    if (number) {
        log.scalars[tag].push_back({step, *number});
    }
}

void add_event(std::string_view bytes, const std::string& path, EventLog& log) {
    std::int64_t step = 0;
    std::vector<std::string_view> values;
    bool restarts = false;
    for (FieldReader event(bytes, path); event.next();) {
        if (event.is(kEventStep)) {
            step = event.number();
        } else if (event.is(kEventSummary)) {
            for (FieldReader summary(event.text(), path); summary.next();) {
                if (summary.is(kSummaryValue)) {
                    values.push_back(summary.text());
                }
            }
        } else if (event.is(kEventSession)) {
            for (FieldReader session(event.text(), path); session.next();) {
                restarts = restarts || (session.is(kSessionStatus) && session.number() == kSessionStart);
            }
        }
    }
    if (restarts) {
        drop_from(step, log);
    }
    for (const std::string_view value : values) {
        add_value(value, step, path, log);
    }
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
    static constexpr auto kTable = make_crc_table();
    std::uint32_t crc = 0xffffffff;
    for (const char byte : bytes) {
        crc = (crc >> 8U) ^ kTable[(crc ^ static_cast<std::uint8_t>(byte)) & 0xffU];
    }
    return ~crc;
}

bool starts_like_events(std::string_view start) {
    if (start.size() < kHeaderBytes) {
        return false;
    }
    std::uint32_t checksum = 0;
    std::memcpy(&checksum, start.data() + sizeof(std::uint64_t), sizeof(checksum));
    return checksum == masked_crc(start.substr(0, sizeof(std::uint64_t)));
}

EventLog read_events(const std::string& path) {
    const std::string bytes = read_file(path, kMaxLogBytes);
    EventLog log;
    std::size_t position = 0;
    while (const auto event = whole_record(bytes, position)) {
        std::uint32_t checksum = 0;
        std::memcpy(&checksum, event->data() + event->size(), sizeof(checksum));
        if (checksum != masked_crc(*event)) {
            break;
        }
        add_event(*event, path, log);
        position += kHeaderBytes + event->size() + kFooterBytes;
    }
    log.is_whole = position == bytes.size();
    return log;
}

TensorboardWriter::TensorboardWriter(std::string path, std::int64_t first_step) : path_(std::move(path)) {
    const std::size_t kept = file_exists(path_) ? whole_records(read_file(path_, kMaxLogBytes)) : 0;
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (descriptor_ < 0) {
        fail("opening");
    }
    if (::ftruncate(descriptor_, static_cast<off_t>(kept)) != 0) {
        fail("cutting off a half-written record");
    }
    if (kept == 0) {
        append(field_bytes(kEventVersion, "brain.Event:2"));
    } else {
        append(field_varint(kEventStep, first_step) +
               field_bytes(kEventSession, field_varint(kSessionStatus, kSessionStart)));
    }
}

TensorboardWriter::~TensorboardWriter() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
}

void TensorboardWriter::scalar(const std::string& tag, std::int64_t step, float value, double seconds) {
    const std::string number = field_bytes(kValueTag, tag) + kValueNumber + raw(value);
    append(kEventTime + raw(seconds) + field_varint(kEventStep, step) +
           field_bytes(kEventSummary, field_bytes(kSummaryValue, number)));
}

void TensorboardWriter::append(std::string_view event) {
    const std::string length = raw(static_cast<std::uint64_t>(event.size()));
    const std::string record = (length + raw(masked_crc(length))).append(event) + raw(masked_crc(event));
    const ssize_t written = ::write(descriptor_, record.data(), record.size());
    if (written != static_cast<ssize_t>(record.size())) {
        fail("appending");
    }
}

void TensorboardWriter::fail(const char* doing) const {
    throw CheckpointError("cannot write " + path_, std::string(doing) + " failed: " + std::strerror(errno),
                          "check free space, quota and permissions of the directory");
}

}  // namespace ladle
