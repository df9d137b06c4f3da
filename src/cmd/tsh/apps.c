/* SPDX-License-Identifier: Apache-2.0 */
/* tsh apps ls: lists the applications that the user may reach. */
#include "api.pb-c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/app_list.h"
#include "client/app_login.h"
#include "client/node_filter.h"
#include "cmd/common/output.h"
#include "cmd/common/table.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/user.h"

enum { CELL_MAX = 64 * KiB };

static const char *const formats[] = { "text", "json", "yaml", "names", NULL };

const struct flag apps_ls_flags[] = {
        { "search", .kind = FLAG_LIST, .value = "WORDS", .help = "Only applications that have all these words in name, description, URI or labels" },
        { "query", .kind = FLAG_TEXT, .value = "QUERY", .help = "Only applications that match the query" },
        { "verbose", 'v', FLAG_SWITCH, .help = "Also the URI, and all labels without truncation" },
        { "format", 'f', FLAG_TEXT, .value = "FORMAT", .fallback = "text", .choices = formats, .help = "Output format" },
        { NULL },
};

const struct argument apps_ls_arguments[] = {
        { "labels", .help = "Only applications with these labels: env=prod,team=db" },
        { NULL },
};

/* logins: those that `tsh apps login` has made. */
static void put_table(struct buf *out, Cteleport__V1__AppServer *const *apps, size_t count, bool is_verbose, const struct app_login *logins, size_t login_count)
{
        static const char *const brief[] = { "Application", "Description", "Type", "Public Address", "Labels", NULL };
        static const char *const full[] = { "Application", "Description", "Type", "Public Address", "URI", "Labels", NULL };
        enum { LABELS = 4 };
        AUTO_PTR(table) t = table_new(is_verbose ? full : brief);

        for (size_t i = 0; i < count; i++) {
                const char *uri = apps[i]->spec->app->spec->uri;
                const char *app = apps[i]->metadata->name;
                AUTO_MEM char *marked = mem_printf("%s%s", app_login_find(logins, login_count, app) != NULL ? "> " : "", app);
                struct str name = str_of(marked), about = str_of(apps[i]->metadata->description), type = str_of(app_list_type(uri));
                struct str address = str_of(apps[i]->spec->app->spec->public_addr);
                AUTO(buf) labels = BUF_MAX(CELL_MAX);

                app_put_labels(&labels, apps[i], is_verbose);
                if (is_verbose)
                        TABLE_ROW(t, name, about, type, address, str_of(uri), buf_str(&labels));
                else
                        TABLE_ROW(t, name, about, type, address, buf_str(&labels));
        }
        if (is_verbose)
                table_put(out, t);
        else
                table_put_truncated(out, t, LABELS, terminal_width());
}

static void put_names(struct buf *out, Cteleport__V1__AppServer *const *apps, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                escape_text(out, str_of(apps[i]->metadata->name), LIMIT_NAME);
                buf_put_char(out, '\n');
        }
}

/* The hosts that offer them are of no interest to users: `tctl apps ls` lists those. */
static void put_resources(struct buf *out, const struct flags *given, Cteleport__V1__AppServer *const *apps, size_t count, struct arena *a)
{
        ProtobufCMessage **resources = arena_alloc(a, (count + 1) * sizeof *resources);

        for (size_t i = 0; i < count; i++)
                resources[i] = &apps[i]->spec->app->base;
        output_put_list(out, given, resources, count);
}

struct error *apps_ls_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO(api_client) a = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        struct node_filter filter;
        Cteleport__V1__AppServer **apps = NULL;
        struct app_login *logins = NULL;
        size_t count = 0, login_count = 0;

        (void)ctx;
        TRY(user_load(given, &p));
        TRY(api_client_open(&a, &p));
        TRY(node_filter_read(&filter, a.arena, flags_argument(given, 0), flags_list(given, "search"), flags_text(given, "query")));
        TRY(user_apps(&a, &apps, &count));
        TRY(app_login_list(&p, clock_wall(clock_system()), &logins, &login_count));
        count = app_filter_keep(&filter, apps, count, a.arena);
        count = app_list_unite(apps, count);
        if (output_is_text(given))
                put_table(&out, apps, count, flags_switch(given, "verbose"), logins, login_count);
        else if (strcmp(flags_text(given, "format"), "names") == 0)
                put_names(&out, apps, count);
        else
                put_resources(&out, given, apps, count, a.arena);
        return output_flush(&out);
}
