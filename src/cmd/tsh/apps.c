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
#include "resource/app_ports.h"

enum { CELL_MAX = 64 * KiB, COLUMNS_MAX = 7 };

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

static bool any_has_ports(Cteleport__V1__AppServer *const *apps, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (apps[i]->spec->app->spec->n_tcp_ports > 0)
                        return true;
        return false;
}

/* logins: those that `tsh apps login` has made. The column of ports is there if an application has several. */
static void put_table(struct buf *out, Cteleport__V1__AppServer *const *apps, size_t count, bool is_verbose, const struct app_login *logins, size_t login_count)
{
        const char *titles[COLUMNS_MAX + 1] = { "Application", "Description", "Type", "Public Address" };
        bool has_ports = any_has_ports(apps, count);
        size_t columns = 4;

        if (is_verbose)
                titles[columns++] = "URI";
        if (has_ports)
                titles[columns++] = "Target Ports";
        titles[columns++] = "Labels";
        AUTO_PTR(table) t = table_new(titles);

        for (size_t i = 0; i < count; i++) {
                const Cteleport__V1__AppSpec *spec = apps[i]->spec->app->spec;
                const char *app = apps[i]->metadata->name;
                AUTO_MEM char *marked = mem_printf("%s%s", app_login_find(logins, login_count, app) != NULL ? "> " : "", app);
                AUTO(buf) labels = BUF_MAX(CELL_MAX), ports = BUF_MAX(CELL_MAX);
                struct str cells[COLUMNS_MAX] = { str_of(marked), str_of(apps[i]->metadata->description), str_of(app_list_type(spec->uri)), str_of(spec->public_addr) };
                size_t at = 4;

                app_put_labels(&labels, apps[i], is_verbose);
                app_ports_put(&ports, APP_PORTS(spec), ", ");
                if (is_verbose)
                        cells[at++] = str_of(spec->uri);
                if (has_ports)
                        cells[at++] = buf_str(&ports);
                cells[at++] = buf_str(&labels);
                table_row(t, cells);
        }
        if (is_verbose)
                table_put(out, t);
        else
                table_put_truncated(out, t, columns - 1, terminal_width());
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
        TRY(node_filter_read(&filter, a.arena, flags_argument(given, 0), flags_list(given, "search"), flags_text(given, "query"), "applications"));
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
