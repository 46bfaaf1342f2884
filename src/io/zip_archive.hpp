// The part of the zip format that torch.save uses: members stored without compression in one top folder.
// Internal to src/io.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "binary_file.hpp"

namespace ladle {

/// Lists and reads the members of an archive. Throws DataError on compression, encryption, duplicate or odd names,
/// overlapping members, and where the two headers of a member disagree.
class ZipReader {
public:
    explicit ZipReader(const BinaryFile& file);
    bool has(const std::string& name) const { return members_.contains(name); }
    /// Bytes of a member; its checksum must hold. Names are without the top folder.
    std::vector<std::byte> read(const std::string& name) const;
    std::size_t size_of(const std::string& name) const;

private:
    struct Member {
        std::size_t header = 0;  ///< offset of the local header
        std::size_t data = 0;    ///< offset of the bytes
        std::size_t size = 0;
        std::uint32_t checksum = 0;
    };
    struct Directory {
        std::size_t offset = 0;
        std::size_t size = 0;
        std::size_t entries = 0;
    };
    Directory find_directory() const;
    void add_member(std::string_view record, std::string_view name, std::string_view extra);
    void check_local_header(Member& member, std::string_view name) const;
    void check_overlaps(std::size_t end) const;
    const Member& member(const std::string& name) const;

    const BinaryFile& file_;
    std::string top_;
    std::map<std::string, Member> members_;
};

/// Builds an archive in memory: no compression, no time stamps, data aligned to 64 bytes as torch does.
class ZipWriter {
public:
    explicit ZipWriter(std::string top_folder) : top_(std::move(top_folder)) {}
    void add(const std::string& name, std::string_view content);
    /// The finished archive; call once.
    std::string finish();

private:
    std::string top_;
    std::string bytes_;
    std::string directory_;
    std::uint16_t entries_ = 0;
};

}  // namespace ladle
