/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tsh/show.h"

#include "base/mem.h"
#include "base/text.h"

enum { ROW_MAX = 16 * KiB };

static void put_row(struct buf *out, const char *mark, const char *label, struct str value)
{
        AUTO(buf) shown = BUF_MAX(2 * ROW_MAX);

        escape_text(&shown, value, ROW_MAX);
        buf_printf(out, "%s%-20s%s\n", mark, label, buf_c(&shown));
}

static void put_list_row(struct buf *out, const char *label, const struct str *items, size_t count)
{
        AUTO(buf) list = BUF_MAX(ROW_MAX);

        for (size_t i = 0; i < count; i++)
                buf_printf(&list, "%s%.*s", i == 0 ? "" : ", ", STR_ARG(items[i]));
        put_row(out, "  ", label, buf_str(&list));
}

/* "2022-12-08 03:11:22 +0000 UTC [valid for 11h59m0s]". */
static void put_end(struct buf *out, struct walltime end, struct walltime now)
{
        struct civil c = walltime_civil(end);
        struct duration left = walltime_since(end, now);

        buf_printf(out, "%04lld-%02d-%02d %02d:%02d:%02d +0000 UTC ", (long long)c.year, c.month, c.day, c.hour, c.minute,
                   c.second);
        if (left.ns <= 0) {
                buf_put_c(out, "[EXPIRED]");
                return;
        }
        if (left.ns >= MINUTES(1).ns)
                left.ns -= left.ns % MINUTES(1).ns;
        else
                left.ns -= left.ns % SECONDS(1).ns;
        buf_put_c(out, "[valid for ");
        duration_put(out, left);
        buf_put_char(out, ']');
}

void show_profile(struct buf *out, const struct profile *p, struct walltime now, bool is_current)
{
        AUTO(buf) url = BUF_MAX(ROW_MAX), end = BUF_MAX(ROW_MAX);
        static const struct str none[] = { STR_INIT("none") };

        buf_printf(&url, "https://%s", p->web_addr);
        put_end(&end, p->not_after, now);
        put_row(out, is_current ? "> " : "  ", "Profile URL:", buf_str(&url));
        put_row(out, "  ", "Logged in as:", str_of(p->user));
        put_row(out, "  ", "Cluster:", str_of(p->cluster));
        put_list_row(out, "Roles:", p->roles, p->role_count);
        put_list_row(out, "Logins:", p->login_count > 0 ? p->logins : none, p->login_count > 0 ? p->login_count : 1);
        put_row(out, "  ", "Kubernetes:", STR("disabled"));
        put_row(out, "  ", "Valid until:", buf_str(&end));
        put_list_row(out, "Extensions:", p->extensions, p->extension_count);
        buf_put_char(out, '\n');
}
