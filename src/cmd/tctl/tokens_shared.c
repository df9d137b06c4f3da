/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tctl/tokens_shared.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/text.h"
#include "cmd/common/output.h"
#include "cmd/common/table.h"
#include "join/token_check.h"
#include "rpc/pb.h"

struct error *token_try(struct session *s, Cteleport__V1__Token *token)
{
        Cteleport__V1__PutTokenRequest request = CTELEPORT__V1__PUT_TOKEN_REQUEST__INIT;
        ProtobufCMessage *answer = NULL;

        request.token = token;
        request.check_only = true;
        return session_request(s, "PutToken", &request.base, &cteleport__v1__put_response__descriptor, &answer);
}

/* Tokens without expiry come last; compared in seconds, because an expiry in the year 3000 exists. */
static int64_t end_of(const Cteleport__V1__Token *token)
{
        const Cteleport__V1__Timestamp *end = token->metadata == NULL ? NULL : token->metadata->expires;

        return end == NULL ? INT64_MAX : end->seconds;
}

static const char *name_of(const Cteleport__V1__Token *token)
{
        return token->metadata == NULL ? "" : token->metadata->name;
}

static int compare_tokens(const void *a, const void *b)
{
        const Cteleport__V1__Token *const *x = a, *const *y = b;
        int64_t x_end = end_of(*x), y_end = end_of(*y);

        if (x_end != y_end)
                return x_end < y_end ? -1 : 1;
        return strcmp(name_of(*x), name_of(*y));
}

struct error *tokens_list(struct session *s, Cteleport__V1__Token ***ret, size_t *ret_count)
{
        TRY(session_list(s, "ListTokens", &cteleport__v1__list_tokens_response__descriptor, (ProtobufCMessage ***)ret, ret_count));
        qsort(*ret, *ret_count, sizeof **ret, compare_tokens);
        return NULL;
}

void tokens_mask(struct arena *arena, Cteleport__V1__Token **tokens, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                AUTO(buf) safe = BUF_MAX(4 * KiB);

                if (tokens[i]->metadata == NULL)
                        continue;
                token_safe_name(tokens[i], &safe);
                tokens[i]->metadata->name = pb_text(arena_str(arena, buf_str(&safe)).ptr);
        }
}

void tokens_put_names(struct buf *out, Cteleport__V1__Token *const *tokens, size_t count, bool with_secrets)
{
        for (size_t i = 0; i < count; i++) {
                AUTO(buf) safe = BUF_MAX(4 * KiB);

                if (tokens[i]->metadata == NULL)
                        continue;
                token_safe_name(tokens[i], &safe);
                if (!with_secrets && !str_equal(buf_str(&safe), str_of(tokens[i]->metadata->name)))
                        continue;
                escape_text(out, str_of(tokens[i]->metadata->name), LIMIT_NAME);
                buf_put_char(out, '\n');
        }
}

/* "02 Jan 06 15:04 UTC (29m59s)" or "never". */
static void put_expiry(struct buf *out, const Cteleport__V1__Token *token, struct walltime now)
{
        static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
        struct walltime end = token_expires(token);

        if (end.ns == 0) {
                buf_put_c(out, "never");
        } else if (end.ns == INT64_MAX) {
                output_put_time(out, token->metadata->expires);
        } else {
                struct civil c = walltime_civil(end);
                int64_t left = walltime_since(end, now).ns / 1000000000;

                buf_printf(out, "%02d %s %02d %02d:%02d UTC (", c.day, months[c.month - 1], (int)(c.year % 100), c.hour,
                           c.minute);
                duration_put(out, SECONDS(left < 0 ? 0 : left));
                buf_put_char(out, ')');
        }
}

void tokens_put_table(struct buf *out, Cteleport__V1__Token *const *tokens, size_t count, struct walltime now)
{
        static const char *const titles[] = { "Token", "Type", "Labels", "Expiry Time (UTC)", NULL };
        AUTO_PTR(table) t = table_new(titles);

        for (size_t i = 0; i < count; i++) {
                AUTO(buf) roles = BUF_MAX(4 * KiB), labels = BUF_MAX(64 * KiB), expiry = BUF_MAX(128);

                if (tokens[i]->spec != NULL)
                        output_put_words(&roles, tokens[i]->spec->roles, tokens[i]->spec->n_roles, ",");
                output_put_labels(&labels, tokens[i]->metadata, false);
                put_expiry(&expiry, tokens[i], now);
                TABLE_ROW(t, str_of(name_of(tokens[i])), buf_str(&roles), buf_str(&labels), buf_str(&expiry));
        }
        table_put(out, t);
}
