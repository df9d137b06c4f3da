/* SPDX-License-Identifier: Apache-2.0 */
/* tctl inventory status: counts of the hosts by version, service, state and join method. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/output.h"
#include "cmd/common/table.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/events_shared.h"
#include "cmd/tctl/nodes_shared.h"

const struct flag inventory_status_flags[] = {
        { "connected", 0, FLAG_SWITCH, .help = "List the connected hosts instead" },
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

enum { CELL_MAX = 64 * KiB };

/* The groups of counts: the title of the text, the key of JSON and YAML. */
enum group { VERSIONS, SERVICES, STATES, METHODS, GROUPS };
static const struct {
        const char *title, *key;
} groups[GROUPS] = {
        [VERSIONS] = { "Versions", "versions" },
        [SERVICES] = { "Services", "services" },
        [STATES] = { "States", "states" },
        [METHODS] = { "Join Methods", "join_methods" },
};

static void count_one(json_t *counts, const char *name)
{
        const char *key = name[0] == '\0' ? "unknown" : name;

        json_object_set_new(counts, key, json_integer(json_integer_value(json_object_get(counts, key)) + 1));
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The same counts in the order of their names. */
static json_t *sorted(json_t *counts)
{
        size_t count = json_object_size(counts), i = 0;
        const char **names = mem_array(count + 1, sizeof *names), *name;
        json_t *ret = json_object(), *value;

        json_object_foreach (counts, name, value)
                names[i++] = name;
        qsort(names, count, sizeof *names, compare_names);
        for (i = 0; i < count; i++)
                json_object_set(ret, names[i], json_object_get(counts, names[i]));
        free(names);
        return ret;
}

static json_t *count_all(Cteleport__V1__Instance *const *instances, size_t count)
{
        json_t *counts[GROUPS], *ret = json_object();

        for (size_t g = 0; g < GROUPS; g++)
                counts[g] = json_object();
        for (size_t i = 0; i < count; i++) {
                const Cteleport__V1__InstanceSpec *spec = instances[i]->spec;

                count_one(counts[VERSIONS], spec->version);
                for (size_t k = 0; k < spec->n_services; k++)
                        count_one(counts[SERVICES], spec->services[k]);
                count_one(counts[STATES], instance_state(spec));
                count_one(counts[METHODS], spec->join_method);
        }
        for (size_t g = 0; g < GROUPS; g++) {
                json_object_set_new(ret, groups[g].key, sorted(counts[g]));
                json_decref(counts[g]);
        }
        json_object_set_new(ret, "total_instances", json_integer((json_int_t)count));
        return ret;
}

static void put_counts(struct buf *out, const json_t *all)
{
        for (size_t g = 0; g < GROUPS; g++) {
                json_t *counts = json_object_get(all, groups[g].key), *value;
                const char *name;

                buf_printf(out, "%s:\n", groups[g].title);
                json_object_foreach (counts, name, value) {
                        AUTO_MEM char *shown = escaped(str_of(name));

                        buf_printf(out, "  %s: %lld\n", shown, (long long)json_integer_value(value));
                }
        }
        buf_printf(out, "Total Instances: %lld\n", (long long)json_integer_value(json_object_get(all, "total_instances")));
}

static bool is_connected(const Cteleport__V1__InstanceSpec *spec, const struct flags *given)
{
        (void)given;
        return spec->is_connected;
}

static void put_connected(struct buf *out, Cteleport__V1__Instance *const *instances, size_t count, const struct flags *given)
{
        static const char *const titles[] = { "Server ID", "Services", "Version", NULL };
        AUTO_PTR(table) t = table_new(titles);

        (void)given;
        for (size_t i = 0; i < count; i++) {
                const Cteleport__V1__InstanceSpec *spec = instances[i]->spec;
                AUTO(buf) services = BUF_MAX(CELL_MAX);

                output_put_words(&services, spec->services, spec->n_services, ",");
                TABLE_ROW(t, str_of(instances[i]->metadata == NULL ? "" : instances[i]->metadata->name), buf_str(&services), str_of(spec->version));
        }
        table_put(out, t);
}

struct error *inventory_status_run(void *ctx, const struct flags *given)
{
        static const struct instances_view connected = { .is_shown = is_connected, .put_table = put_connected };
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        Cteleport__V1__Instance **instances = NULL;
        size_t count = 0;

        (void)ctx;
        TRY(session_open(&s, given));
        if (flags_switch(given, "connected"))
                return instances_ls(&s, given, &connected);
        TRY(instances_list(&s, &instances, &count));
        json_t *all = count_all(instances, count);
        if (output_is_text(given))
                put_counts(&out, all);
        else
                events_put_one(&out, given, all);
        json_decref(all);
        return output_flush(&out);
}
