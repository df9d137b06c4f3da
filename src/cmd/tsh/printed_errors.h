/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The errors that were printed: each text is printed once in PACE_APP_REFUSAL, so that a program that connects in a loop does not fill the
 * terminal. The last PRINTED_ERRORS_MAX texts are remembered.
 */
#ifndef CMD_TSH_PRINTED_ERRORS_H
#define CMD_TSH_PRINTED_ERRORS_H

#include "base/clock.h"
#include "base/error.h"

enum { PRINTED_ERRORS_MAX = 16 };

/* A zeroed struct is empty. */
struct printed_errors {
        struct {
                char *text;
                struct instant at;
        } texts[PRINTED_ERRORS_MAX];
        size_t next; /* the oldest */
};

bool printed_errors_note(struct printed_errors *s, const struct error *err, struct instant now);
void printed_errors_release(struct printed_errors *s);

#endif
