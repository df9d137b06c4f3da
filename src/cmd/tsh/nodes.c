/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tsh/nodes.h"

#include <stdlib.h>

#include "client/node_filter.h"
#include "cmd/common/table.h"

enum { CELL_MAX = 64 * KiB, LABELS_ARENA = 1 * MiB };

const char *node_id(const Cteleport__V1__Node *node)
{
        return node->metadata == NULL ? "" : node->metadata->name;
}

/* A host behind a reverse tunnel has no address of its own. */
static void put_address(struct buf *out, const Cteleport__V1__NodeSpec *spec)
{
        if (spec->use_tunnel || spec->addr[0] == '\0')
                buf_put_c(out, "\xe2\x9f\xb5 Tunnel"); /* U+27F5, the arrow that Teleport draws */
        else
                buf_put_c(out, spec->addr);
}

/* Plain ones first, then namespaced ones, then the cluster's own. */
static int label_rank(struct str key)
{
        if (str_starts_with(key, STR("teleport.dev/")) || str_starts_with(key, STR("teleport.internal/")))
                return 2;
        return str_find_char(key, '/') < key.len ? 1 : 0;
}

static int compare_labels(const void *a, const void *b)
{
        const struct predicate_label *x = a, *y = b;
        int order = label_rank(x->key) - label_rank(y->key);

        return order != 0 ? order : str_compare(x->key, y->key);
}

static void put_labels(struct buf *out, const Cteleport__V1__Node *node, bool is_verbose)
{
        AUTO_PTR(arena) a = arena_new(LABELS_ARENA);
        struct predicate_subject subject = node_subject(node, a);
        struct predicate_label *sorted = arena_alloc(a, (subject.label_count + 1) * sizeof *sorted);

        memcpy(sorted, subject.labels, subject.label_count * sizeof *sorted);
        qsort(sorted, subject.label_count, sizeof *sorted, compare_labels);
        for (size_t i = 0; i < subject.label_count; i++)
                if (is_verbose || label_rank(sorted[i].key) < 2)
                        buf_printf(out, "%s%.*s=%.*s", out->len == 0 ? "" : ",", STR_ARG(sorted[i].key),
                                   STR_ARG(sorted[i].value));
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
                put_labels(&labels, nodes[i], is_verbose);
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
