/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/limits.h"
#include "base/mem.h"
#include "diag/exposition.h"

/* A host with two processes beside the supervisor. */
enum { AUTH = 1, INSTANCE = 2 };

struct fixture {
        struct figures figures;
        struct health_machine health;
        struct instant now;
};

static int set_up(void **state)
{
        static const char *const names[] = { METRICS_SUPERVISOR, "auth", "instance" };
        struct fixture *f = NEW(struct fixture);

        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                f->figures.of[i] = (struct figures_process){ names[i], mem_alloc(metrics_size()) };
        f->now = (struct instant){ SECONDS(1000).ns };
        health_init(&f->health);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        metrics_attach(NULL);
        for (size_t i = 0; i < METRIC_PROCESSES; i++)
                free((void *)(uintptr_t)f->figures.of[i].memory);
        free(f);
        return 0;
}

/* As the process with that number writes it. */
static void write_as(const struct fixture *f, size_t number, enum metric metric, size_t series, int64_t value)
{
        metrics_attach((void *)(uintptr_t)f->figures.of[number].memory);
        metric_set_at(metric, series, value);
        metrics_attach(NULL);
}

static void set_phase(const struct fixture *f, size_t number, enum process_phase phase)
{
        write_as(f, 0, METRIC_PROCESS_PHASE, number, phase);
}

static void set_health(const struct fixture *f, size_t number, enum health_part part, enum health health)
{
        write_as(f, number, METRIC_HEALTH, part, health);
}

static enum health_state state_after(struct fixture *f, int64_t seconds)
{
        f->now = instant_add(f->now, SECONDS(seconds));
        health_check(&f->health, &f->figures, f->now);
        return f->health.state;
}

static void make_ready(struct fixture *f)
{
        set_phase(f, 0, PROCESS_READY);
        set_phase(f, AUTH, PROCESS_READY);
        set_phase(f, INSTANCE, PROCESS_READY);
        set_health(f, AUTH, HEALTH_STORE, HEALTH_OK);
        set_health(f, INSTANCE, HEALTH_CLUSTER, HEALTH_OK);
}

static void assert_body(const struct fixture *f, const char *expected)
{
        AUTO(buf) body = BUF_MAX(4 * KiB);

        health_put_json(&f->health, &f->figures, f->now, &body);
        assert_string_equal(buf_c(&body), expected);
}

static void is_starting_until_every_part_was_ready(void **state)
{
        struct fixture *f = *state;

        set_phase(f, AUTH, PROCESS_STARTING);
        set_phase(f, INSTANCE, PROCESS_STARTING);
        assert_int_equal(state_after(f, 0), HEALTH_STATE_STARTING);
        make_ready(f);
        set_phase(f, AUTH, PROCESS_STARTING);
        assert_int_equal(state_after(f, 0), HEALTH_STATE_STARTING);
        set_phase(f, AUTH, PROCESS_READY);
        set_health(f, INSTANCE, HEALTH_CLUSTER, HEALTH_STARTING);
        assert_int_equal(state_after(f, 100), HEALTH_STATE_STARTING);
        assert_int_equal(health_status(f->health.state), 400);
        assert_body(f, "{\"status\":\"teleport is starting and hasn't joined the cluster yet\",\"parts\":[{\"part\":\"processes\",\"state\":\"ok\"},"
                       "{\"part\":\"cluster\",\"state\":\"starting\",\"reason\":\"this host has not joined the cluster yet; `teleport status` says why\"},"
                       "{\"part\":\"store\",\"state\":\"ok\"}]}\n");
        set_health(f, INSTANCE, HEALTH_CLUSTER, HEALTH_OK);
        assert_int_equal(state_after(f, 0), HEALTH_STATE_OK);
        assert_int_equal(health_status(f->health.state), 200);
        assert_body(f, "{\"status\":\"ok\",\"parts\":[{\"part\":\"processes\",\"state\":\"ok\"},{\"part\":\"cluster\",\"state\":\"ok\"},"
                       "{\"part\":\"store\",\"state\":\"ok\"}]}\n");
}

static void recovers_after_a_time_without_failures(void **state)
{
        struct fixture *f = *state;

        make_ready(f);
        assert_int_equal(state_after(f, 0), HEALTH_STATE_OK);
        set_health(f, AUTH, HEALTH_STORE, HEALTH_DEGRADED);
        assert_int_equal(state_after(f, 1), HEALTH_STATE_DEGRADED);
        assert_int_equal(health_status(f->health.state), 503);
        set_health(f, AUTH, HEALTH_STORE, HEALTH_OK);
        assert_int_equal(state_after(f, 1), HEALTH_STATE_RECOVERING);
        assert_int_equal(health_status(f->health.state), 400);
        assert_int_equal(state_after(f, 9), HEALTH_STATE_RECOVERING);
        set_health(f, INSTANCE, HEALTH_CLUSTER, HEALTH_DEGRADED);
        assert_int_equal(state_after(f, 9), HEALTH_STATE_DEGRADED);
        set_health(f, INSTANCE, HEALTH_CLUSTER, HEALTH_OK);
        assert_int_equal(state_after(f, 1), HEALTH_STATE_RECOVERING);
        assert_int_equal(state_after(f, 10), HEALTH_STATE_RECOVERING);
        assert_int_equal(state_after(f, 1), HEALTH_STATE_OK);
}

/* Also what it has recorded itself does not count any more. */
static void a_process_that_has_ended_is_not_ready(void **state)
{
        struct fixture *f = *state;

        make_ready(f);
        assert_int_equal(state_after(f, 0), HEALTH_STATE_OK);
        set_phase(f, AUTH, PROCESS_DOWN);
        assert_int_equal(state_after(f, 1), HEALTH_STATE_DEGRADED);
        assert_body(f, "{\"status\":\"teleport is in a degraded state, check logs for details\",\"parts\":[{\"part\":\"processes\",\"state\":\"degraded\","
                       "\"reason\":\"the process auth has ended, and is started again; its log says why\"},{\"part\":\"cluster\",\"state\":\"ok\"},"
                       "{\"part\":\"store\",\"state\":\"degraded\",\"reason\":\"the process auth does not run\"},"
                       "{\"part\":\"audit\",\"state\":\"degraded\",\"reason\":\"the process auth does not run\"},"
                       "{\"part\":\"disk\",\"state\":\"degraded\",\"reason\":\"the process auth does not run\"}]}\n");
}

static void a_host_that_stops_is_not_ready(void **state)
{
        struct fixture *f = *state;

        make_ready(f);
        assert_int_equal(state_after(f, 0), HEALTH_STATE_OK);
        set_phase(f, 0, PROCESS_DOWN);
        assert_int_equal(state_after(f, 0), HEALTH_STATE_DEGRADED);
}

/* A reload of the configuration can end the need for a process. */
static void a_process_that_is_not_needed_is_no_fault(void **state)
{
        struct fixture *f = *state;

        make_ready(f);
        set_phase(f, AUTH, PROCESS_ABSENT);
        assert_int_equal(state_after(f, 0), HEALTH_STATE_OK);
        assert_body(f, "{\"status\":\"ok\",\"parts\":[{\"part\":\"processes\",\"state\":\"ok\"},{\"part\":\"cluster\",\"state\":\"ok\"}]}\n");
        assert_null(figures_find(&f->figures, "auth"));
}

static void a_process_with_a_hanging_loop_is_not_ready(void **state)
{
        struct fixture *f = *state;

        make_ready(f);
        write_as(f, AUTH, METRIC_LOOP_DUE, 0, f->now.ns);
        assert_int_equal(state_after(f, 30), HEALTH_STATE_OK);
        assert_int_equal(state_after(f, 1), HEALTH_STATE_DEGRADED);
        assert_int_equal(figures_lag(&f->figures, AUTH, f->now).ns, SECONDS(31).ns);
        assert_body(f, "{\"status\":\"teleport is in a degraded state, check logs for details\",\"parts\":[{\"part\":\"processes\",\"state\":\"degraded\","
                       "\"reason\":\"the process auth does not respond\"},{\"part\":\"cluster\",\"state\":\"ok\"},{\"part\":\"store\",\"state\":\"ok\"}]}\n");
        write_as(f, AUTH, METRIC_LOOP_DUE, 0, f->now.ns + SECONDS(5).ns);
        assert_int_equal(state_after(f, 1), HEALTH_STATE_RECOVERING);
}

/* The label of cteleport_part_ready is that of the body. */
static void parts_have_one_name(void **state)
{
        struct fixture *f = *state;
        struct health_part_state part;
        struct str name, value;

        for (size_t i = 0; health_part_at(&f->figures, f->now, i, &part); i++) {
                assert_true(metric_label(METRIC_PART, i, 0, &name, &value));
                assert_true(str_equal(value, str_of(part.name)));
                assert_true(i == 0 || (metric_label(METRIC_HEALTH, i - 1, 0, &name, &value) && str_equal(value, str_of(part.name))));
        }
}

/* A compromised process can write any number. */
static void any_number_is_possible(void **state)
{
        static const int64_t values[] = { -1, INT64_MIN, INT64_MAX, 4, 1000 };
        struct fixture *f = *state;
        AUTO(buf) body = BUF_MAX(LIMIT_DIAG_ANSWER);

        make_ready(f);
        for (size_t i = 0; i < ARRAY_LEN(values); i++)
                for (size_t n = 0; n <= INSTANCE; n++) {
                        write_as(f, n, METRIC_HEALTH, HEALTH_STORE, values[i]);
                        write_as(f, n, METRIC_LOOP_DUE, 0, values[i]);
                        write_as(f, n, METRIC_LOOP_LAG, 0, values[i]);
                        health_check(&f->health, &f->figures, f->now);
                        exposition_put(&f->figures, &f->health, f->now, &body);
                        assert_false(body.overflowed);
                        buf_release(&body);
                        body = BUF_MAX(LIMIT_DIAG_ANSWER);
                }
}

static bool has_line(const struct fixture *f, const char *line)
{
        AUTO(buf) body = BUF_MAX(LIMIT_DIAG_ANSWER);
        AUTO_MEM char *ended = mem_printf("\n%s\n", line);

        exposition_put(&f->figures, &f->health, f->now, &body);
        return strstr(buf_c(&body), ended) != NULL;
}

static void shows_the_metrics_of_the_processes_that_run(void **state)
{
        struct fixture *f = *state;

        make_ready(f);
        write_as(f, 0, METRIC_PROCESS_MEMORY, AUTH, 4096);
        write_as(f, 0, METRIC_PROCESS_CPU, AUTH, 1020000000);
        write_as(f, 0, METRIC_PROCESS_FDS, AUTH, -1); /* not known */
        write_as(f, 0, METRIC_PROCESS_MEMORY, 9, 1); /* not on this host */
        write_as(f, INSTANCE, METRIC_LOOP_DUE, 0, f->now.ns - 1500000000);
        assert_true(has_line(f, "process_resident_memory_bytes{process=\"auth\"} 4096"));
        assert_true(has_line(f, "process_cpu_seconds_total{process=\"auth\"} 1.020000000"));
        assert_false(has_line(f, "process_open_fds{process=\"auth\"} -1"));
        assert_true(has_line(f, "# TYPE process_cpu_seconds_total counter"));
        assert_true(has_line(f, "cteleport_event_loop_lag_seconds{process=\"instance\"} 1.500000000"));
        assert_false(has_line(f, "cteleport_event_loop_lag_seconds{process=\"auth\"} 0.000000000")); /* it has recorded no loop */
        assert_true(has_line(f, "cteleport_process_up{process=\"auth\"} 1"));
        assert_true(has_line(f, "process_state 3"));
        assert_true(has_line(f, "cteleport_part_ready{part=\"store\"} 1"));
        set_phase(f, AUTH, PROCESS_DOWN);
        assert_true(has_line(f, "cteleport_process_up{process=\"auth\"} 0"));
        assert_false(has_line(f, "process_resident_memory_bytes{process=\"auth\"} 4096"));
        assert_true(has_line(f, "process_cpu_seconds_total{process=\"auth\"} 1.020000000"));
        assert_true(has_line(f, "cteleport_part_ready{part=\"store\"} 0"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(is_starting_until_every_part_was_ready, set_up, tear_down),
                cmocka_unit_test_setup_teardown(recovers_after_a_time_without_failures, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_process_that_has_ended_is_not_ready, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_host_that_stops_is_not_ready, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_process_that_is_not_needed_is_no_fault, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_process_with_a_hanging_loop_is_not_ready, set_up, tear_down),
                cmocka_unit_test_setup_teardown(parts_have_one_name, set_up, tear_down),
                cmocka_unit_test_setup_teardown(any_number_is_possible, set_up, tear_down),
                cmocka_unit_test_setup_teardown(shows_the_metrics_of_the_processes_that_run, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
