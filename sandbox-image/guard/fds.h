#pragma once

/* Closes every descriptor from 3 up but `keep` (-1: none). Works with a full table: it needs no
 * free descriptor, no /proc and no close_range(2), though it is faster with them. */
void fds_close_all_but(int keep);

/* Opens /dev/null on each of 0, 1 and 2 that is closed. 0, or -1 and errno. */
int fds_fill_standard(void);
