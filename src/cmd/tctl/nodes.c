/* SPDX-License-Identifier: Apache-2.0 */
/* tctl nodes ls, tctl inventory ls. */
#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/output.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/nodes_shared.h"

const struct flag nodes_ls_flags[] = {
        { "search", 0, FLAG_LIST, .value = "WORDS", .help = "Only hosts that have all these words in name, address or labels" },
        { "verbose", 'v', FLAG_SWITCH, .help = "Every column, nothing cut" },
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

const struct argument nodes_ls_arguments[] = {
        { "labels", .help = "Only hosts with these labels: env=prod,team=db" },
        { NULL },
};

const struct flag inventory_ls_flags[] = {
        { "services", 0, FLAG_LIST, .value = "ROLES", .help = "Only hosts that run all of these" },
        { "verbose", 'v', FLAG_SWITCH, .help = "Every column, nothing cut" },
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

/* ---- nodes ---------------------------------------------------------------------------------------- */

static bool has_label(const Cteleport__V1__Metadata *metadata, struct str key, struct str value)
{
        for (size_t i = 0; metadata != NULL && i < metadata->n_labels; i++)
                if (str_equal(key, str_of(metadata->labels[i]->key)) && str_equal(value, str_of(metadata->labels[i]->value)))
                        return true;
        return false;
}

static bool has_labels(const Cteleport__V1__Node *node, struct str wanted)
{
        while (!str_is_empty(wanted)) {
                struct str value = str_trim(str_split(&wanted, ','));
                struct str key = str_split(&value, '=');

                if (!has_label(node->metadata, key, value))
                        return false;
        }
        return true;
}

static struct error *check_labels(struct str wanted)
{
        while (!str_is_empty(wanted)) {
                struct str pair = str_trim(str_split(&wanted, ','));
                AUTO_MEM char *shown = escaped(pair);

                if (str_find_char(pair, '=') == 0 || str_find_char(pair, '=') == pair.len)
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a label", shown),
                                          "write key=value, several with commas between");
        }
        return NULL;
}

static bool contains_nocase(struct str text, struct str word)
{
        for (size_t i = 0; i + word.len <= text.len; i++)
                if (str_equal_nocase(str_slice(text, i, word.len), word))
                        return true;
        return false;
}

static bool has_words(const Cteleport__V1__Node *node, const char *const *words)
{
        AUTO(buf) text = BUF_MAX(64 * KiB);

        buf_printf(&text, "%s %s ", node->spec->hostname, node->spec->addr);
        output_put_words(&text, node->spec->public_addrs, node->spec->n_public_addrs, " ");
        buf_put_char(&text, ' ');
        output_put_labels(&text, node->metadata, true);
        for (; *words != NULL; words++)
                if (!contains_nocase(buf_str(&text), str_of(*words)))
                        return false;
        return true;
}

struct error *nodes_ls_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        struct str labels = str_of(flags_argument(given, 0));
        Cteleport__V1__Node **nodes = NULL;
        size_t count = 0, kept = 0;

        (void)ctx;
        TRY(check_labels(labels));
        TRY(session_open(&s, given));
        TRY(nodes_list(&s, &nodes, &count));
        for (size_t i = 0; i < count; i++)
                if (has_labels(nodes[i], labels) && has_words(nodes[i], flags_list(given, "search")))
                        nodes[kept++] = nodes[i];
        if (output_is_text(given))
                nodes_put_table(&out, nodes, kept, flags_switch(given, "verbose"));
        else
                output_put_list(&out, given, (ProtobufCMessage **)nodes, kept);
        return output_flush(&out);
}

/* ---- inventory ------------------------------------------------------------------------------------ */

static bool runs(const Cteleport__V1__Instance *instance, const char *const *services)
{
        for (; *services != NULL; services++) {
                bool found = false;

                for (size_t i = 0; i < instance->spec->n_services && !found; i++)
                        found = str_equal_nocase(str_of(instance->spec->services[i]), str_of(*services));
                if (!found)
                        return false;
        }
        return true;
}

struct error *inventory_ls_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        Cteleport__V1__Instance **instances = NULL;
        size_t count = 0, kept = 0;

        (void)ctx;
        TRY(session_open(&s, given));
        TRY(instances_list(&s, &instances, &count));
        for (size_t i = 0; i < count; i++)
                if (runs(instances[i], flags_list(given, "services")))
                        instances[kept++] = instances[i];
        if (output_is_text(given))
                instances_put_table(&out, instances, kept, flags_switch(given, "verbose"));
        else
                output_put_list(&out, given, (ProtobufCMessage **)instances, kept);
        return output_flush(&out);
}
