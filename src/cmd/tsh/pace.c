/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tsh/pace.h"

#include "base/compiler.h"

/* Of the recording, for the arrow keys. */
#define SKIP SECONDS(10)
/* What is left of a gap in which nothing happened. */
#define IDLE_LEFT MILLISECONDS(500)
/* Until a key is pressed. */
#define FOREVER ((struct duration){ -1 })

const char *const pace_speeds[] = { "0.5x", "1x", "2x", "4x", "8x", NULL };

/* Quarters of the recording's time that pass in a quarter of ours. */
static const struct {
        int64_t times, by;
} ratios[] = { { 1, 2 }, { 1, 1 }, { 2, 1 }, { 4, 1 }, { 8, 1 } };

struct error *pace_init(struct pace *p, const char *speed, bool is_idle_skipped, struct instant now)
{
        *p = (struct pace){ .is_idle_skipped = is_idle_skipped, .since = now };
        while (pace_speeds[p->speed] != NULL && strcmp(pace_speeds[p->speed], speed) != 0)
                p->speed++;
        if (pace_speeds[p->speed] == NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "there is no such speed");
        return NULL;
}

/* From here on time runs from what is shown. */
static void anchor(struct pace *p, struct instant now)
{
        p->from = p->shown;
        p->since = now;
}

struct duration pace_wait(struct pace *p, struct duration at, struct instant now)
{
        if (at.ns <= p->goal.ns) {
                p->from = p->goal;
                p->since = now;
                return (struct duration){ 0 };
        }
        if (p->is_paused)
                return FOREVER;
        if (p->is_idle_skipped && at.ns - p->shown.ns > IDLE_LEFT.ns) {
                /* As if it had been shown until shortly before. */
                int64_t cut = at.ns - p->shown.ns - IDLE_LEFT.ns;

                p->from.ns += cut;
                p->shown.ns += cut;
        }
        int64_t due = (at.ns - p->from.ns) / ratios[p->speed].times * ratios[p->speed].by;
        int64_t passed = instant_since(now, p->since).ns;
        return (struct duration){ due > passed ? due - passed : 0 };
}

void pace_shown(struct pace *p, struct duration at)
{
        p->shown = at;
}

/* How far we are, between two events too. */
static struct duration position(const struct pace *p, struct instant now)
{
        if (p->is_paused)
                return p->shown;
        return (struct duration){ p->from.ns + instant_since(now, p->since).ns / ratios[p->speed].by * ratios[p->speed].times };
}

enum pace_action pace_key(struct pace *p, enum pace_key key, struct instant now)
{
        struct duration here = position(p, now);

        if (here.ns < p->shown.ns)
                here = p->shown;
        switch (key) {
        case KEY_NONE:
                return PACE_GO_ON;
        case KEY_QUIT:
                return PACE_QUIT;
        case KEY_PAUSE:
                p->is_paused = !p->is_paused;
                break;
        case KEY_FASTER:
                p->speed += pace_speeds[p->speed + 1] != NULL ? 1 : 0;
                break;
        case KEY_SLOWER:
                p->speed -= p->speed > 0 ? 1 : 0;
                break;
        case KEY_FORWARD:
                p->goal.ns = here.ns + SKIP.ns;
                here = p->goal;
                break;
        case KEY_BACK:
                p->goal.ns = here.ns > SKIP.ns ? here.ns - SKIP.ns : 0;
                p->shown = p->from = (struct duration){ 0 };
                p->since = now;
                return PACE_REWIND;
        }
        p->shown = here;
        anchor(p, now);
        return PACE_GO_ON;
}

/* ---- keys ------------------------------------------------------------------------------------------------------ */

static const struct {
        struct str bytes;
        enum pace_key key;
} keys[] = {
        { STR_INIT("\x1b[A"), KEY_FASTER }, { STR_INIT("\x1b[B"), KEY_SLOWER }, { STR_INIT("\x1b[C"), KEY_FORWARD },
        { STR_INIT("\x1b[D"), KEY_BACK },   { STR_INIT("\x1bOA"), KEY_FASTER }, { STR_INIT("\x1bOB"), KEY_SLOWER },
        { STR_INIT("\x1bOC"), KEY_FORWARD }, { STR_INIT("\x1bOD"), KEY_BACK },  { STR_INIT(" "), KEY_PAUSE },
        { STR_INIT("p"), KEY_PAUSE },       { STR_INIT(","), KEY_BACK },        { STR_INIT("."), KEY_FORWARD },
        { STR_INIT("+"), KEY_FASTER },      { STR_INIT("-"), KEY_SLOWER },      { STR_INIT("q"), KEY_QUIT },
        { STR_INIT("\x03"), KEY_QUIT },     { STR_INIT("\x04"), KEY_QUIT },
};

enum pace_key pace_read_key(struct str *bytes)
{
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
                if (str_starts_with(*bytes, keys[i].bytes)) {
                        *bytes = str_slice(*bytes, keys[i].bytes.len, bytes->len);
                        return keys[i].key;
                }
        *bytes = str_slice(*bytes, 1, bytes->len);
        return KEY_NONE;
}
