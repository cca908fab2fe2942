/* Prints the open descriptors of this process, found without /proc and without opening any. */
#include <fcntl.h>
#include <stdio.h>

int main(void) {
  const char* separator = "";
  for (int fd = 0; fd < 8192; ++fd) {
    if (fcntl(fd, F_GETFD) < 0) continue;
    printf("%s%d", separator, fd);
    separator = " ";
  }
  puts("");
  return 0;
}
