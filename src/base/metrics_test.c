/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

static int attach(void **state)
{
        *state = mem_alloc(metrics_size());
        metrics_attach(*state);
        return 0;
}

static int detach(void **state)
{
        metrics_attach(NULL);
        free(*state);
        return 0;
}

static bool is_name(const char *name)
{
        return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0' && name[0] >= 'a';
}


/* Names and labels that Prometheus accepts, each name once, and a sentence of help on one line. */
static void every_row_is_well_formed(void **state)
{
        (void)state;
        for (enum metric m = 0; m < METRIC_COUNT; m++) {
                const struct metric_row *row = metric_row(m);
                struct str name, value;

                assert_true(metric_series(m) >= 1);
                assert_null(strpbrk(row->help, "\n\\"));
                assert_int_equal(row->help[strlen(row->help) - 1], '.');
                assert_true(row->type != METRIC_TYPE_HISTOGRAM || row->unit == METRIC_UNIT_NANOSECONDS);
                for (size_t series = 0; series < metric_series(m); series++)
                        for (size_t i = 0; metric_label(m, series, i, &name, &value); i++)
                                assert_true(i < METRIC_LABELS_MAX && name.len > 0 && (value.len > 0 || str_equal(name, STR("process"))));
                if (row->name == NULL)
                        continue;
                assert_true(is_name(row->name));
                for (enum metric other = 0; other < m; other++)
                        assert_true(metric_row(other)->name == NULL || strcmp(metric_row(other)->name, row->name) != 0);
        }
}

/* Every process records every metric, if each row were of EVERY process. */
static void the_number_of_series_is_bounded(void **state)
{
        size_t lines = 0;

        (void)state;
        for (enum metric m = 0; m < METRIC_COUNT; m++) {
                const struct metric_row *row = metric_row(m);
                size_t of_series = row->type == METRIC_TYPE_HISTOGRAM ? METRIC_BUCKETS + 2 : 1;

                lines += metric_series(m) * of_series * (row->process == NULL ? METRIC_PROCESSES : 1);
        }
        assert_in_range(lines, 1, LIMIT_METRIC_SERIES);
}

/* While one process replaces another, both use the same memory. */
static void held_gauges_are_not_shown(void **state)
{
        const void *memory = *state;

        metric_set_at(METRIC_SSH_CONNECTIONS, 0, 3);
        metrics_hold_gauges();
        metric_set_at(METRIC_SSH_CONNECTIONS, 0, 2);
        metric_add_at(METRIC_SSH_SESSIONS, 0, -1);
        metric_add_at(METRIC_DIALS, 0, 1);
        assert_int_equal(metric_value(memory, METRIC_SSH_CONNECTIONS, 0), 3);
        assert_int_equal(metric_value(memory, METRIC_SSH_SESSIONS, 0), 0);
        assert_int_equal(metric_value(memory, METRIC_DIALS, 0), 1);
        metrics_show_gauges();
        assert_int_equal(metric_value(memory, METRIC_SSH_CONNECTIONS, 0), 2);
        assert_int_equal(metric_value(memory, METRIC_SSH_SESSIONS, 0), -1);
        metrics_hold_gauges();
        metrics_clear_gauges();
        assert_int_equal(metric_value(memory, METRIC_SSH_CONNECTIONS, 0), 2);
        metrics_show_gauges();
        assert_int_equal(metric_value(memory, METRIC_SSH_CONNECTIONS, 0), 0);
}

static void bounds_are_shown_as_they_are_compared(void **state)
{
        const void *memory = *state;
        enum metric histogram = METRIC_COUNT;

        for (enum metric m = 0; m < METRIC_COUNT; m++)
                if (metric_row(m)->type == METRIC_TYPE_HISTOGRAM)
                        histogram = m;
        if (histogram == METRIC_COUNT)
                return;
        for (size_t i = 0; i < METRIC_BUCKETS - 1; i++) {
                const int64_t ns = (int64_t)(strtod(metric_bounds[i], NULL) * 1e9 + 0.5);

                metric_observe_at(histogram, 0, (struct duration){ ns });
                metric_observe_at(histogram, 0, (struct duration){ ns + 1 });
        }
        assert_int_equal(metric_bucket(memory, histogram, 0, 0), 1);
        for (size_t i = 1; i < METRIC_BUCKETS - 1; i++)
                assert_int_equal(metric_bucket(memory, histogram, 0, i), 2);
        assert_int_equal(metric_bucket(memory, histogram, 0, METRIC_BUCKETS - 1), 1);
}

static void counters_outlive_the_process_and_gauges_do_not(void **state)
{
        void *memory = *state;

        metric_add_at(METRIC_PROCESS_STARTS, 3, 2);
        metric_set_at(METRIC_PROCESS_MEMORY, 3, 17);
        metric_set_health(HEALTH_STORE, HEALTH_DEGRADED);
        assert_int_equal(metric_value(memory, METRIC_PROCESS_STARTS, 3), 2);
        assert_int_equal(metric_value(memory, METRIC_PROCESS_MEMORY, 3), 17);
        assert_int_equal(metric_value(memory, METRIC_HEALTH, HEALTH_STORE), HEALTH_DEGRADED);
        metrics_clear_gauges();
        assert_int_equal(metric_value(memory, METRIC_PROCESS_STARTS, 3), 2);
        assert_int_equal(metric_value(memory, METRIC_PROCESS_MEMORY, 3), 0);
        assert_int_equal(metric_value(memory, METRIC_HEALTH, HEALTH_STORE), HEALTH_ABSENT);
}

static void a_part_is_healed_only_if_it_is_degraded(void **state)
{
        const void *memory = *state;

        metric_set_health(HEALTH_AUDIT, HEALTH_DEGRADED);
        metric_set_health(HEALTH_STORE, HEALTH_STARTING);
        metric_end_degraded(HEALTH_AUDIT);
        metric_end_degraded(HEALTH_STORE);
        metric_end_degraded(HEALTH_DISK);
        assert_int_equal(metric_value(memory, METRIC_HEALTH, HEALTH_AUDIT), HEALTH_OK);
        assert_int_equal(metric_value(memory, METRIC_HEALTH, HEALTH_STORE), HEALTH_STARTING);
        assert_int_equal(metric_value(memory, METRIC_HEALTH, HEALTH_DISK), HEALTH_ABSENT);
}

static void finds_a_series_by_the_values_of_its_labels(void **state)
{
        const void *memory = *state;
        struct str name, value;

        metric_set(METRIC_HEALTH, "disk", "", 1);
        assert_int_equal(metric_value(memory, METRIC_HEALTH, HEALTH_DISK), 1);
        metric_set(METRIC_HEALTH, "auth", "", 2);
        assert_int_equal(metric_value(memory, METRIC_HEALTH, HEALTH_AUTH), 2);
        metric_set(METRIC_HEALTH, "no such part", "", 3); /* the last value stands for all others */
        assert_int_equal(metric_value(memory, METRIC_HEALTH, HEALTH_PARTS - 1), 3);
        assert_true(metric_label(METRIC_HEALTH, HEALTH_DISK, 0, &name, &value));
        assert_true(str_equal(name, STR("part")) && str_equal(value, STR("disk")));
        assert_false(metric_label(METRIC_HEALTH, HEALTH_DISK, 1, &name, &value));
        assert_int_equal(metric_series(METRIC_HEALTH), HEALTH_PARTS);
}

/* The digest of the first rows is that of a later table to which rows were appended, and of no other table. */
static void a_table_is_known_by_its_first_rows(void **state)
{
        const struct metric_row table[] = {
                { .name = "a_total", .labels = "x=1|2", .process = "auth", .type = METRIC_TYPE_COUNTER },
                { .name = "b", .labels = "", .process = NULL, .type = METRIC_TYPE_GAUGE },
                { .name = "c_seconds", .labels = "process", .process = NULL, .type = METRIC_TYPE_HISTOGRAM, .unit = METRIC_UNIT_NANOSECONDS },
        };
        struct metric_row other[ARRAY_LEN(table)];
        const uint64_t digest = metric_rows_digest(table, 2, "auth proxy ");

        (void)state;
        memcpy(other, table, sizeof(table));
        other[2].name = "d";
        assert_true(metric_rows_digest(other, 2, "auth proxy ") == digest);
        assert_true(metric_rows_digest(other, 3, "auth proxy ") != metric_rows_digest(table, 3, "auth proxy "));
        assert_true(metric_rows_digest(table, 2, "auth ssh ") != digest);
        assert_true(metric_rows_digest(table, 1, "auth proxy ") != digest);
        for (size_t change = 0; change < 6; change++) {
                memcpy(other, table, sizeof(table));
                if (change == 0) { /* another order */
                        other[0] = table[1];
                        other[1] = table[0];
                } else if (change == 1) {
                        other[1].name = "b2";
                } else if (change == 2) {
                        other[0].labels = "x=2|1";
                } else if (change == 3) {
                        other[0].process = NULL;
                } else if (change == 4) {
                        other[1].type = METRIC_TYPE_HISTOGRAM;
                } else {
                        other[1].unit = METRIC_UNIT_TIME;
                }
                assert_true(metric_rows_digest(other, 2, "auth proxy ") != digest);
        }
}

static void records_nothing_without_memory(void **state)
{
        (void)state;
        assert_false(metrics_are_on());
        metric_count(METRIC_PROCESS_STARTS, "", "");
        metric_set_health(HEALTH_STORE, HEALTH_OK);
        metric_end_degraded(HEALTH_STORE);
        metric_observe(METRIC_LOOP_LAG, "", "", SECONDS(1));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_row_is_well_formed),
                cmocka_unit_test(the_number_of_series_is_bounded),
                cmocka_unit_test_setup_teardown(held_gauges_are_not_shown, attach, detach),
                cmocka_unit_test_setup_teardown(bounds_are_shown_as_they_are_compared, attach, detach),
                cmocka_unit_test_setup_teardown(counters_outlive_the_process_and_gauges_do_not, attach, detach),
                cmocka_unit_test_setup_teardown(a_part_is_healed_only_if_it_is_degraded, attach, detach),
                cmocka_unit_test_setup_teardown(finds_a_series_by_the_values_of_its_labels, attach, detach),
                cmocka_unit_test(records_nothing_without_memory),
                cmocka_unit_test(a_table_is_known_by_its_first_rows),
        };

        return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
