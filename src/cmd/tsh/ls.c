/* SPDX-License-Identifier: Apache-2.0 */
/* tsh ls: lists the nodes that the user may reach. */
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/node_filter.h"
#include "cmd/common/output.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/nodes.h"
#include "cmd/tsh/user.h"

static const char *const formats[] = { "text", "json", "yaml", "names", NULL };

const struct flag ls_flags[] = {
        { "search", .kind = FLAG_LIST, .value = "WORDS", .help = "Only nodes that have all these words in name, address or labels" },
        { "query", .kind = FLAG_TEXT, .value = "QUERY", .help = "Only nodes that match the query" },
        { "verbose", 'v', FLAG_SWITCH, .help = "IDs and all labels, without truncation" },
        { "format", 'f', FLAG_TEXT, .value = "FORMAT", .fallback = "text", .choices = formats, .help = "Output format" },
        { NULL },
};

const struct argument ls_arguments[] = {
        { "labels", .help = "Only nodes with these labels: env=prod,team=db" },
        { NULL },
};

static void put_names(struct buf *out, Cteleport__V1__Node *const *nodes, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                escape_text(out, str_of(nodes[i]->spec->hostname), LIMIT_NAME);
                buf_put_char(out, '\n');
        }
}

struct error *ls_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO(api_client) a = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        struct node_filter filter;
        Cteleport__V1__Node **nodes = NULL;
        size_t count = 0;

        (void)ctx;
        TRY(user_load(given, &p));
        TRY(api_client_open(&a, &p));
        TRY(node_filter_read(&filter, a.arena, flags_argument(given, 0), flags_list(given, "search"), flags_text(given, "query"), "nodes"));
        TRY(user_nodes(&a, &nodes, &count));
        count = node_filter_keep(&filter, nodes, count, a.arena);
        if (output_is_text(given))
                nodes_put_table(&out, nodes, count, flags_switch(given, "verbose"));
        else if (strcmp(flags_text(given, "format"), "names") == 0)
                put_names(&out, nodes, count);
        else
                output_put_list(&out, given, (ProtobufCMessage **)nodes, count);
        return output_flush(&out);
}
