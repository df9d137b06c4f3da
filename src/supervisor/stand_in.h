/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For supervisor_test.c: what it becomes when the supervisor executes it as `service NAME`. What a stand-in is to do
 * lies in data_dir/NAME.do.
 */
#ifndef SUPERVISOR_STAND_IN_H
#define SUPERVISOR_STAND_IN_H

/* The connection that the stand-in of ssh speaks of. */
#define CONNECTION "11111111-2222-4333-8444-555555555555"

/* Returns the exit code. */
int stand_in_main(const char *name);

#endif
