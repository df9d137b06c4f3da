/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tsh/pace.h"

#include "base/compiler.h"

/* The arrow keys move the position by this time of the recording. */
#define SKIP SECONDS(10)
/* The length to which an idle gap is shortened. */
#define IDLE_LEFT MILLISECONDS(500)
/* The wait until a key is pressed. */
#define FOREVER ((struct duration){ -1 })

const char *const pace_speeds[] = { "0.5x", "1x", "2x", "4x", "8x", NULL };

/* At each speed, `times` of the recording's time pass in `by` of real time. */
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

/* From here on, time runs from the current position. */
static void anchor(struct pace *p, struct instant now)
{
        p->from = p->shown;
        p->since = now;
}

struct duration pace_wait(struct pace *p, struct duration at, struct instant now)
{
        if (at.ns <= p->target.ns) {
                p->from = p->target;
                p->since = now;
                return (struct duration){ 0 };
        }
        if (p->is_paused)
                return FOREVER;
        if (p->is_idle_skipped && at.ns - p->shown.ns > IDLE_LEFT.ns) {
                /* Continues as if the gap had been shown except for its last part. */
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

/* The current position, also between two events. */
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
                p->target.ns = here.ns + SKIP.ns;
                here = p->target;
                break;
        case KEY_BACK:
                p->target.ns = here.ns > SKIP.ns ? here.ns - SKIP.ns : 0;
                p->shown = p->from = (struct duration){ 0 };
                p->since = now;
                return PACE_REWIND;
        }
        p->shown = here;
        anchor(p, now);
        return PACE_GO_ON;
}

enum pace_action pace_resume(struct pace *p, struct instant now)
{
        if (p->target.ns < p->shown.ns)
                p->target = p->shown;
        p->shown = p->from = (struct duration){ 0 };
        p->since = now;
        return PACE_REWIND;
}

/* ---- keys ------------------------------------------------------------------------------------------------------ */

static enum pace_key key_of_letter(char c)
{
        switch (c) {
        case ' ':
        case 'p':
                return KEY_PAUSE;
        case ',':
                return KEY_BACK;
        case '.':
                return KEY_FORWARD;
        case '+':
                return KEY_FASTER;
        case '-':
                return KEY_SLOWER;
        case 'q':
        case '\x03':
        case '\x04':
                return KEY_QUIT;
        default:
                return KEY_NONE;
        }
}

static enum pace_key key_of_arrow(char final)
{
        static const enum pace_key arrows[] = { KEY_FASTER, KEY_SLOWER, KEY_FORWARD, KEY_BACK };

        return final >= 'A' && final <= 'D' ? arrows[final - 'A'] : KEY_NONE;
}

/* ECMA-48: a control sequence ends with a byte from '@' to '~', a control string with BEL (xterm) or ESC '\'. */
static enum pace_key read_byte(struct key_reader *r, char c)
{
        switch (r->state) {
        case KEY_READER_PLAIN:
                if (c != '\x1b')
                        return key_of_letter(c);
                r->state = KEY_READER_ESCAPE;
                return KEY_NONE;
        case KEY_READER_ESCAPE:
                r->state = c == '[' ? KEY_READER_CSI : c == 'O' ? KEY_READER_SS3 : KEY_READER_PLAIN;
                if (c != '\0' && strchr("P]_^X", c) != NULL)
                        r->state = KEY_READER_STRING;
                r->has_parameters = false;
                return KEY_NONE;
        case KEY_READER_CSI:
                if (c < '@' || c > '~') {
                        r->has_parameters = true;
                        return KEY_NONE;
                }
                r->state = KEY_READER_PLAIN;
                return r->has_parameters ? KEY_NONE : key_of_arrow(c);
        case KEY_READER_SS3:
                r->state = KEY_READER_PLAIN;
                return key_of_arrow(c);
        case KEY_READER_STRING:
                r->state = c == '\a' ? KEY_READER_PLAIN : c == '\x1b' ? KEY_READER_STRING_ESCAPE : KEY_READER_STRING;
                return KEY_NONE;
        case KEY_READER_STRING_ESCAPE:
                r->state = c == '\\' ? KEY_READER_PLAIN : KEY_READER_STRING;
                return KEY_NONE;
        }
        return KEY_NONE;
}

enum pace_key pace_read_key(struct key_reader *r, struct str *bytes)
{
        enum pace_key key = KEY_NONE;

        while (!str_is_empty(*bytes) && key == KEY_NONE) {
                key = read_byte(r, bytes->ptr[0]);
                *bytes = str_slice(*bytes, 1, bytes->len);
        }
        return key;
}
