/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fake service process for supervisor_test.c: the test program acts as this when the supervisor executes it as `service
 * NAME`. The file data_dir/NAME.do contains its instructions.
 */
#ifndef SUPERVISOR_STAND_IN_H
#define SUPERVISOR_STAND_IN_H

/* The connection ID that the fake service ssh uses. */
#define CONNECTION "11111111-2222-4333-8444-555555555555"

/* Returns the exit code. */
int stand_in_main(const char *name);

#endif
