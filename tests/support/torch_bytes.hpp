// Torch archives and pickles put together byte by byte, right or wrong, independent of the program's own writer.
// Shared by the tests of formats and of hostile input.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>
#include <vector>

namespace torch_bytes {

template <class T>
std::string raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

inline std::string text(const std::string& value) {
    return "X" + raw(static_cast<std::uint32_t>(value.size())) + value;
}

inline std::string small(int value) {
    return std::string("K") + static_cast<char>(value);
}

/// A zip member as the tests want it, right or wrong.
struct Member {
    std::string name;
    std::string content;
    std::uint16_t method = 0;
    std::uint16_t flags = 0;
    std::string local_name = name;
    std::uint32_t claimed = static_cast<std::uint32_t>(content.size());
    std::uint32_t checksum_change = 0;
};

/// An archive written record by record.
inline std::string zip(const std::vector<Member>& members) {
    std::string bytes;
    std::string directory;
    for (const Member& member : members) {
        const auto checksum = static_cast<std::uint32_t>(crc32_z(
                                  0, reinterpret_cast<const Bytef*>(member.content.data()), member.content.size())) ^
                              member.checksum_change;
        const std::string common = raw(std::uint16_t{20}) + raw(member.flags) + raw(member.method) +
                                   raw(std::uint32_t{0}) + raw(checksum) + raw(member.claimed) + raw(member.claimed);
        const auto offset = static_cast<std::uint32_t>(bytes.size());
        bytes += "PK\3\4" + common + raw(static_cast<std::uint16_t>(member.local_name.size())) + raw(std::uint16_t{0}) +
                 member.local_name + member.content;
        directory += "PK\1\2" + raw(std::uint16_t{20}) + common + raw(static_cast<std::uint16_t>(member.name.size())) +
                     std::string(12, '\0') + raw(offset) + member.name;
    }
    const auto count = static_cast<std::uint16_t>(members.size());
    return bytes + directory + "PK\5\6" + raw(std::uint32_t{0}) + raw(count) + raw(count) +
           raw(static_cast<std::uint32_t>(directory.size())) + raw(static_cast<std::uint32_t>(bytes.size())) +
           raw(std::uint16_t{0});
}

/// Operations that leave one tensor on the stack.
struct View {
    std::string type = "FloatStorage";
    std::string storage = "0";
    std::string elements = small(6);
    std::string offset = small(0);
    std::string shape = small(2) + small(3) + "\x86";
    std::string strides = small(3) + small(1) + "\x86";

    std::string pickled() const {
        return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" + type + "\n" + text(storage) +
               text("cpu") + elements + "tQ" + offset + shape + strides + "\x89" + "ccollections\nOrderedDict\n)RtR";
    }
};

inline std::string dictionary(const std::string& items) {
    return "\x80\x02}(" + items + "u.";
}

inline std::string six_floats() {
    const float values[] = {0, 1, 2, 3, 4, 5};
    return {reinterpret_cast<const char*>(values), sizeof(values)};
}

inline std::string archive_of(const std::string& pickle) {
    return zip({{"t/data.pkl", pickle}, {"t/data/0", six_floats()}, {"t/version", "3\n"}});
}

inline std::string one_tensor(const View& view) {
    return archive_of(dictionary(text("a") + view.pickled()));
}

}  // namespace torch_bytes
