#include "text.h"

#include <stdio.h>
#include <string.h>

static const char kReplacement[] = "\xEF\xBF\xBD";

void text_append(struct text* text, const char* bytes, size_t count) {
  if (count > text->size - text->length) {
    text->overflow = 1;
    return;
  }
  memcpy(text->data + text->length, bytes, count);
  text->length += count;
}

void text_append_string(struct text* text, const char* string) {
  text_append(text, string, strlen(string));
}

void text_append_number(struct text* text, long long number) {
  char digits[24];
  snprintf(digits, sizeof digits, "%lld", number);
  text_append_string(text, digits);
}

size_t text_utf8_length(const char* bytes, size_t count) {
  const unsigned char* b = (const unsigned char*)bytes;
  if (count == 0) return 0;
  if (b[0] < 0x80) return 1;
  size_t length = b[0] >= 0xC2 && b[0] <= 0xDF   ? 2
                  : b[0] >= 0xE0 && b[0] <= 0xEF ? 3
                  : b[0] >= 0xF0 && b[0] <= 0xF4 ? 4
                                                 : 0;
  if (length == 0 || length > count) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((b[i] & 0xC0) != 0x80) return 0;
  }
  if (b[0] == 0xE0 && b[1] < 0xA0) return 0; /* overlong */
  if (b[0] == 0xED && b[1] > 0x9F) return 0; /* surrogate */
  if (b[0] == 0xF0 && b[1] < 0x90) return 0; /* overlong */
  if (b[0] == 0xF4 && b[1] > 0x8F) return 0; /* beyond U+10FFFF */
  return length;
}

/* Writes the JSON form of one character to `form` and returns its length. */
static size_t json_form(const char* bytes, size_t count, size_t* consumed, char form[8]) {
  size_t length = text_utf8_length(bytes, count);
  unsigned char first = (unsigned char)bytes[0];
  *consumed = length == 0 ? 1 : length;
  if (length == 0) {
    memcpy(form, kReplacement, 3);
    return 3;
  }
  if (first == '"' || first == '\\') {
    form[0] = '\\';
    form[1] = (char)first;
    return 2;
  }
  if (first == '\n' || first == '\t') {
    form[0] = '\\';
    form[1] = first == '\n' ? 'n' : 't';
    return 2;
  }
  if (first < 0x20 || first == 0x7F) {
    snprintf(form, 8, "\\u%04x", first);
    return 6;
  }
  memcpy(form, bytes, length);
  return length;
}

size_t text_json_cost(const char* bytes, size_t count, size_t* consumed) {
  char form[8];
  return json_form(bytes, count, consumed, form);
}

void text_append_json(struct text* text, const char* bytes, size_t count) {
  while (count > 0) {
    char form[8];
    size_t consumed = 0;
    size_t length = json_form(bytes, count, &consumed, form);
    text_append(text, form, length);
    bytes += consumed;
    count -= consumed;
  }
}

void text_printable(const char* string, char* to, size_t to_size) {
  size_t i = 0;
  for (; string[i] != '\0' && i + 1 < to_size; ++i) {
    to[i] = string[i] >= 0x20 && string[i] < 0x7F ? string[i] : '?';
  }
  to[i] = '\0';
}
