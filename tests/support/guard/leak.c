/* Leaks on purpose: AddressSanitizer's leak check must find it, which takes ptrace among the run's
 * own processes. */
#include <stdlib.h>

int main(void) {
  /* Many, since the last one's address may linger in a register. */
  static void* volatile last;
  for (int i = 0; i < 100; ++i) last = malloc(100);
  last = NULL;
  return 0;
}
