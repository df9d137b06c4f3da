/* SPDX-License-Identifier: Apache-2.0 */
/* tctl nodes ls, tctl apps ls, tctl inventory ls. */
#include "base/mem.h"
#include "base/text.h"
#include "client/node_filter.h"
#include "cmd/common/output.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/nodes_shared.h"
#include "resource/role.h"

const struct flag nodes_ls_flags[] = {
        { "search", 0, FLAG_LIST, .value = "WORDS", .help = "Only hosts that have all these words in name, address or labels" },
        { "query", .kind = FLAG_TEXT, .value = "QUERY", .help = "Only hosts that match the query: labels[\"env\"] == \"prod\"" },
        { "verbose", 'v', FLAG_SWITCH, .help = "All columns, without truncation" },
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

const struct argument nodes_ls_arguments[] = {
        { "labels", .help = "Only hosts with these labels: env=prod,team=db" },
        { NULL },
};

const struct flag apps_ls_flags[] = {
        { "search", 0, FLAG_LIST, .value = "WORDS", .help = "Only applications that have all these words in name, description, URI or labels" },
        { "query", .kind = FLAG_TEXT, .value = "QUERY", .help = "Only applications that match the query: labels[\"env\"] == \"prod\"" },
        { "verbose", 'v', FLAG_SWITCH, .help = "All labels, without truncation" },
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

const struct flag inventory_ls_flags[] = {
        { "services", 0, FLAG_LIST, .value = "ROLES", .help = "Only hosts that run all of these" },
        { "verbose", 'v', FLAG_SWITCH, .help = "All columns, without truncation" },
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

/* ---- nodes ---------------------------------------------------------------------------------------- */

struct error *nodes_ls_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        struct node_filter filter;
        Cteleport__V1__Node **nodes = NULL;
        size_t count = 0;

        (void)ctx;
        TRY(session_open(&s, given));
        TRY(node_filter_read(&filter, s.arena, flags_argument(given, 0), flags_list(given, "search"), flags_text(given, "query"), "hosts"));
        TRY(nodes_list(&s, &nodes, &count));
        count = node_filter_keep(&filter, nodes, count, s.arena);
        if (output_is_text(given))
                nodes_put_table(&out, nodes, count, flags_switch(given, "verbose"));
        else
                output_put_list(&out, given, (ProtobufCMessage **)nodes, count);
        return output_flush(&out);
}

/* ---- applications ---------------------------------------------------------------------------------- */

struct error *apps_ls_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        struct node_filter filter;
        Cteleport__V1__AppServer **servers = NULL;
        size_t count = 0;

        (void)ctx;
        TRY(session_open(&s, given));
        TRY(node_filter_read(&filter, s.arena, flags_argument(given, 0), flags_list(given, "search"), flags_text(given, "query"), "applications"));
        TRY(app_servers_list(&s, &servers, &count));
        count = app_filter_keep(&filter, servers, count, s.arena);
        if (output_is_text(given))
                app_servers_put_table(&out, servers, count, flags_switch(given, "verbose"));
        else
                output_put_list(&out, given, (ProtobufCMessage **)servers, count);
        return output_flush(&out);
}

/* ---- inventory ------------------------------------------------------------------------------------ */

static bool runs(const Cteleport__V1__InstanceSpec *spec, const struct flags *given)
{
        for (const char *const *service = flags_list(given, "services"); *service != NULL; service++) {
                const struct system_role *role = system_role_parse(str_of(*service)); /* the name may be an alias */
                bool found = false;

                for (size_t i = 0; role != NULL && i < spec->n_services && !found; i++)
                        found = str_equal(str_of(spec->services[i]), role->name);
                if (!found)
                        return false;
        }
        return true;
}

static void put_table(struct buf *out, Cteleport__V1__Instance *const *instances, size_t count, const struct flags *given)
{
        instances_put_table(out, instances, count, flags_switch(given, "verbose"));
}

struct error *inventory_ls_run(void *ctx, const struct flags *given)
{
        static const struct instances_view view = { .is_shown = runs, .put_table = put_table };
        AUTO(session) s = { 0 };

        (void)ctx;
        for (const char *const *service = flags_list(given, "services"); *service != NULL; service++)
                if (system_role_parse(str_of(*service)) == NULL)
                        return system_role_unknown(str_of(*service));
        TRY(session_open(&s, given));
        return instances_ls(&s, given, &view);
}
