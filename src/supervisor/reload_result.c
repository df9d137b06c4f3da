/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/reload_result.h"

#include "base/mem.h"

static void put_causes(struct buf *out, const struct error *err)
{
        for (const struct error *cause = err->cause; cause != NULL; cause = cause->cause)
                buf_printf(out, "; because %s", cause->what);
}

void reload_result_put(struct buf *out, const struct error *err, struct str text)
{
        buf_put_c(out, err == NULL ? "applied" : "refused");
        buf_put_char(out, '\0');
        if (err == NULL) {
                buf_put(out, text);
                return;
        }
        buf_put_c(out, err->what);
        put_causes(out, err);
        buf_put_char(out, '\0');
        buf_put_c(out, err->hint == NULL ? "" : err->hint);
}

/* Control characters would change the operator's terminal; several mistakes are on lines of their own. */
static bool is_text(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (((unsigned char)s.ptr[i] < 0x20 && s.ptr[i] != '\n') || s.ptr[i] == 0x7f)
                        return false;
        return true;
}

struct error *reload_result_parse(struct str bytes, struct str *ret_text)
{
        struct str rest = bytes, verb = str_split(&rest, '\0');

        *ret_text = STR("");
        if (str_equal(verb, STR("applied")) && verb.len < bytes.len && is_text(rest)) {
                *ret_text = rest;
                return NULL;
        }
        struct str what = str_split(&rest, '\0');
        bool is_whole = what.len > 0 && verb.len + 1 + what.len < bytes.len;
        if (!str_equal(verb, STR("refused")) || !is_whole || !is_text(what) || !is_text(rest))
                return error_hint(error_new(ERROR_UNAVAILABLE, "teleport has ended before the result of the reload"),
                                  "its log says why: journalctl -u teleport");
        struct error *err = error_new(ERROR_FAILED_PRECONDITION, "%.*s", STR_ARG(what));
        return rest.len == 0 ? err : error_hint(err, "%.*s", STR_ARG(rest));
}
