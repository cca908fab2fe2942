# libarchive, zstd and zlib, linked statically. libarchive's shared library brings libxml2, ICU
# and four more for formats that are never read here, which cost a program more time to start than
# all else; of the static one only what is called is linked: tar.
function(sandboxrun_static_library target file)
  find_library(path NAMES ${file} REQUIRED NO_CACHE)
  add_library(${target} STATIC IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION ${path})
  target_link_libraries(${target} INTERFACE ${ARGN})
endfunction()

sandboxrun_static_library(Archives::zstd libzstd.a)
sandboxrun_static_library(Archives::zlib libz.a)
sandboxrun_static_library(Archives::libarchive libarchive.a Archives::zstd Archives::zlib)
# The tar writer calls this for an entry that is no file, folder or link, which is never given to it.
# Its definition lies beside the table of all formats and would bring them back, so it is replaced by
# a function that does nothing; the writer then returns its error without a text.
target_link_options(Archives::libarchive INTERFACE
  LINKER:--defsym=__archive_write_entry_filetype_unsupported=archive_version_number)

# As a shared library: Debian's static one crashes in its CRC64.
find_package(LibLZMA REQUIRED)
