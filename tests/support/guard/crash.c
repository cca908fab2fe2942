/* A program for a debugger to stop in. */
#include <stdio.h>

__attribute__((noinline)) int answer(int question) {
  volatile int result = question * 6;
  return result;
}

int main(void) {
  printf("answer %d\n", answer(7));
  return 0;
}
