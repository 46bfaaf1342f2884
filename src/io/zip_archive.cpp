// Zip records by hand. Source: PKWARE APPNOTE 6.3, sections 4.3 and 4.5.
#include "zip_archive.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstring>

namespace ladle {
namespace {

constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kCentralHeader = 0x02014b50;
constexpr std::uint32_t kEnd = 0x06054b50;
constexpr std::uint32_t kEnd64 = 0x06064b50;
constexpr std::uint32_t kEnd64Locator = 0x07064b50;
constexpr std::size_t kLocalBytes = 30;
constexpr std::size_t kCentralBytes = 46;
constexpr std::size_t kEndBytes = 22;
constexpr std::size_t kEnd64Bytes = 56;
constexpr std::size_t kLocatorBytes = 20;
constexpr std::uint32_t kSeeExtra = 0xffffffff;
constexpr std::size_t kMaxMembers = 1000000;
/// Bits of the flag word: 0 encryption, 3 sizes follow the data, 11 names are UTF-8.
constexpr std::uint16_t kSizesFollow = 1U << 3U;
constexpr std::uint16_t kAcceptedFlags = kSizesFollow | (1U << 11U);

template <class T>
T get(std::string_view bytes, std::size_t at) {
    T value{};
    std::memcpy(&value, bytes.data() + at, sizeof(T));
    return value;
}

template <class T>
void put(std::string& bytes, T value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

std::uint32_t checksum_of(const void* bytes, std::size_t count) {
    return static_cast<std::uint32_t>(crc32_z(0, static_cast<const Bytef*>(bytes), count));
}

/// Replaces values that say "see the zip64 field" by those of that field, in the order in which the format lists them.
bool take_zip64(std::string_view extra, std::vector<std::uint64_t*> wanted) {
    std::erase_if(wanted, [](const std::uint64_t* value) { return *value != kSeeExtra; });
    if (wanted.empty()) {
        return true;
    }
    while (extra.size() >= 4) {
        const auto id = get<std::uint16_t>(extra, 0);
        const std::size_t size = get<std::uint16_t>(extra, 2);
        if (size > extra.size() - 4) {
            return false;
        }
        if (id == 1) {
            for (std::size_t i = 0; i < wanted.size(); ++i) {
                if ((i + 1) * 8 > size) {
                    return false;
                }
                *wanted[i] = get<std::uint64_t>(extra, 4 + i * 8);
            }
            return true;
        }
        extra.remove_prefix(4 + size);
    }
    return false;
}

}  // namespace

ZipReader::ZipReader(const BinaryFile& file) : file_(file) {
    const Directory directory = find_directory();
    if (directory.entries > kMaxMembers || directory.entries > directory.size / kCentralBytes ||
        !file_.contains(directory.offset, directory.size)) {
        file_.refuse("its zip directory does not fit into the file");
    }
    const std::string records = file_.read_text(directory.offset, directory.size);
    std::string_view rest = records;
    for (std::size_t i = 0; i < directory.entries; ++i) {
        if (rest.size() < kCentralBytes || get<std::uint32_t>(rest, 0) != kCentralHeader) {
            file_.refuse("its zip directory is damaged");
        }
        const std::size_t name_size = get<std::uint16_t>(rest, 28);
        const std::size_t extra_size = get<std::uint16_t>(rest, 30);
        const std::size_t whole = kCentralBytes + name_size + extra_size + get<std::uint16_t>(rest, 32);
        if (whole > rest.size()) {
            file_.refuse("its zip directory is damaged");
        }
        add_member(rest.substr(0, kCentralBytes), rest.substr(kCentralBytes, name_size),
                   rest.substr(kCentralBytes + name_size, extra_size));
        rest.remove_prefix(whole);
    }
    if (!rest.empty()) {
        file_.refuse("its zip directory has surplus bytes");
    }
    check_overlaps(directory.offset);
}

ZipReader::Directory ZipReader::find_directory() const {
    // The end record may be followed by a comment of up to 65535 bytes; torch writes none.
    const std::size_t tail = std::min(file_.size(), kEndBytes);
    const std::string end = file_.read_text(file_.size() - tail, tail);
    if (tail < kEndBytes || get<std::uint32_t>(end, 0) != kEnd) {
        file_.refuse("it is no complete zip archive (truncated, or not made by torch.save)");
    }
    Directory found{get<std::uint32_t>(end, 16), get<std::uint32_t>(end, 12), get<std::uint16_t>(end, 10)};
    const std::size_t end_offset = file_.size() - kEndBytes;
    // A directory that does not lie just before the end records is not the one that other programs find.
    const auto check_place = [this](const Directory& directory, std::size_t end) {
        if (directory.offset > end || directory.size != end - directory.offset) {
            file_.refuse("its zip directory does not lie where it should");
        }
        return directory;
    };
    if (end_offset < kLocatorBytes) {
        return check_place(found, end_offset);
    }
    const std::string locator = file_.read_text(end_offset - kLocatorBytes, kLocatorBytes);
    if (get<std::uint32_t>(locator, 0) != kEnd64Locator) {
        return check_place(found, end_offset);
    }
    const auto end64_offset = get<std::uint64_t>(locator, 8);
    const std::string end64 = file_.read_text(end64_offset, kEnd64Bytes);
    if (get<std::uint32_t>(end64, 0) != kEnd64) {
        file_.refuse("its zip64 end record is damaged");
    }
    const Directory large{get<std::uint64_t>(end64, 48), get<std::uint64_t>(end64, 40), get<std::uint64_t>(end64, 32)};
    const auto agrees = [](std::size_t small, std::size_t big, std::size_t unknown) {
        return small == unknown || small == big;
    };
    if (!agrees(found.offset, large.offset, kSeeExtra) || !agrees(found.size, large.size, kSeeExtra) ||
        !agrees(found.entries, large.entries, 0xffff)) {
        file_.refuse("its two zip end records disagree");
    }
    return check_place(large, end64_offset);
}

void ZipReader::add_member(std::string_view record, std::string_view name, std::string_view extra) {
    const std::string shown(name);
    const auto flags = get<std::uint16_t>(record, 8);
    if (get<std::uint16_t>(record, 10) != 0 || (flags & ~kAcceptedFlags) != 0) {
        file_.refuse("member " + shown + " is compressed or encrypted", "re-save it with torch.save");
    }
    std::uint64_t packed = get<std::uint32_t>(record, 20);
    std::uint64_t size = get<std::uint32_t>(record, 24);
    std::uint64_t header = get<std::uint32_t>(record, 42);
    if (!take_zip64(extra, {&size, &packed, &header}) || packed != size) {
        file_.refuse("member " + shown + " has contradictory sizes");
    }
    const std::size_t slash = name.find('/');
    if (slash == std::string_view::npos || slash == 0 || name.find("..") != std::string_view::npos ||
        name.find('\\') != std::string_view::npos || name.find('\0') != std::string_view::npos ||
        (!members_.empty() && name.substr(0, slash) != top_)) {
        file_.refuse("member " + shown + " does not lie in one top folder as torch.save arranges it");
    }
    top_ = std::string(name.substr(0, slash));
    Member member{header, 0, size, get<std::uint32_t>(record, 16)};
    check_local_header(member, name);
    if (!members_.emplace(std::string(name.substr(slash + 1)), member).second) {
        file_.refuse("member " + shown + " occurs twice");
    }
}

void ZipReader::check_local_header(Member& member, std::string_view name) const {
    const std::string local = file_.read_text(member.header, kLocalBytes);
    const std::size_t name_size = get<std::uint16_t>(local, 26);
    const std::size_t extra_size = get<std::uint16_t>(local, 28);
    const auto flags = get<std::uint16_t>(local, 6);
    const auto checksum = get<std::uint32_t>(local, 14);
    const std::string rest = file_.read_text(member.header + kLocalBytes, name_size + extra_size);
    std::uint64_t packed = get<std::uint32_t>(local, 18);
    std::uint64_t size = get<std::uint32_t>(local, 22);
    const bool later = (flags & kSizesFollow) != 0 && checksum == 0 && (size == 0 || size == kSeeExtra);
    const bool same = take_zip64(std::string_view(rest).substr(name_size), {&size, &packed}) &&
                      checksum == member.checksum && size == member.size && packed == member.size;
    if (get<std::uint32_t>(local, 0) != kLocalHeader || get<std::uint16_t>(local, 8) != 0 ||
        (flags & ~kAcceptedFlags) != 0 || rest.substr(0, name_size) != name || (!later && !same)) {
        file_.refuse("the two headers of member " + std::string(name) + " disagree");
    }
    member.data = member.header + kLocalBytes + name_size + extra_size;
    if (!file_.contains(member.data, member.size)) {
        file_.refuse("member " + std::string(name) + " reaches beyond the end of the file");
    }
}

void ZipReader::check_overlaps(std::size_t end) const {
    std::vector<const Member*> sorted;
    for (const auto& [name, member] : members_) {
        sorted.push_back(&member);
    }
    std::sort(sorted.begin(), sorted.end(), [](const Member* a, const Member* b) { return a->header < b->header; });
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        const std::size_t next = i + 1 < sorted.size() ? sorted[i + 1]->header : end;
        if (sorted[i]->data + sorted[i]->size > next) {
            file_.refuse("its zip members overlap");
        }
    }
}

const ZipReader::Member& ZipReader::member(const std::string& name) const {
    const auto found = members_.find(name);
    if (found == members_.end()) {
        file_.refuse("its archive lacks the member " + name);
    }
    return found->second;
}

std::size_t ZipReader::size_of(const std::string& name) const {
    return member(name).size;
}

std::vector<std::byte> ZipReader::read(const std::string& name) const {
    const Member& found = member(name);
    auto bytes = file_.read(found.data, found.size);
    if (checksum_of(bytes.data(), bytes.size()) != found.checksum) {
        file_.refuse("the checksum of member " + name + " does not match: the file is damaged");
    }
    return bytes;
}

void ZipWriter::add(const std::string& name, std::string_view content) {
    constexpr std::size_t kAlignment = 64;
    constexpr std::uint16_t kVersion = 20;
    constexpr std::uint16_t kFirstDay = 0x0021;  // 1 January 1980, the format's zero
    const std::string path = top_ + "/" + name;
    const std::size_t header = bytes_.size();
    const std::size_t unpadded = header + kLocalBytes + path.size() + 4;
    const std::size_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
    const std::uint32_t checksum = checksum_of(content.data(), content.size());
    const auto put_common = [&](std::string& to) {
        put<std::uint16_t>(to, kVersion);
        put<std::uint16_t>(to, 1U << 11U);
        put<std::uint16_t>(to, 0);
        put<std::uint16_t>(to, 0);
        put<std::uint16_t>(to, kFirstDay);
        put<std::uint32_t>(to, checksum);
        put<std::uint32_t>(to, static_cast<std::uint32_t>(content.size()));
        put<std::uint32_t>(to, static_cast<std::uint32_t>(content.size()));
        put<std::uint16_t>(to, static_cast<std::uint16_t>(path.size()));
    };
    put<std::uint32_t>(bytes_, kLocalHeader);
    put_common(bytes_);
    put<std::uint16_t>(bytes_, static_cast<std::uint16_t>(4 + padding));
    bytes_ += path;
    bytes_ += "FB";
    put<std::uint16_t>(bytes_, static_cast<std::uint16_t>(padding));
    bytes_.append(padding, 'Z');
    bytes_ += content;

    put<std::uint32_t>(directory_, kCentralHeader);
    put<std::uint16_t>(directory_, kVersion);
    put_common(directory_);
    for (int i = 0; i < 4; ++i) {
        put<std::uint16_t>(directory_, 0);  // extra field, comment, disk, attributes
    }
    put<std::uint32_t>(directory_, 0);
    put<std::uint32_t>(directory_, static_cast<std::uint32_t>(header));
    directory_ += path;
    ++entries_;
}

std::string ZipWriter::finish() {
    const auto offset = static_cast<std::uint32_t>(bytes_.size());
    bytes_ += directory_;
    put<std::uint32_t>(bytes_, kEnd);
    put<std::uint32_t>(bytes_, 0);  // disk numbers
    put<std::uint16_t>(bytes_, entries_);
    put<std::uint16_t>(bytes_, entries_);
    put<std::uint32_t>(bytes_, static_cast<std::uint32_t>(directory_.size()));
    put<std::uint32_t>(bytes_, offset);
    put<std::uint16_t>(bytes_, 0);
    return std::move(bytes_);
}

}  // namespace ladle
