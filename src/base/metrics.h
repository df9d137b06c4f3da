/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of a process: counters, gauges and histograms in memory that it shares with the process `diag`, which shows them.
 *
 * The supervisor gives this memory to each process if teleport.diag_addr is set. Without it nothing is recorded. All
 * processes have the same layout: an array of 64-bit numbers, computed from the table in metric_table.h. An observation adds to
 * numbers in place: it never blocks, allocates or fails, and may be made on any thread. The number of series is fixed
 * (LIMIT_METRIC_SERIES), whatever the number of hosts and users.
 *
 * The memory outlives the process: after a restart, counters and histograms continue, and gauges begin at 0. It outlives the program
 * too: after an in-place upgrade, processes of a new program record in the memory that the supervisor of the former program has made.
 * Therefore the memory has room for METRICS_ROOM more bytes, and a new program may have more rows behind those of the former one, but no
 * others among them (supervisor/upgrade_answer.h compares them).
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/metric_table.h"
#include "base/str.h"

enum metric {
#define METRIC(id, type, unit, process, name, labels, help) METRIC_##id,
        METRIC_TABLE(METRIC)
#undef METRIC
        METRIC_COUNT
};

enum metric_type { METRIC_TYPE_COUNTER, METRIC_TYPE_GAUGE, METRIC_TYPE_HISTOGRAM };
enum metric_unit {
        METRIC_UNIT_NUMBER,
        METRIC_UNIT_NANOSECONDS, /* shown as seconds */
        METRIC_UNIT_TIME,        /* seconds since 1970; 0: not known, and left out */
};

enum {
        METRIC_LABELS_MAX = 2,
        METRIC_PROCESSES = 17, /* values of the label `process`: 0 is the supervisor, 1 + i the process services_process_at(i) */
        METRIC_BUCKETS = 15,   /* of a histogram, the last one without a bound */
        METRICS_ROOM = 8192,   /* bytes */
};

/* The name of the supervisor as a value of the label `process`. */
#define METRICS_SUPERVISOR "supervisor"

struct metric_row {
        const char *name; /* NULL: not shown under a name of its own */
        const char *help, *labels;
        const char *process; /* NULL: every process */
        enum metric_type type;
        enum metric_unit unit;
};

const struct metric_row *metric_row(enum metric metric);
/* The number of combinations of the values of its labels. */
size_t metric_series(enum metric metric);
/* Upper bounds of the buckets in seconds, as they are shown: METRIC_BUCKETS - 1 texts. */
extern const char *const metric_bounds[METRIC_BUCKETS - 1];

/* Name and value of a label of a series; false beyond the last label. The label `process` has an empty value. */
bool metric_label(enum metric metric, size_t series, size_t label, struct str *ret_name, struct str *ret_value);

/* Parts of a host that /readyz reports; the order of the values of METRIC_HEALTH. */
enum health_part { HEALTH_CLUSTER, HEALTH_TUNNELS, HEALTH_STORE, HEALTH_AUDIT, HEALTH_DISK, HEALTH_AUTH, HEALTH_PARTS };
enum health {
        HEALTH_ABSENT, /* the process does not have this part, or has not reported it yet */
        HEALTH_OK,
        HEALTH_STARTING,
        HEALTH_DEGRADED,
};

enum process_phase { PROCESS_ABSENT, PROCESS_DOWN, PROCESS_STARTING, PROCESS_READY };

/* ---- recording ------------------------------------------------------------------------------------------- */

/* Bytes of the memory of a process that this program uses, and those that a supervisor makes: with room for the rows of later programs. */
size_t metrics_size(void);
size_t metrics_size_with_room(void);
/* A digest of all that decides place and meaning of the numbers of the first `count` rows of a table; `processes`: names behind the label `process`. */
uint64_t metric_rows_digest(const struct metric_row *table, size_t count, const char *processes);
/* Records in `memory` from now on, metrics_size() bytes that stay valid. NULL: records nothing. */
void metrics_attach(void *memory);
/* Sets all gauges to 0, at the start of a process. */
void metrics_clear_gauges(void);
/*
 * Two processes of one service share the memory while one replaces the other. Counters count both. Gauges are those of one: the
 * other holds its own back, from hold to show.
 */
void metrics_hold_gauges(void);
void metrics_show_gauges(void);
bool metrics_are_on(void);

/*
 * Labels are given by their values, in the order of the table; "" where there is none. An unknown value counts for the last one
 * of the label.
 */
void metric_count(enum metric metric, const char *label0, const char *label1);
void metric_set(enum metric metric, const char *label0, const char *label1, int64_t value);
void metric_observe(enum metric metric, const char *label0, const char *label1, struct duration value);
/* The same by the number of the series, without labels 0. */
void metric_add_at(enum metric metric, size_t series, int64_t value);
void metric_set_at(enum metric metric, size_t series, int64_t value);
void metric_observe_at(enum metric metric, size_t series, struct duration value);

void metric_set_health(enum health_part part, enum health health);
/* DEGRADED becomes OK; another state stays. For a part that is written rarely, when the cause of its failure has gone. */
void metric_end_degraded(enum health_part part);

/* ---- reading --------------------------------------------------------------------------------------------- */

/* The value of a counter or gauge in the memory of a process. */
int64_t metric_value(const void *memory, enum metric metric, size_t series);
/* The number of observations in a bucket; the sum of all observations. */
int64_t metric_bucket(const void *memory, enum metric metric, size_t series, size_t bucket);
int64_t metric_sum(const void *memory, enum metric metric, size_t series);

#endif
