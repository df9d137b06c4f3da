/* SPDX-License-Identifier: Apache-2.0 */
/* Programs at the helpers' socket: their identification, their recordings, their end. */
#include "ssh/helpers_testing.h"

#include <semaphore.h>

/* ---- permission to log in -------------------------------------------------------------------------------------------------- */

static void gives_sshd_the_decision(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        send_authorize(s);
        check_passes(s);
        assert_string_equal(reported(s), "ask cert root;");
        assert_string_equal(received(s), "");
        decide(s, &d);
        assert_string_equal(received(s), "permits 7 signed by auth;closed");
}

/* As signed; ssh-authorize applies the node's own restrictions. */
static void gives_no_more_than_was_decided(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        permits.pty = permits.agent_forwarding = false;
        send_authorize(s);
        check_passes(s);
        decide(s, &d);
        assert_string_equal(received(s), "permits 2 signed by auth;closed");
}

static void refuses_users_that_the_cluster_refuses(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        d.is_allowed = false;
        d.reason = "locked";
        send_authorize(s);
        check_passes(s);
        decide(s, &d);
        assert_string_equal(received(s), "refusal: locked;closed");
}

static void refuses_a_question_about_a_login_of_any_other_user(void **state)
{
        struct ssh_service *s = *state;

        s->authorize_uid = getuid() + 1;
        send_authorize(s);
        assert_string_equal(received(s), "refusal: no program of sshd's;closed");
        assert_true(s->checked == NULL && reported(s)[0] == '\0');
}

/* A connection of that account that has sent nothing yet. */
static int connect_as(struct ssh_service *s, uid_t uid)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        memcpy(address.sun_path + 1, s->name, strlen(s->name));
        int r = seteuid(uid) + connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(s->name)));
        assert_int_equal(seteuid(0) + r, 0);
        uv_run(&s->loop.uv, UV_RUN_NOWAIT);
        return fd;
}

static void reserves_helpers_for_users_that_have_few(void **state)
{
        struct ssh_service *s = *state;
        enum { BUSY_USERS = 4, OF_EACH = LIMIT_HELPERS_UNKNOWN / BUSY_USERS };
        int busy[BUSY_USERS * OF_EACH + 1];

        if (getuid() != 0)
                skip();
        s->authorize_uid = 2100;
        for (size_t i = 0; i < ARRAY_LEN(busy); i++)
                busy[i] = connect_as(s, 2001 + (uid_t)(i % BUSY_USERS));
        turns(s, 3);
        assert_false(is_waiting(busy[BUSY_USERS * OF_EACH])); /* an account has a quarter of the places at most */
        int quiet = connect_as(s, 2005), requests = connect_as(s, 2100), root = connect_as(s, 0);
        turns(s, 3);
        assert_true(is_waiting(quiet) && is_waiting(requests) && is_waiting(root));
        size_t waiting = 0;
        for (size_t i = 0; i < ARRAY_LEN(busy); i++)
                waiting += is_waiting(busy[i]);
        assert_int_equal(waiting, LIMIT_HELPERS_UNKNOWN - 1); /* one of them made room */
        for (size_t i = 0; i < ARRAY_LEN(busy); i++)
                close(busy[i]);
        assert_true(close(quiet) == 0 && close(requests) == 0 && close(root) == 0);
        turns(s, 10);
}

static void refuses_a_process_that_sshd_did_not_start(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        s->connection.decision = &d;
        send_start(s, "shell", true);
        void (*checked)(void *ctx, struct error *err) = s->checked;
        s->checked = NULL;
        checked(s->check_ctx, error_new(ERROR_PERMISSION_DENIED, "it is another program"));
        assert_string_equal(received(s), "refusal: no program of sshd's;closed");
        assert_string_equal(reported(s), "");
}

static void refuses_helpers_that_send_nothing_or_invalid_messages(void **state)
{
        struct ssh_service *s = *state;

        assert_int_equal(send(s->program, "\xff\xff\xff\xff", 4, MSG_NOSIGNAL), 4);
        assert_string_equal(received(s), "closed");
        close(s->program);
        tear_down(state);
        set_up(state);
        s = *state;
        for (int i = 0; i < 12; i++)
                turn(s, 1000);
        assert_string_equal(received(s), "refusal: no program of sshd's;closed");
}

/* ---- recordings ---------------------------------------------------------------------------------------------------------------- */

static void refuses_a_session_that_must_be_recorded_and_cannot(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        permits.record = "strict";
        s->connection.decision = &d;
        limit_file_size(0);
        send_start(s, "shell", true);
        check_passes(s);
        limit_file_size(RLIM_INFINITY);
        assert_string_equal(reported(s), "rejected 'this session must be recorded, and this node cannot record it now';");
        assert_string_equal(received(s), "refusal: this session must be recorded, and this node cannot record it now;closed");
}

static void reports_when_a_session_is_not_recorded(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        s->connection.decision = &d;
        limit_file_size(0);
        send_start(s, "shell", true);
        check_passes(s);
        limit_file_size(RLIM_INFINITY);
        assert_string_equal(reported(s), "start shell '';");
        acknowledge_all(s, 0);
        assert_string_equal(received(s), "go alice from 192.0.2.7:50122;notice: this session is not recorded: this node cannot record it now;");
}

static void ends_a_strict_session_when_its_recording_fails(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        permits.record = "strict";
        given_a_session(s, &d);
        limit_file_size(10);
        send_output(s, STR("shown"));
        await_words(s);
        limit_file_size(RLIM_INFINITY);
        assert_true(str_starts_with(str_of(received(s)), STR("end: recording stopped: ")));
        send_exit(s, 255);
        assert_true(str_starts_with(str_of(reported(s)), STR("exit 255  out 5 in 3 'recording stopped: ")));
}

static void continues_in_best_effort_and_reports_it(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        given_a_session(s, &d);
        limit_file_size(10);
        send_output(s, STR("shown"));
        await_words(s);
        limit_file_size(RLIM_INFINITY);
        assert_true(str_starts_with(str_of(received(s)), STR("notice: recording stopped: ")));
        send_exit(s, 0);
        assert_string_equal(reported(s), "exit 0  out 5 in 3 '';");
}

enum { STUCK_JOBS = 32, SENT_MAX = 8 * MiB }; /* more jobs than the pool has threads; more than a recording and sockets hold */
static sem_t unstuck;

static void wait_for_disk(void *ctx UNUSED)
{
        sem_wait(&unstuck);
}

static void forget(void *ctx UNUSED)
{
}

/* Sends it repeatedly until the peer no longer reads; returns the number of bytes, SENT_MAX if the peer still reads. */
static size_t send_until_unreceived(struct ssh_service *s, const helper_up *up)
{
        AUTO(buf) frame = BUF_MAX(SESSION_FRAME_MAX);
        size_t sent = 0;

        session_frame_put(&frame, &up->base);
        for (int tries = 0; tries < 3 && sent < SENT_MAX;) {
                ssize_t n = send(s->program, frame.ptr, frame.len, MSG_NOSIGNAL | MSG_DONTWAIT);

                tries = n > 0 ? 0 : tries + 1;
                sent += n > 0 ? (size_t)n : 0;
                if (n > 0 && (size_t)n < frame.len) /* the rest would be the head of another message */
                        break;
                uv_run(&s->loop.uv, UV_RUN_NOWAIT);
        }
        return sent;
}

static void a_terminal_waits_for_a_disk_that_is_stuck(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();
        helper_up up = CTELEPORT__SESSION__V1__HELPER_UP__INIT;
        Cteleport__Session__V1__Resize resize = CTELEPORT__SESSION__V1__RESIZE__INIT;

        given_a_session(s, &d);
        assert_int_equal(sem_init(&unstuck, 0, 0), 0);
        for (int i = 0; i < STUCK_JOBS; i++)
                (void)loop_job(&s->loop, wait_for_disk, forget, NULL);
        resize.columns = 80;
        resize.rows = 24;
        up.payload_case = CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_RESIZE;
        up.resize = &resize;
        size_t sent = send_until_unreceived(s, &up);
        for (int i = 0; i < STUCK_JOBS; i++)
                sem_post(&unstuck);
        assert_in_range(sent, 1, SENT_MAX - 1);
}

/* ---- ends ------------------------------------------------------------------------------------------------------------------------ */

static void reports_a_program_that_vanished(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        given_a_session(s, &d);
        send_output(s, STR("shown"));
        close(s->program);
        s->program = -1;
        assert_string_equal(reported(s), "exit 255  out 5 in 3 'the session\'s program has ended';");
        assert_int_equal(s->connection.helpers, 0);
}

static void passes_the_end_of_its_connection_on(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        given_a_session(s, &d);
        helper_end(s->connection.last, STR("locked"));
        assert_string_equal(received(s), "end: locked;");
        send_exit(s, 255);
        assert_string_equal(reported(s), "exit 255  out 0 in 0 'locked';");
        assert_int_equal(s->connection.helpers, 0);
}

static void gives_up_a_program_that_does_not_end(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        given_a_session(s, &d);
        helper_end(s->connection.last, STR("locked"));
        for (int i = 0; i < 10; i++)
                turn(s, 1000);
        assert_string_equal(reported(s), "exit 255  out 0 in 0 'locked';");
        assert_int_equal(s->connection.helpers, 0);
}

static void ends_a_program_that_speaks_out_of_turn(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        s->connection.decision = &d;
        send_start(s, "shell", true);
        send_output(s, STR("too early"));
        assert_string_equal(received(s), "closed");
        assert_null(s->checked);
}

static void reports_the_size_at_intervals(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();

        given_a_session(s, &d);
        for (uint32_t i = 0; i < 100; i++)
                send_resize(s, 100 + i);
        assert_string_equal(reported(s), "resize 100x24;");
        turn(s, 2000);
        assert_string_equal(reported(s), "resize 100x24;resize 199x24;");
}

static void waits_when_files_come_faster_than_acknowledged(void **state)
{
        struct ssh_service *s = *state;
        decision_message d = a_decision();
        helper_up up = CTELEPORT__SESSION__V1__HELPER_UP__INIT;
        Cteleport__Session__V1__FileOperation op = CTELEPORT__SESSION__V1__FILE_OPERATION__INIT;
        size_t acknowledged = 0;

        given_a_session(s, &d);
        op.action = "remove";
        op.path = "/x";
        up.payload_case = CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_FILE;
        up.file = &op;
        for (int i = 0; i < LIMIT_FILES_UNACKED + 100; i++)
                send_message(s, &up);
        /* The socket is not read any more: pending bytes stay in it. */
        assert_in_range(s->ack_count, LIMIT_FILES_UNACKED, LIMIT_FILES_UNACKED + 50);
        while (s->ack_count > 0) {
                acknowledged += s->ack_count;
                acknowledge_all(s, 0);
                turns(s, 50);
        }
        assert_int_equal(acknowledged, LIMIT_FILES_UNACKED + 100);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
                T(gives_sshd_the_decision),
                T(gives_no_more_than_was_decided),
                T(refuses_users_that_the_cluster_refuses),
                T(refuses_a_question_about_a_login_of_any_other_user),
                T(reserves_helpers_for_users_that_have_few),
                T(refuses_a_process_that_sshd_did_not_start),
                T(refuses_helpers_that_send_nothing_or_invalid_messages),
                T(refuses_a_session_that_must_be_recorded_and_cannot),
                T(reports_when_a_session_is_not_recorded),
                T(ends_a_strict_session_when_its_recording_fails),
                T(continues_in_best_effort_and_reports_it),
                T(a_terminal_waits_for_a_disk_that_is_stuck),
                T(reports_a_program_that_vanished),
                T(passes_the_end_of_its_connection_on),
                T(gives_up_a_program_that_does_not_end),
                T(ends_a_program_that_speaks_out_of_turn),
                T(reports_the_size_at_intervals),
                T(waits_when_files_come_faster_than_acknowledged),
#undef T
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
