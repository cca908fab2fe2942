/* Leaks on purpose: AddressSanitizer's leak check must find it, which takes ptrace among the run's
 * own processes. */
#include <stdlib.h>
#include <string.h>

int main(void) {
  volatile char* lost = malloc(100);
  memset((void*)lost, 1, 100);
  lost = NULL;
  return 0;
}
