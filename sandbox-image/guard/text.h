#pragma once

#include <stddef.h>

/* A bounded buffer; what doesn't fit is cut off and `overflow` says so. */
struct text {
  char* data;
  size_t size;
  size_t length;
  int overflow;
};

void text_append(struct text* text, const char* bytes, size_t count);
void text_append_string(struct text* text, const char* string);
void text_append_number(struct text* text, long long number);

/* Appends `bytes` as the inside of a JSON string: control characters, quotes and backslashes
 * escaped, each byte that is not part of valid UTF-8 replaced by U+FFFD. */
void text_append_json(struct text* text, const char* bytes, size_t count);

/* Bytes of the UTF-8 sequence at `bytes` (RFC 3629), or 0 if it is not one. */
size_t text_utf8_length(const char* bytes, size_t count);

/* How many bytes text_append_json adds for the character at `bytes`; *consumed is its length. */
size_t text_json_cost(const char* bytes, size_t count, size_t* consumed);

/* Copies `string` with everything but printable ASCII as '?', cut to fit. */
void text_printable(const char* string, char* to, size_t to_size);
