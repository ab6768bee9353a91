#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "io/crc32c.h"
#include "io/descriptor.h"
#include "io/safetensors.h"
#include "io/safetensors_header.h"
#include "io/text.h"

namespace engine {
namespace {

using namespace safetensors;

static_assert(std::endian::native == std::endian::little, "the format is little-endian and elements are not swapped");

constexpr size_t kHeadBytes = 512;  // enough to recognise other formats by

// What a file really is that is not safetensors; empty when unknown.
std::string_view other_format(std::string_view head) {
  if (head.starts_with("PK") && head.find(".npy") != std::string_view::npos) return "npz";
  if (head.starts_with("PK") || head.starts_with("\x80\x02")) return "a PyTorch pickle";
  if (head.starts_with("GGUF")) return "GGUF";
  if (head.starts_with("\x89HDF\r\n\x1a\n")) return "HDF5";
  if (head.starts_with("\x1f\x8b")) return "gzip";
  return {};
}

// A regular file that must not change while it is read. Not mapped into memory: a file cut short under a mapping kills
// the process.
class InputFile {
 public:
  InputFile(const std::string& path, const std::string& what) : where_(concat(what, " '", escaped(path), "'")) {
    // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
    const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    if (!file_.open(retry([&] { return ::open(path.c_str(), flags); }))) {
      const int error = errno;
      struct stat link;
      if (error == ENOENT && ::lstat(path.c_str(), &link) == 0) refuse("not a regular file (a link to nothing)");
      unreadable(error);
    }
    opened_ = status();
    if (!S_ISREG(opened_.st_mode)) refuse("not a regular file");
  }

  uint64_t size() const { return static_cast<uint64_t>(opened_.st_size); }
  const std::string& where() const { return where_; }

  void read(uint64_t offset, void* memory, uint64_t bytes) const {
    auto* to = static_cast<char*>(memory);
    while (bytes > 0) {
      const ssize_t count = retry([&] { return ::pread(file_.get(), to, bytes, static_cast<off_t>(offset)); });
      if (count < 0) unreadable(errno);
      if (count == 0) refuse("file changed while reading");
      to += count;
      offset += static_cast<uint64_t>(count);
      bytes -= static_cast<uint64_t>(count);
    }
  }

  void check_unchanged() const {
    const struct stat now = status();
    if (now.st_size != opened_.st_size || now.st_mtim.tv_sec != opened_.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != opened_.st_mtim.tv_nsec)
      refuse("file changed while reading");
  }

  [[noreturn]] void refuse(const std::string& why) const { throw Error(where_ + ": " + why, exit_code::kCheckpoint); }

 private:
  struct stat status() const {
    struct stat result;
    if (::fstat(file_.get(), &result) != 0) unreadable(errno);
    return result;
  }

  [[noreturn]] void unreadable(int error) const {
    throw Error(where_ + ": cannot be read: " + std::generic_category().message(error), exit_code::kNoInput);
  }

  std::string where_;
  Descriptor file_;
  struct stat opened_ {};
};

// The header's text, once its length is believable.
std::string read_header_text(const InputFile& file) {
  const uint64_t size = file.size();
  if (size == 0) file.refuse("empty file");
  if (size < kLengthBytes) file.refuse(concat("only ", size, " bytes, header length needs ", kLengthBytes));
  std::string head(std::min<uint64_t>(size, kHeadBytes), '\0');
  file.read(0, head.data(), head.size());

  uint64_t length = 0;
  std::memcpy(&length, head.data(), kLengthBytes);
  const bool fits = length >= kMinHeader && length <= kMaxHeader && length <= size - kLengthBytes;
  if (const std::string_view kind = other_format(head); !kind.empty() && (!fits || head[kLengthBytes] != '{'))
    file.refuse(concat("looks like ", kind, ", not safetensors; convert it first"));
  if (length < kMinHeader) file.refuse(concat("header length ", length, " is too small"));
  if (length > kMaxHeader) file.refuse(concat("header of ", length, " bytes exceeds the limit of ", kMaxHeader));
  if (!fits) file.refuse(concat("header says ", length, " bytes, file has ", size - kLengthBytes, "; truncated?"));

  std::string text(length, '\0');
  file.read(kLengthBytes, text.data(), length);
  return text;
}

}  // namespace

TensorFile read_safetensors(const std::string& path, const std::string& what) {
  const InputFile file(path, what);
  const std::string text = read_header_text(file);
  const uint64_t data = kLengthBytes + text.size();
  Header header = parse_header(text, file.size() - data, file.where());

  TensorFile result{std::move(header.metadata), {}};
  for (size_t i = 0; i < header.entries.size(); ++i) {
    const Entry& entry = header.entries[i];
    const Tensor tensor = Tensor::empty(entry.shape, entry.dtype);
    file.read(data + entry.begin, tensor.memory(), tensor.bytes());
    const uint32_t checksum = crc32c({static_cast<const char*>(tensor.memory()), tensor.bytes()});
    if (!header.checksums.empty() && checksum != header.checksums[i])
      file.refuse(concat("tensor '", entry.name, "' damaged (crc32c ", checksum_text(checksum), " expected ",
                         checksum_text(header.checksums[i]), ")"));
    result.tensors.push_back({entry.name, tensor});
  }
  file.check_unchanged();
  return result;
}

}  // namespace engine
