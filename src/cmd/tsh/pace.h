/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timing of a recording that is played: speed, pauses, skips. Pure functions; the caller passes the time.
 */
#ifndef CMD_TSH_PACE_H
#define CMD_TSH_PACE_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

struct pace {
        size_t speed;            /* row of the table of speeds */
        bool is_idle_skipped;    /* gaps are cut to half a second */
        bool is_paused;
        struct duration shown;   /* the position up to which the recording was shown */
        struct duration target;  /* everything before it is shown at once */
        /* `from` of the recording is shown at `since` */
        struct duration from;
        struct instant since;
};

/* speed: "1x", "0.5x" … */
struct error *pace_init(struct pace *p, const char *speed, bool is_idle_skipped, struct instant now) MUST_USE;
extern const char *const pace_speeds[]; /* NULL-terminated */

/* The time to wait before the event `at` is shown; negative: until a key is pressed. */
struct duration pace_wait(struct pace *p, struct duration at, struct instant now);
/* The event is shown. */
void pace_shown(struct pace *p, struct duration at);

enum pace_action {
        PACE_GO_ON,
        PACE_QUIT,
        PACE_REWIND, /* start again; everything before the goal is shown at once */
};
/* Handles a pressed key, one of enum pace_key. */
enum pace_key { KEY_NONE, KEY_PAUSE, KEY_BACK, KEY_FORWARD, KEY_FASTER, KEY_SLOWER, KEY_QUIT };
enum pace_action pace_key(struct pace *p, enum pace_key key, struct instant now);
/* The terminal had other output meanwhile: starts again, up to the current position. */
enum pace_action pace_resume(struct pace *p, struct instant now);

/*
 * Reads keys from a terminal's bytes, across reads. Answers of the terminal to queries in a recording (control
 * sequences with parameters and control strings) are no keys. A zeroed reader is ready.
 */
struct key_reader {
        enum {
                KEY_READER_PLAIN,
                KEY_READER_ESCAPE,
                KEY_READER_CSI,
                KEY_READER_SS3,
                KEY_READER_STRING,
                KEY_READER_STRING_ESCAPE,
        } state;
        bool has_parameters;
};

/* Consumes bytes until a key is complete, which is returned; KEY_NONE if there is none. */
enum pace_key pace_read_key(struct key_reader *r, struct str *bytes);

#endif
