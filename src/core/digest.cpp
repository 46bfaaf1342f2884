// SHA-256 through OpenSSL's EVP interface.
#include "ladle/core/digest.hpp"

#include <openssl/evp.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <vector>

#include "ladle/core/check.hpp"

namespace ladle {

struct Digest::State {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    ~State() { EVP_MD_CTX_free(context); }
};

Digest::Digest() : state_(std::make_unique<State>()) {
    check(state_->context != nullptr && EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1,
          "OpenSSL offers SHA-256");
}

Digest::~Digest() = default;

Digest& Digest::add(const void* bytes, std::size_t count) {
    check(EVP_DigestUpdate(state_->context, bytes, count) == 1, "SHA-256 accepts more bytes");
    return *this;
}

Digest& Digest::add_text(std::string_view text) {
    const std::uint64_t length = text.size();
    add(&length, sizeof(length));
    return add(text.data(), text.size());
}

std::string Digest::finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
    unsigned int length = 0;
    check(EVP_DigestFinal_ex(state_->context, raw.data(), &length) == 1, "SHA-256 finishes");
    constexpr const char* kDigits = "0123456789abcdef";
    std::string text;
    for (unsigned int i = 0; i < length; ++i) {
        text += kDigits[raw.at(i) >> 4U];
        text += kDigits[raw.at(i) & 15U];
    }
    return text;
}

std::string file_digest(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw DataError("cannot read " + path, std::strerror(errno), "check the path and its permissions");
    }
    Digest digest;
    std::vector<char> block(std::size_t{1} << 20U);
    while (file) {
        file.read(block.data(), static_cast<std::streamsize>(block.size()));
        digest.add(block.data(), static_cast<std::size_t>(file.gcount()));
    }
    return digest.finish();
}

}  // namespace ladle
