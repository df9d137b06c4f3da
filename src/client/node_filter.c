/* SPDX-License-Identifier: Apache-2.0 */
#include "client/node_filter.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

enum { LABEL_MAX = 4 * KiB };

/* Cuts off the text before the first of `marks` outside of quotes, and drops the quotes; *ret_mark is 0 if there is no mark. */
static struct error *take_part(struct arena *a, struct str *rest, const char *marks, char *ret_mark, struct str *ret)
{
        AUTO(buf) part = BUF_MAX(LABEL_MAX);
        char quote = 0;
        size_t i = 0;

        *ret_mark = '\0';
        for (; i < rest->len; i++) {
                char c = rest->ptr[i];

                if (quote == 0 && c != '\0' && strchr(marks, c) != NULL) {
                        *ret_mark = c;
                        break;
                }
                if (quote == 0 && (c == '"' || c == '\''))
                        quote = c;
                else if (quote != 0 && c == quote)
                        quote = 0;
                else
                        buf_put_char(&part, c);
        }
        if (quote != 0)
                return error_new(ERROR_INVALID_ARGUMENT, "a quote in the labels is not closed");
        TRY(buf_finish(&part, "a label"));
        *rest = str_slice(*rest, i + 1, rest->len);
        *ret = arena_str(a, str_trim(buf_str(&part)));
        return NULL;
}

struct error *node_filter_add_labels(struct node_filter *f, struct arena *a, struct str text)
{
        struct str rest = text;

        while (!str_is_empty(rest)) {
                struct predicate_label label;
                char mark;

                TRY(take_part(a, &rest, "=,", &mark, &label.key));
                if (mark != '=' || str_is_empty(label.key)) {
                        AUTO_MEM char *shown = escaped(text);

                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' does not name labels", shown),
                                          "write key=value, several with commas between");
                }
                TRY(take_part(a, &rest, ",", &mark, &label.value));
                if (f->label_count == NODE_FILTER_LABELS_MAX)
                        return error_new(ERROR_INVALID_ARGUMENT, "there are more than %d labels", NODE_FILTER_LABELS_MAX);
                f->labels[f->label_count++] = label;
        }
        return NULL;
}

struct predicate_subject node_subject(const Cteleport__V1__Node *node, struct arena *a)
{
        const Cteleport__V1__Metadata *metadata = node->metadata;
        size_t given = metadata == NULL ? 0 : metadata->n_labels, reported = node->spec->n_cmd_labels, count = 0;
        struct predicate_label *labels = arena_alloc(a, (given + reported + 1) * sizeof *labels);

        for (size_t i = 0; i < given; i++)
                labels[count++] = (struct predicate_label){ str_of(metadata->labels[i]->key), str_of(metadata->labels[i]->value) };
        for (size_t i = 0; i < reported; i++)
                if (node->spec->cmd_labels[i]->value != NULL)
                        labels[count++] = (struct predicate_label){ str_of(node->spec->cmd_labels[i]->key),
                                                                    str_of(node->spec->cmd_labels[i]->value->result) };
        return (struct predicate_subject){
                .name = str_of(node->spec->hostname),
                .id = str_of(metadata == NULL ? "" : metadata->name),
                .addr = str_of(node->spec->addr),
                .description = str_of(metadata == NULL ? "" : metadata->description),
                .labels = labels,
                .label_count = count,
        };
}

static bool has_label(const struct predicate_subject *subject, const struct predicate_label *wanted)
{
        for (size_t i = 0; i < subject->label_count; i++)
                if (str_equal(subject->labels[i].key, wanted->key) && str_equal(subject->labels[i].value, wanted->value))
                        return true;
        return false;
}

struct error *node_filter_read(struct node_filter *f, struct arena *a, const char *labels, const char *const *words, const char *query,
                               const char *subjects)
{
        *f = (struct node_filter){ .words = words };
        TRY(node_filter_add_labels(f, a, str_of(labels)));
        return query == NULL ? NULL : predicate_compile(a, str_of(query), subjects, &f->predicate);
}

size_t node_filter_keep(const struct node_filter *f, Cteleport__V1__Node **nodes, size_t count, struct arena *a)
{
        size_t kept = 0;

        for (size_t i = 0; i < count; i++)
                if (node_filter_matches(f, nodes[i], a))
                        nodes[kept++] = nodes[i];
        return kept;
}

bool node_filter_matches(const struct node_filter *f, const Cteleport__V1__Node *node, struct arena *a)
{
        struct predicate_subject subject = node_subject(node, a);

        for (size_t i = 0; i < f->label_count; i++)
                if (!has_label(&subject, &f->labels[i]))
                        return false;
        for (const char *const *word = f->words; word != NULL && *word != NULL; word++)
                if (!predicate_subject_has_word(&subject, str_of(*word)))
                        return false;
        return f->predicate == NULL || predicate_matches(f->predicate, &subject);
}

/* ---- display ------------------------------------------------------------------------------------------------- */

enum { LABELS_ARENA = 1 * MiB };

/* Order of keys: without namespace, with namespace, and then the cluster's own. */
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

void node_put_labels(struct buf *out, const Cteleport__V1__Node *node, bool is_verbose)
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

void node_put_state(struct buf *out, const Cteleport__V1__NodeSpec *spec)
{
        AUTO_MEM char *shown = escaped(str_of(spec->state));

        if (spec->state[0] != '\0' && strcmp(spec->state, "online") != 0)
                buf_printf(out, " (%s)", shown);
}

/* ---- applications --------------------------------------------------------------------------------------- */

/* A node with the name, labels and uri of the application, which filters and labels are read from; valid with the spec. */
static Cteleport__V1__Node node_like(const Cteleport__V1__AppServer *server, Cteleport__V1__NodeSpec *spec)
{
        Cteleport__V1__Node node = CTELEPORT__V1__NODE__INIT;

        cteleport__v1__node_spec__init(spec);
        spec->hostname = server->metadata->name;
        spec->addr = server->spec->app->spec->uri;
        node.metadata = server->metadata;
        node.spec = spec;
        return node;
}

struct error *app_servers_check(Cteleport__V1__AppServer *const *servers, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (servers[i]->metadata == NULL || servers[i]->spec == NULL || servers[i]->spec->app == NULL || servers[i]->spec->app->spec == NULL)
                        return error_new(ERROR_DATA_LOSS, "the Auth Service sent an application without a spec");
        return NULL;
}

size_t app_filter_keep(const struct node_filter *f, Cteleport__V1__AppServer **servers, size_t count, struct arena *a)
{
        size_t kept = 0;

        for (size_t i = 0; i < count; i++) {
                Cteleport__V1__NodeSpec spec;
                Cteleport__V1__Node node = node_like(servers[i], &spec);

                if (node_filter_matches(f, &node, a))
                        servers[kept++] = servers[i];
        }
        return kept;
}

void app_put_labels(struct buf *out, const Cteleport__V1__AppServer *server, bool is_verbose)
{
        Cteleport__V1__NodeSpec spec;
        Cteleport__V1__Node node = node_like(server, &spec);

        node_put_labels(out, &node, is_verbose);
}
