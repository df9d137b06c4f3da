/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/status.h"

#include "base/text.h"

enum { SHOWN_MAX = 12 * STATUS_TEXT_MAX }; /* upper bound of an escaped text */

#define HINT_MARK "\nhint: "

static size_t index_of_hint(struct str text)
{
        struct str mark = STR(HINT_MARK);

        for (size_t i = 0; i + mark.len <= text.len; i++)
                if (memcmp(text.ptr + i, mark.ptr, mark.len) == 0)
                        return i;
        return text.len;
}

void status_put_text(struct buf *out, const struct error *err)
{
        struct str what = str_slice(str_of(err->what), 0, STATUS_TEXT_MAX / 2);
        struct str hint = str_slice(str_of(err->hint), 0, STATUS_TEXT_MAX / 2 - (sizeof HINT_MARK - 1));

        buf_put(out, what);
        if (hint.len > 0) {
                buf_put_c(out, HINT_MARK);
                buf_put(out, hint);
        }
}

/* Like escape_text, but leaves backslashes alone: escapes of the peer are not escaped again at every hop. */
static void put_shown(struct buf *out, struct str foreign)
{
        while (foreign.len > 0) {
                size_t cut = str_find_char(foreign, '\\');

                escape_text(out, str_slice(foreign, 0, cut), STATUS_TEXT_MAX);
                if (cut < foreign.len)
                        buf_put_char(out, '\\');
                foreign = str_slice(foreign, cut + 1, foreign.len);
        }
}

struct error *status_to_error(uint64_t code, struct str text)
{
        enum error_code known = code >= ERROR_CANCELLED && code <= ERROR_UNAUTHENTICATED ? (enum error_code)code
                                                                                          : ERROR_UNKNOWN;
        text = str_slice(text, 0, STATUS_TEXT_MAX);
        size_t cut = index_of_hint(text);
        struct str hint = str_slice(text, cut + sizeof HINT_MARK - 1, text.len);
        AUTO(buf) what = BUF_MAX(SHOWN_MAX);
        AUTO(buf) shown_hint = BUF_MAX(SHOWN_MAX);

        put_shown(&what, str_slice(text, 0, cut));
        if (what.len == 0)
                buf_printf(&what, "the peer answered %s without saying why", error_code_name(known));
        struct error *err = error_new(known, "%s", buf_c(&what));
        if (hint.len > 0) {
                put_shown(&shown_hint, hint);
                err = error_hint(err, "%s", buf_c(&shown_hint));
        }
        return err;
}
