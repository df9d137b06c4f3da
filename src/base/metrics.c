/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/compiler.h"
#include "base/limits.h"
#include "base/mem.h"

#define EVERY NULL
static const struct metric_row rows[METRIC_COUNT] = {
#define METRIC(id, type, unit, process, name, labels, help) \
        [METRIC_##id] = { name, help, labels, process, METRIC_TYPE_##type, METRIC_UNIT_##unit },
        METRIC_TABLE(METRIC)
#undef METRIC
};

/* clang-format off */
const char *const metric_bounds[METRIC_BUCKETS - 1] = {
        "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10",
};
static const int64_t bounds_ns[METRIC_BUCKETS - 1] = {
        500000, 1000000, 2500000, 5000000, 10000000, 25000000, 50000000, 100000000, 250000000, 500000000, 1000000000,
        2500000000, 5000000000, 10000000000,
};
/* clang-format on */

static int64_t *attached;
static int64_t *gauges; /* where gauges are recorded: attached, or `held` */
static int64_t *held;   /* NULL: never needed */

/* ---- the table --------------------------------------------------------------------------------------------- */

const struct metric_row *metric_row(enum metric metric)
{
        return &rows[metric];
}

/* The n-th label of a metric: its name, and its values separated by '|', or no values. */
static bool label_at(enum metric metric, size_t n, struct str *ret_name, struct str *ret_values)
{
        struct str rest = str_of(rows[metric].labels);

        while (rest.len > 0) {
                struct str label = str_split(&rest, ' ');

                if (n-- > 0)
                        continue;
                *ret_name = str_split(&label, '=');
                *ret_values = label;
                return true;
        }
        return false;
}

static size_t value_count(struct str values)
{
        size_t count = 1;

        if (values.len == 0)
                return METRIC_PROCESSES;
        for (size_t i = 0; i < values.len; i++)
                count += values.ptr[i] == '|';
        return count;
}

size_t metric_series(enum metric metric)
{
        struct str name, values;
        size_t count = 1;

        for (size_t i = 0; label_at(metric, i, &name, &values); i++)
                count *= value_count(values);
        return count;
}

static struct str value_at(struct str values, size_t n)
{
        struct str value = str_split(&values, '|');

        while (n-- > 0)
                value = str_split(&values, '|');
        return value;
}

bool metric_label(enum metric metric, size_t series, size_t label, struct str *ret_name, struct str *ret_value)
{
        struct str name, values;

        for (size_t i = 0; label_at(metric, i, &name, &values); i++) {
                size_t count = value_count(values);

                if (i == label) {
                        *ret_name = name;
                        *ret_value = value_at(values, series % count);
                        return true;
                }
                series /= count;
        }
        return false;
}

/* The number of a label's value; that of the last value if there is no such value. */
static size_t number_of(struct str values, struct str value)
{
        const size_t last = value_count(values) - 1;

        for (size_t n = 0; n < last; n++)
                if (str_equal(value_at(values, n), value))
                        return n;
        return last;
}

static size_t series_of(enum metric metric, const char *label0, const char *label1)
{
        const struct str given[METRIC_LABELS_MAX] = { str_of(label0), str_of(label1) };
        struct str name, values;
        size_t series = 0, unit = 1;

        for (size_t i = 0; i < METRIC_LABELS_MAX && label_at(metric, i, &name, &values); i++) {
                series += unit * number_of(values, given[i]);
                unit *= value_count(values);
        }
        return series;
}

/* ---- the layout ---------------------------------------------------------------------------------------------- */

/* A histogram has its buckets and the sum for each series. */
static size_t numbers_of(enum metric metric)
{
        return rows[metric].type == METRIC_TYPE_HISTOGRAM ? METRIC_BUCKETS + 1 : 1;
}

/* Position of the first number of each metric, and behind the last one. Computed once. */
static const size_t *layout(void)
{
        static size_t first[METRIC_COUNT + 1];

        if (first[METRIC_COUNT] == 0)
                for (enum metric m = 0; m < METRIC_COUNT; m++)
                        first[m + 1] = first[m] + metric_series(m) * numbers_of(m);
        return first;
}

static size_t position(enum metric metric, size_t series, size_t number)
{
        size_t at = layout()[metric] + series * numbers_of(metric) + number;

        if (at >= layout()[metric + 1])
                bug("metric %d has no series %zu", (int)metric, series);
        return at;
}

size_t metrics_size(void)
{
        return layout()[METRIC_COUNT] * sizeof(int64_t);
}

size_t metrics_size_with_room(void)
{
        return metrics_size() + METRICS_ROOM;
}

static uint64_t fold(uint64_t digest, const char *text)
{
        const char *at = text == NULL ? "" : text;

        do
                digest = (digest ^ (uint8_t)*at) * 0x100000001b3; /* FNV-1a, the final NUL included */
        while (*at++ != '\0');
        return digest;
}

uint64_t metric_rows_digest(const struct metric_row *table, size_t count, const char *processes)
{
        uint64_t digest = fold(0xcbf29ce484222325 + METRIC_PROCESSES, processes);

        for (size_t i = 0; i < ARRAY_LEN(metric_bounds); i++)
                digest = fold(digest, metric_bounds[i]);
        for (const struct metric_row *row = table; row < table + count; row++) {
                const char shape[] = { (char)('0' + row->type), (char)('0' + row->unit), '\0' };

                digest = fold(fold(fold(fold(digest, shape), row->name), row->labels), row->process);
        }
        return digest;
}

/* ---- recording ----------------------------------------------------------------------------------------------- */

void metrics_attach(void *memory)
{
        attached = gauges = memory;
        free(held);
        held = NULL;
}

/* from NULL: zeros */
static void put_gauges(int64_t *to, const int64_t *from)
{
        for (enum metric m = 0; m < METRIC_COUNT; m++)
                for (size_t i = layout()[m]; rows[m].type == METRIC_TYPE_GAUGE && i < layout()[m + 1]; i++)
                        __atomic_store_n(&to[i], from == NULL ? 0 : __atomic_load_n(&from[i], __ATOMIC_RELAXED), __ATOMIC_RELAXED);
}

void metrics_clear_gauges(void)
{
        put_gauges(gauges, NULL);
}

void metrics_hold_gauges(void)
{
        if (attached == NULL || gauges != attached)
                return;
        if (held == NULL)
                held = mem_alloc(metrics_size());
        put_gauges(held, attached);
        __atomic_store_n(&gauges, held, __ATOMIC_RELEASE);
}

void metrics_show_gauges(void)
{
        if (gauges == attached)
                return;
        put_gauges(attached, held);
        __atomic_store_n(&gauges, attached, __ATOMIC_RELEASE);
}

bool metrics_are_on(void)
{
        return attached != NULL;
}

static int64_t *number_at(enum metric metric, size_t series, size_t number)
{
        int64_t *memory = rows[metric].type == METRIC_TYPE_GAUGE ? __atomic_load_n(&gauges, __ATOMIC_ACQUIRE) : attached;

        return &memory[position(metric, series, number)];
}

static void add(enum metric metric, size_t series, size_t number, int64_t value)
{
        __atomic_fetch_add(number_at(metric, series, number), value, __ATOMIC_RELAXED);
}

void metric_add_at(enum metric metric, size_t series, int64_t value)
{
        if (attached != NULL)
                add(metric, series, 0, value);
}

void metric_set_at(enum metric metric, size_t series, int64_t value)
{
        if (attached != NULL)
                __atomic_store_n(number_at(metric, series, 0), value, __ATOMIC_RELAXED);
}

void metric_observe_at(enum metric metric, size_t series, struct duration value)
{
        size_t bucket = 0;

        if (attached == NULL)
                return;
        while (bucket < METRIC_BUCKETS - 1 && value.ns > bounds_ns[bucket])
                bucket++;
        add(metric, series, bucket, 1);
        add(metric, series, METRIC_BUCKETS, value.ns);
}

void metric_count(enum metric metric, const char *label0, const char *label1)
{
        if (attached != NULL)
                metric_add_at(metric, series_of(metric, label0, label1), 1);
}

void metric_set(enum metric metric, const char *label0, const char *label1, int64_t value)
{
        if (attached != NULL)
                metric_set_at(metric, series_of(metric, label0, label1), value);
}

void metric_observe(enum metric metric, const char *label0, const char *label1, struct duration value)
{
        if (attached != NULL)
                metric_observe_at(metric, series_of(metric, label0, label1), value);
}

void metric_set_health(enum health_part part, enum health health)
{
        metric_set_at(METRIC_HEALTH, part, health);
}

void metric_end_degraded(enum health_part part)
{
        int64_t expected = HEALTH_DEGRADED;

        if (attached != NULL)
                __atomic_compare_exchange_n(&attached[position(METRIC_HEALTH, part, 0)], &expected, HEALTH_OK, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static int64_t read_at(const void *memory, size_t at)
{
        return __atomic_load_n((const int64_t *)memory + at, __ATOMIC_RELAXED);
}

int64_t metric_value(const void *memory, enum metric metric, size_t series)
{
        return read_at(memory, position(metric, series, 0));
}

int64_t metric_bucket(const void *memory, enum metric metric, size_t series, size_t bucket)
{
        return read_at(memory, position(metric, series, bucket));
}

int64_t metric_sum(const void *memory, enum metric metric, size_t series)
{
        return read_at(memory, position(metric, series, METRIC_BUCKETS));
}
