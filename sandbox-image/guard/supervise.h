#pragma once

#include "options.h"
#include "record.h"

/* Runs the steps and the command to their end, with nothing of the run left alive afterwards, and
 * fills stage, cause, code and what belongs to them. Blocks signals for good. */
void supervise(const struct guard_options* options, struct guard_record* record);
