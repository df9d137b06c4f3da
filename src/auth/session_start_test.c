/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of a connection that has been open for a while: each is decided when it begins. */
#include "access/access.h"
#include "auth/session_node_testing.h"
#include "base/log.h"

/* The role that alice has, with these options. */
static void given_access(struct world *w, Cteleport__V1__RoleOptions options)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        Cteleport__V1__Role *role = access_preset(a, STR("access"));

        options.max_session_ttl = role->spec->options->max_session_ttl;
        role->spec->options = &options;
        put_message(w, "/roles/access", &role->base);
}

static void a_session_is_refused_from_the_lock_on(void **state)
{
        struct world *w = *state;
        struct node_side n = { 0 };

        given_shell(w, &n);
        assert_true(n.decides_sessions);
        assert_string_equal(n.session_id, SESSION_1);
        given_lock_on(w, "alice");
        started(&n, SESSION_2, "exec", "id");
        AWAIT_ACK(&n, 3);
        assert_string_equal(n.session_id, SESSION_2);
        assert_false(n.is_allowed);
        assert_non_null(strstr(n.reason, "locked"));
        assert_non_null(strstr(n.terminated, "locked"));
        assert_int_equal(count_events(w, "\"event\":\"session.start\""), 1);
        assert_int_equal(count_events(w, "\"event\":\"session.rejected\""), 1);
        exited(&n, SESSION_1, 0);
        end_in_order(w, &n);
}

/* It starts what is acknowledged, unless it was told to end; and it tells the end of what it took for a session. */
static void an_older_node_is_told_to_end_before_the_acknowledgement(void **state)
{
        struct world *w = *state;
        struct node_side n = { 0 };

        given_shell(w, &n);
        n.is_older = true;
        given_lock_on(w, "alice");
        started(&n, SESSION_2, "exec", "id");
        AWAIT_ACK(&n, 3);
        assert_non_null(strstr(n.terminated, "locked"));
        assert_int_equal(n.acked_at_end, 2);
        exited(&n, SESSION_2, 255);
        exited(&n, SESSION_1, 0);
        end_in_order(w, &n);
        assert_int_equal(count_events(w, "\"event\":\"session.start\""), 1);
        assert_int_equal(count_events(w, "\"event\":\"session.end\""), 1);
        assert_int_equal(count_keys(w, CONNECTION_PREFIX), 0);
}

/* What runs goes on; the next session needs a new login. */
static void a_session_is_refused_when_the_certificate_has_ended(void **state)
{
        struct world *w = *state;
        struct node_side n = { 0 };

        given_shell(w, &n);
        loop_advance(&w->a.loop, &w->clock, SECONDS(3600));
        started(&n, SESSION_2, "exec", "id");
        AWAIT_ACK(&n, 3);
        assert_false(n.is_allowed);
        assert_non_null(strstr(n.reason, "expired"));
        assert_string_equal(n.terminated, "");
        exited(&n, SESSION_1, 0);
        end_in_order(w, &n);
}

static void a_session_has_the_options_of_its_beginning(void **state)
{
        struct world *w = *state;
        struct node_side n = { 0 };
        Cteleport__V1__RecordSession record = CTELEPORT__V1__RECORD_SESSION__INIT;
        Cteleport__V1__RoleOptions options = CTELEPORT__V1__ROLE_OPTIONS__INIT;

        given_shell(w, &n);
        record.default_ = TEXT("strict");
        options.record_session = &record;
        options.has_ssh_file_copy = true;
        given_access(w, options);
        started(&n, SESSION_2, "sftp", "/usr/lib/sftp-server");
        AWAIT_ACK(&n, 3);
        assert_false(n.is_allowed);
        assert_non_null(strstr(n.reason, "ssh_file_copy"));
        started(&n, SESSION_2, "exec", "id");
        AWAIT_ACK(&n, 4);
        assert_true(n.is_allowed);
        assert_string_equal(n.record, "strict");
        assert_string_equal(n.terminated, "");
        assert_int_equal(count_events(w, "\"event\":\"session.start\""), 2);
        leave(&n);
}

static void forwarding_that_is_taken_away_ends_the_connection(void **state)
{
        struct world *w = *state;
        struct node_side n = { 0 };
        Cteleport__V1__RoleOptions options = CTELEPORT__V1__ROLE_OPTIONS__INIT;

        given_shell(w, &n);
        given_access(w, options);
        started(&n, SESSION_2, "exec", "id");
        AWAIT_ACK(&n, 3);
        assert_string_equal(n.terminated, "");
        options.has_port_forwarding = true;
        given_access(w, options);
        AWAIT(w, n.terminated[0] != '\0');
        assert_non_null(strstr(n.terminated, "forwarding of ports"));
        leave(&n);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
        const struct CMUnitTest tests[] = {
                ROW(a_session_is_refused_from_the_lock_on),
                ROW(an_older_node_is_told_to_end_before_the_acknowledgement),
                ROW(a_session_is_refused_when_the_certificate_has_ended),
                ROW(a_session_has_the_options_of_its_beginning),
                ROW(forwarding_that_is_taken_away_ends_the_connection),
        };
#undef ROW
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
