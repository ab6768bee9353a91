// Files that are there as a whole or not at all, whatever fails and whenever the power goes.
#pragma once

#include <string>
#include <string_view>

namespace engine {

// Names of unfinished files start so. One that a killed process left may be deleted when no process writes to the
// folder.
inline constexpr std::string_view kTemporaryPrefix = ".tmp-";

// Puts a file with these bytes at `path`, replacing what is there: written beside it under a temporary name, flushed to
// the device, read back, compared and renamed; then the folder is flushed. When this returns, the file is complete and
// survives a power cut. Throws Error (kStorage) that names the path, the step, the reason and what is kept; the old
// file is then untouched and the temporary one gone. Only when the folder cannot be flushed, the last step, is the new
// file there all the same.
//
// A full disk is noticed before the first byte is written. A program that runs under a file size limit must ignore
// SIGXFSZ to get the Error instead of the signal. A symbolic link at `path` is replaced, not followed.
void write_file_atomically(const std::string& path, std::string_view bytes);

}  // namespace engine
