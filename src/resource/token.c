/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/token.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "resource/head.h"
#include "resource/role.h"

void token_warn(struct token_warnings *warnings, struct arena *arena, const char *format, ...)
{
        char *text = NULL;
        va_list args;

        if (warnings == NULL || warnings->count == TOKEN_WARNINGS_MAX)
                return;
        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                bug("out of memory while formatting a warning");
        va_end(args);
        warnings->texts[warnings->count++] = arena_str(arena, str_of(text)).ptr;
        free(text);
}

struct error *token_check_end(const Cteleport__V1__Token *token, struct walltime now)
{
        if (!token_is_expired(token, now))
                return NULL;
        return error_about(error_hint(error_new(ERROR_INVALID_ARGUMENT, "metadata.expires of the token has passed already"),
                                      "leave it out for a token that never expires"),
                           "metadata.expires");
}

/* ---- reading -------------------------------------------------------------------------------------- */

bool token_is_expired(const Cteleport__V1__Token *token, struct walltime now)
{
        const Cteleport__V1__Timestamp *end = token->metadata == NULL ? NULL : token->metadata->expires;

        if (end == NULL)
                return false;
        int64_t seconds = walltime_unix(now); /* compared in seconds: the year 3000 exceeds struct walltime */
        return seconds > end->seconds || (seconds == end->seconds && now.ns - seconds * 1000000000 >= end->nanos);
}

struct walltime token_expires(const Cteleport__V1__Token *token)
{
        return token->metadata == NULL ? (struct walltime){ 0 } : timestamp_end(token->metadata->expires);
}

bool token_gives_role(const Cteleport__V1__Token *token, struct str role)
{
        for (size_t i = 0; token->spec != NULL && i < token->spec->n_roles; i++) {
                struct str given = str_of(token->spec->roles[i]);
                const struct system_role *row = system_role_find(given);

                if (row == NULL || !row->is_joinable)
                        continue;
                if (str_equal(role, given) || (str_equal(role, STR("Instance")) && row->is_local_service))
                        return true;
        }
        return false;
}

void token_mask(struct str name, struct buf *out)
{
        size_t hidden = name.len < TOKEN_SECRET_LENGTH ? name.len : name.len * 3 / 4;

        for (size_t i = 0; i < hidden; i++)
                buf_put_char(out, '*');
        buf_put(out, str_slice(name, hidden, name.len));
}
