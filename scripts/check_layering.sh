#!/bin/sh
# Checks which folder includes what, the length of lines and the size of the core; prints one line per fault.
#   scripts/check_layering.sh [SOURCE_FOLDER]
#
#   kernels  <-  engine  <-  { layers, io }  <-  train          bench and tests include everything, nobody includes them
#
# oneDNN belongs to kernels/cpu/onednn.*, NVIDIA's headers to kernels/cuda/, FFmpeg to io/*.cpp. The core (kernels,
# engine, layers without layers/models) stays within 10,000 lines of code, not counting blank lines and comments.
set -eu
cd "${1:-$(dirname "$0")/..}"

folders=
for folder in kernels engine layers io train bench tests; do
  if [ -d "$folder" ]; then folders="$folders $folder"; fi
done
# shellcheck disable=SC2086  # the list is meant to be split
find $folders -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) | sort | LC_ALL=C awk '
  function fault(place, why) {
    print place ": " why
    faults++
  }
  # The part of the tree that a file counts as: its folder, with kernels/cpu and kernels/cuda apart.
  function area_of(path) {
    if (path ~ /^kernels\/(cpu|cuda)\//) { sub(/^kernels\//, "", path); sub(/\/.*/, "", path); return "kernels/" path }
    sub(/\/.*/, "", path)
    return path
  }
  function ours_allowed(area, name) {
    if (name ~ /\.\./) return 0
    return name ~ ours[area]
  }
  # Why `file` may not include <name>; empty where it may.
  function foreign_fault(area, file, name) {
    if (area ~ /^(bench|tests)$/) return ""
    if (name ~ /^(oneapi\/)?dnnl/ && file !~ /^kernels\/cpu\/onednn[^\/]*$/) return "oneDNN belongs to kernels/cpu/onednn.*"
    if (name ~ /^(cuda|cudnn|cublas|cufft|curand|cusparse|nccl|nv[a-zA-Z0-9]|cub\/|thrust\/|cute\/|cutlass\/|mma\.h|cooperative_groups)/ \
        && area != "kernels/cuda") return "NVIDIA headers belong to kernels/cuda/"
    if (name ~ /^lib(av|sw|post)[a-z]*\// && file !~ /^io\/.*\.cpp$/) return "FFmpeg belongs to io/*.cpp"
    if (area ~ /^(kernels|engine|layers)$/ && name !~ /^[a-z_]+[0-9]*$/) return "only the standard library is for " area "/"
    return ""
  }
  function check_include(area, line,   name) {
    name = line
    sub(/^[ \t]*#[ \t]*include[ \t]*/, "", name)
    if (name ~ /^"/) {
      sub(/^"/, "", name); sub(/".*/, "", name)
      if (!ours_allowed(area, name)) fault(path ":" number, "\"" name "\" is not for " area "/")
    } else if (name ~ /^</) {
      sub(/^</, "", name); sub(/>.*/, "", name)
      why = foreign_fault(area, path, name)
      if (why != "") fault(path ":" number, "<" name ">: " why)
    }
  }
  # Counts the line unless it is blank or nothing but comment.
  function count_code(area, line) {
    gsub(/[ \t\r]/, "", line)
    if (in_comment) {
      if (line !~ /\*\//) return
      in_comment = 0
      sub(/.*\*\//, "", line)
    }
    if (line ~ /^\/\*/) {
      if (line !~ /\*\//) { in_comment = 1; return }
      sub(/^\/\*.*\*\//, "", line)
    }
    if (line != "" && line !~ /^\/\//) code[path ~ /^layers\/models\// ? "layers/models" : area]++
  }
  function check_file(   area, line, width) {
    area = area_of(path)
    number = in_comment = 0
    while ((getline line < path) > 0) {
      number++
      width = line
      gsub(/[\200-\277]/, "", width)  # the second and later bytes of a UTF-8 character
      if (length(width) > 120) fault(path ":" number, length(width) " columns, more than 120")
      if (line ~ /^[ \t]*#[ \t]*include/) check_include(area, line)
      count_code(area, line)
    }
    close(path)
    if (number > 400) long_files = long_files "\n  " path " (" number ")"
  }
  BEGIN {
    ours["kernels"] = "^kernels/[^/]+$"
    ours["kernels/cpu"] = "^kernels/(cpu/)?[^/]+$"
    ours["kernels/cuda"] = "^kernels/(cuda/)?[^/]+$"
    ours["engine"] = "^(engine/.+|kernels/[^/]+)$"
    ours["layers"] = "^(layers|engine)/"
    ours["io"] = "^(io|engine)/"
    ours["train"] = "^(train|layers|io|engine)/"
    ours["bench"] = ours["tests"] = "."
  }
  { path = $0; files++; check_file() }
  END {
    if (!files) fault(".", "no source files")
    core = code["kernels"] + code["kernels/cpu"] + code["kernels/cuda"] + code["engine"] + code["layers"]
    split("kernels kernels/cpu kernels/cuda engine layers layers/models io train bench tests", order, " ")
    print "lines of code:"
    for (i = 1; i <= 10; i++) printf "  %-13s %6d\n", order[i], code[order[i]]
    printf "  %-13s %6d of 10000 (kernels, engine, layers without models)\n", "core", core
    if (long_files != "") print "files over 400 lines:" long_files
    if (core > 10000) fault("core", core " lines of code, more than 10000")
    print faults ? "layering: " faults " faults" : "layering: no fault in " files " files"
    exit faults ? 1 : 0
  }'
