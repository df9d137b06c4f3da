/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/exposition.h"

#include <inttypes.h>
#include <string.h>

#include "base/compiler.h"

/* One answer in the making. */
struct answer {
        const struct figures *figures;
        const struct health_machine *health;
        struct instant now;
        struct buf *out;
        enum metric metric;
        bool has_head;
};

/* ---- lines ------------------------------------------------------------------------------------------------- */

/* Written before the first series: a metric without series is left out. */
static void put_head(struct answer *a)
{
        static const char *const types[] = { "counter", "gauge", "histogram" };
        const struct metric_row *row = metric_row(a->metric);

        if (!a->has_head)
                buf_printf(a->out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name, types[row->type]);
        a->has_head = true;
}

/* Begins or continues the list of labels. */
static void put_label(struct answer *a, bool *is_first, const char *name, struct str value)
{
        buf_printf(a->out, "%s%s=\"%.*s\"", *is_first ? "{" : ",", name, STR_ARG(value));
        *is_first = false;
}

static void put_labels(struct answer *a, const char *process, size_t series, const char *bound)
{
        struct str name, value;
        bool is_first = true;

        if (process != NULL)
                put_label(a, &is_first, "process", str_of(process));
        for (size_t i = 0; metric_label(a->metric, series, i, &name, &value); i++)
                if (!str_is_empty(value)) {
                        buf_printf(a->out, "%s%.*s=\"%.*s\"", is_first ? "{" : ",", STR_ARG(name), STR_ARG(value));
                        is_first = false;
                }
        if (bound != NULL)
                put_label(a, &is_first, "le", str_of(bound));
        if (!is_first)
                buf_put_c(a->out, "}");
}

/* Nanoseconds as seconds with all their digits. */
static void put_value(struct answer *a, int64_t value)
{
        if (metric_row(a->metric)->unit != METRIC_UNIT_NANOSECONDS)
                buf_printf(a->out, " %" PRId64 "\n", value);
        else
                buf_printf(a->out, " %s%" PRId64 ".%09" PRId64 "\n", value < 0 ? "-" : "", value < 0 ? -(value / 1000000000) : value / 1000000000,
                           value < 0 ? -(value % 1000000000) : value % 1000000000);
}

static void put_number(struct answer *a, const char *process, size_t series, int64_t value)
{
        put_head(a);
        buf_put_c(a->out, metric_row(a->metric)->name);
        put_labels(a, process, series, NULL);
        put_value(a, value);
}

static void put_histogram(struct answer *a, const char *process, const void *memory, size_t series)
{
        const char *name = metric_row(a->metric)->name;
        uint64_t count = 0;

        put_head(a);
        for (size_t i = 0; i < METRIC_BUCKETS; i++) {
                count += (uint64_t)metric_bucket(memory, a->metric, series, i);
                buf_printf(a->out, "%s_bucket", name);
                put_labels(a, process, series, i < METRIC_BUCKETS - 1 ? metric_bounds[i] : "+Inf");
                buf_printf(a->out, " %" PRIu64 "\n", count);
        }
        buf_printf(a->out, "%s_sum", name);
        put_labels(a, process, series, NULL);
        put_value(a, metric_sum(memory, a->metric, series));
        buf_printf(a->out, "%s_count", name);
        put_labels(a, process, series, NULL);
        buf_printf(a->out, " %" PRIu64 "\n", count);
}

/* ---- metrics ----------------------------------------------------------------------------------------------- */

/* What the answer itself computes. */
static void put_computed(struct answer *a)
{
        struct health_part_state part;

        put_head(a);
        if (a->metric == METRIC_BUILD_INFO)
                buf_printf(a->out, "teleport_build_info{version=\"%s\"} 1\n", CTELEPORT_VERSION);
        else if (a->metric == METRIC_PROCESS_STATE)
                put_number(a, NULL, 0, a->health->state);
        else if (a->metric == METRIC_PART)
                for (size_t i = 0; health_part_at(a->figures, a->now, i, &part); i++) {
                        if (part.health != HEALTH_ABSENT)
                                put_number(a, NULL, i, part.health == HEALTH_OK);
                }
        else if (a->metric == METRIC_PROCESS_UP)
                for (size_t n = 0; n < METRIC_PROCESSES; n++)
                        if (figures_is_here(a->figures, n))
                                put_number(a, a->figures->of[n].name, n, figures_phase(a->figures, n) == PROCESS_READY);
}

/* The supervisor's figures of each process. Gauges of a process that does not run would be those of its last run. */
static void put_of_processes(struct answer *a)
{
        const bool is_gauge = metric_row(a->metric)->type == METRIC_TYPE_GAUGE;

        for (size_t n = 0; n < METRIC_PROCESSES; n++) {
                if (!figures_is_here(a->figures, n) || (is_gauge && !figures_is_running(a->figures, n)))
                        continue;
                int64_t value = metric_value(a->figures->of[0].memory, a->metric, n);
                if (value >= 0)
                        put_number(a, a->figures->of[n].name, n, value);
        }
}

/* What the process itself has recorded. `process` NULL: without a label of its name. */
static void put_own(struct answer *a, size_t n, const char *process)
{
        const struct metric_row *row = metric_row(a->metric);
        const void *memory = a->figures->of[n].memory;

        if (row->type == METRIC_TYPE_GAUGE && !figures_is_running(a->figures, n))
                return;
        if ((a->metric == METRIC_LOOP_LAG || a->metric == METRIC_LOOP_TURNS) && metric_value(memory, METRIC_LOOP_DUE, 0) == 0)
                return; /* it has no event loop */
        put_head(a); /* also without a time that is known */
        for (size_t i = 0; i < metric_series(a->metric); i++)
                if (a->metric == METRIC_LOOP_LAG)
                        put_number(a, process, i, figures_lag(a->figures, n, a->now).ns);
                else if (row->type == METRIC_TYPE_HISTOGRAM)
                        put_histogram(a, process, memory, i);
                else if (row->unit != METRIC_UNIT_TIME || metric_value(memory, a->metric, i) != 0)
                        put_number(a, process, i, metric_value(memory, a->metric, i));
}

static void put_metric(struct answer *a)
{
        const struct metric_row *row = metric_row(a->metric);
        const struct figures_process *writer = row->process == NULL ? NULL : figures_find(a->figures, row->process);

        if (row->name == NULL)
                return;
        if (row->process == NULL) {
                for (size_t n = 0; n < METRIC_PROCESSES; n++)
                        if (figures_is_here(a->figures, n))
                                put_own(a, n, a->figures->of[n].name);
        } else if (strcmp(row->process, "diag") == 0) {
                put_computed(a);
        } else if (strcmp(row->labels, "process") == 0) {
                put_of_processes(a);
        } else if (writer != NULL) {
                put_own(a, (size_t)(writer - a->figures->of), NULL);
        }
}

void exposition_put(const struct figures *f, const struct health_machine *h, struct instant now, struct buf *out)
{
        struct answer a = { .figures = f, .health = h, .now = now, .out = out };

        for (a.metric = 0; a.metric < METRIC_COUNT; a.metric++) {
                a.has_head = false;
                put_metric(&a);
        }
}
