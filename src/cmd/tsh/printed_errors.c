/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tsh/printed_errors.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"

bool printed_errors_note(struct printed_errors *s, const struct error *err, struct instant now)
{
        for (size_t i = 0; i < PRINTED_ERRORS_MAX; i++)
                if (s->texts[i].text != NULL && strcmp(s->texts[i].text, err->what) == 0) {
                        bool is_due = instant_since(now, s->texts[i].at).ns >= MILLISECONDS(PACE_APP_REFUSAL).ns;

                        if (is_due)
                                s->texts[i].at = now;
                        return is_due;
                }
        free(s->texts[s->next].text);
        s->texts[s->next].text = str_dup(str_of(err->what));
        s->texts[s->next].at = now;
        s->next = (s->next + 1) % PRINTED_ERRORS_MAX;
        return true;
}

void printed_errors_release(struct printed_errors *s)
{
        for (size_t i = 0; i < PRINTED_ERRORS_MAX; i++)
                free(s->texts[i].text);
        *s = (struct printed_errors){ 0 };
}
