// Event records: length, masked checksum of it, a protocol buffer, masked checksum of that.
#include "ladle/io/tensorboard.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"

namespace ladle {
namespace {

constexpr std::size_t kHeaderBytes = 12;
constexpr std::size_t kFooterBytes = 4;
constexpr std::size_t kMaxLogBytes = std::size_t{1} << 32U;

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

/// Bytes up to the end of the last whole record.
std::size_t whole_records(std::string_view log) {
    std::size_t position = 0;
    while (log.size() - position >= kHeaderBytes + kFooterBytes) {
        std::uint64_t length = 0;
        std::uint32_t checksum = 0;
        std::memcpy(&length, log.data() + position, sizeof(length));
        std::memcpy(&checksum, log.data() + position + sizeof(length), sizeof(checksum));
        if (checksum != masked_crc(log.substr(position, sizeof(length))) ||
            length > log.size() - position - kHeaderBytes - kFooterBytes) {
            break;
        }
        position += kHeaderBytes + static_cast<std::size_t>(length) + kFooterBytes;
    }
    return position;
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
