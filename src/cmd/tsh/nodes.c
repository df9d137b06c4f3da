/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tsh/nodes.h"

#include <stdlib.h>

#include "client/node_filter.h"
#include "cmd/common/table.h"

enum { CELL_MAX = 64 * KiB };

const char *node_id(const Cteleport__V1__Node *node)
{
        return node->metadata == NULL ? "" : node->metadata->name;
}

/* A host with a reverse tunnel has no address. */
static void put_address(struct buf *out, const Cteleport__V1__NodeSpec *spec)
{
        if (spec->use_tunnel || spec->addr[0] == '\0')
                buf_put_c(out, "\xe2\x9f\xb5 Tunnel"); /* U+27F5, the arrow that Teleport draws */
        else
                buf_put_c(out, spec->addr);
        node_put_state(out, spec);
}

void nodes_put_table(struct buf *out, Cteleport__V1__Node *const *nodes, size_t count, bool is_verbose)
{
        static const char *const brief[] = { "Node Name", "Address", "Labels", NULL };
        static const char *const full[] = { "Node Name", "Node ID", "Address", "Labels", NULL };
        enum { LABELS = 2 };
        AUTO_PTR(table) t = table_new(is_verbose ? full : brief);

        for (size_t i = 0; i < count; i++) {
                AUTO(buf) address = BUF_MAX(CELL_MAX), labels = BUF_MAX(CELL_MAX);
                struct str name = str_of(nodes[i]->spec->hostname);

                put_address(&address, nodes[i]->spec);
                node_put_labels(&labels, nodes[i], is_verbose);
                if (is_verbose)
                        TABLE_ROW(t, name, str_of(node_id(nodes[i])), buf_str(&address), buf_str(&labels));
                else
                        TABLE_ROW(t, name, buf_str(&address), buf_str(&labels));
        }
        if (is_verbose)
                table_put(out, t);
        else
                table_put_truncated(out, t, LABELS, terminal_width());
}
