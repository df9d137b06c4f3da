/* SPDX-License-Identifier: Apache-2.0 */
#include "api/service.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/child_message.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "os/fdpass.h"
#include "os/sandbox.h"

typedef Cteleport__Internal__V1__Boot boot_message;
typedef Cteleport__Internal__V1__Control control_message;

/* A child set up as by the supervisor; runs act and exits with its result. */
struct child {
        pid_t pid;
        int control;   /* our end of its descriptor 4 */
        int sibling; /* our end of its descriptor 5, "auth" */
        char packet[CHILD_MESSAGE_MAX];
};

/* fd_name: of the only descriptor beside boot and control. */
static int boot_memfd(char *fd_name)
{
        char *fds[] = { fd_name };
        boot_message boot = CTELEPORT__INTERNAL__V1__BOOT__INIT;
        char bytes[512];

        boot.service = "proxy";
        boot.nodename = "web-1";
        Cteleport__Internal__V1__InstanceBoot own = CTELEPORT__INTERNAL__V1__INSTANCE_BOOT__INIT;
        own.token = "secret";
        boot.own_case = CTELEPORT__INTERNAL__V1__BOOT__OWN_INSTANCE;
        boot.instance = &own;
        boot.fds = fds;
        boot.n_fds = 1;
        size_t len = cteleport__internal__v1__boot__pack(&boot, (uint8_t *)bytes);
        int fd = memfd_create("boot", MFD_CLOEXEC);
        assert_int_equal(write(fd, bytes, len), (ssize_t)len);
        return fd;
}

static struct child start_child(int (*act)(struct service *s))
{
        struct child c;
        int theirs, links[2];

        assert_null(fdpass_pair(&c.control, &theirs));
        assert_null(fdpass_pair(&links[0], &links[1]));
        c.sibling = links[0];
        c.pid = fork();
        if (c.pid == 0) {
                struct service s;
                int boot = fcntl(boot_memfd("auth"), F_DUPFD, 64);
                int control = fcntl(theirs, F_DUPFD, 64), link = fcntl(links[1], F_DUPFD, 64);

                dup2(boot, SERVICE_FD_BOOT);
                dup2(control, SERVICE_FD_CONTROL);
                dup2(link, SERVICE_FD_FIRST);
                process_close_from(SERVICE_FD_FIRST + 1);
                struct error *err = service_begin(&s);
                if (err != NULL)
                        _exit(99);
                _exit(act(&s));
        }
        close(theirs);
        close(links[1]);
        return c;
}

static int end_child(struct child *c)
{
        int status;

        if (c->control >= 0)
                close(c->control);
        close(c->sibling);
        assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void command(struct child *c, Cteleport__Internal__V1__Control__Kind kind, char *name, int fd)
{
        control_message control = CTELEPORT__INTERNAL__V1__CONTROL__INIT;
        char bytes[256];

        control.kind = kind;
        if (name != NULL)
                control.name = name;
        size_t len = cteleport__internal__v1__control__pack(&control, (uint8_t *)bytes);
        assert_null(fdpass_send(c->control, str_of_bytes(bytes, len), fd));
}

/* The next message of the service; borrows from c. */
static struct child_message receive(struct child *c)
{
        struct child_message message;
        size_t len;
        int fd;

        assert_null(fdpass_receive(c->control, c->packet, sizeof(c->packet), &len, &fd));
        assert_null(child_message_parse(str_of_bytes(c->packet, len), &message));
        return message;
}

/* ---- the children ------------------------------------------------------------------------------- */

static int check_what_it_was_given(struct service *s)
{
        if (strcmp(s->boot->service, "proxy") != 0 || strcmp(s->boot->nodename, "web-1") != 0)
                return 1;
        if (service_take_fd(s, "listen") != -1)
                return 2;
        int fd = service_take_fd(s, "auth");
        if (fd != SERVICE_FD_FIRST || (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
                return 3;
        if (service_take_fd(s, "auth") != -1)
                return 4;
        return write(fd, "x", 1) == 1 ? 0 : 5;
}

struct received {
        struct loop loop;
        struct service *service;
        int stops, drains, links;
};

static void on_stop(void *ctx)
{
        struct received *h = ctx;

        h->stops++;
        loop_stop(&h->loop);
}

static void on_drain(void *ctx)
{
        struct received *h = ctx;

        h->drains++;
}

static void on_link(void *ctx, const char *name, int fd)
{
        struct received *h = ctx;

        h->links += strcmp(name, "auth") == 0 && write(fd, "y", 1) == 1;
        close(fd);
}

/* Exits with stops + 10 * drains + 100 * links, when its loop has ended. */
static int count_received(struct service *s, const struct service_events *events)
{
        struct received h = { .service = s };

        if (loop_init(&h.loop, NULL) != NULL || service_control(s, &h.loop, events, &h) != NULL)
                return 98;
        service_ready(s);
        loop_run(&h.loop);
        service_end(s);
        loop_release(&h.loop);
        return h.stops + 10 * h.drains + 100 * h.links;
}

static int count_what_it_receives(struct service *s)
{
        static const struct service_events events = { .on_stop = on_stop, .on_drain = on_drain, .on_link = on_link };

        return count_received(s, &events);
}

/* Does not stop the loop. */
static void on_any_end(void *ctx)
{
        struct received *h = ctx;

        h->stops++;
}

static int finish_nothing(struct service *s)
{
        static const struct service_events events = { .on_stop = on_any_end };

        return count_received(s, &events);
}

static int give_up(struct service *s)
{
        service_fatal(s, error_hint(error_because(error_new(ERROR_DATA_LOSS, "the store is damaged"),
                                                  error_new(ERROR_INTERNAL, "page 7 is torn")),
                                    "restore it from a backup"));
        return 1;
}

/* ---- the tests ---------------------------------------------------------------------------------- */

static void gives_each_descriptor_once_by_its_name(void **state)
{
        char byte;
        struct child c = start_child(check_what_it_was_given);

        (void)state;
        assert_int_equal(read(c.sibling, &byte, 1), 1);
        assert_int_equal(end_child(&c), 0);
}

static void refuses_to_run_without_a_supervisor(void **state)
{
        (void)state;
        pid_t child = fork();
        if (child == 0) {
                struct service s;

                process_close_from(SERVICE_FD_BOOT);
                struct error *err = service_begin(&s);
                _exit(err != NULL && err->code == ERROR_FAILED_PRECONDITION && err->hint != NULL ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
}

/* Whether a service begins with memory of this size for its metrics. */
static bool begins_with_metrics(size_t size)
{
        pid_t child = fork();

        if (child == 0) {
                int boot = fcntl(boot_memfd("metrics"), F_DUPFD, 64), memory = memfd_create("metrics", MFD_CLOEXEC);
                struct service s;

                assert_int_equal(ftruncate(memory, (off_t)size), 0);
                memory = fcntl(memory, F_DUPFD, 64);
                dup2(boot, SERVICE_FD_BOOT);
                dup2(memory, SERVICE_FD_CONTROL); /* not used */
                dup2(memory, SERVICE_FD_FIRST);
                struct error *err = service_begin(&s);
                _exit(err == NULL ? 0 : err->code == ERROR_FAILED_PRECONDITION && err->hint != NULL ? 1 : 2);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        return WEXITSTATUS(status) == 0;
}

static void refuses_memory_that_is_too_small_for_its_metrics(void **state)
{
        (void)state;
        assert_true(begins_with_metrics(metrics_size()));
        assert_true(begins_with_metrics(metrics_size_with_room()));
        assert_false(begins_with_metrics(metrics_size() - 1));
        assert_false(begins_with_metrics(0));
}

static void reports_ready_and_follows_orders(void **state)
{
        struct child c = start_child(count_what_it_receives);
        int pipe_ends[2];
        char byte;

        (void)state;
        assert_int_equal(receive(&c).kind, CHILD_SENT_READY);

        assert_int_equal(pipe(pipe_ends), 0);
        command(&c, CTELEPORT__INTERNAL__V1__CONTROL__KIND__LINK, "auth", pipe_ends[1]);
        close(pipe_ends[1]);
        assert_int_equal(read(pipe_ends[0], &byte, 1), 1);
        assert_int_equal(byte, 'y');
        close(pipe_ends[0]);
        command(&c, CTELEPORT__INTERNAL__V1__CONTROL__KIND__DRAIN, NULL, -1);
        command(&c, CTELEPORT__INTERNAL__V1__CONTROL__KIND__STOP, NULL, -1);
        command(&c, CTELEPORT__INTERNAL__V1__CONTROL__KIND__STOP, NULL, -1);
        assert_int_equal(end_child(&c), 111);
}

static void a_process_with_nothing_to_finish_ends_when_it_is_drained(void **state)
{
        struct child c = start_child(finish_nothing);

        (void)state;
        assert_int_equal(receive(&c).kind, CHILD_SENT_READY);
        command(&c, CTELEPORT__INTERNAL__V1__CONTROL__KIND__DRAIN, NULL, -1);
        assert_int_equal(end_child(&c), 1);
}

static void stops_when_the_supervisor_is_gone(void **state)
{
        struct child c = start_child(count_what_it_receives);

        (void)state;
        close(c.control);
        c.control = -1;
        assert_int_equal(end_child(&c), 1);
}

static void reports_the_whole_reason_when_it_gives_up(void **state)
{
        struct child c = start_child(give_up);

        (void)state;
        struct child_message fatal = receive(&c);
        assert_int_equal(fatal.kind, CHILD_SENT_FATAL);
        assert_string_equal(fatal.text, "the store is damaged; because page 7 is torn");
        assert_string_equal(fatal.hint, "restore it from a backup");
        assert_int_equal(end_child(&c), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(gives_each_descriptor_once_by_its_name),
                cmocka_unit_test(refuses_to_run_without_a_supervisor),
                cmocka_unit_test(refuses_memory_that_is_too_small_for_its_metrics),
                cmocka_unit_test(reports_ready_and_follows_orders),
                cmocka_unit_test(a_process_with_nothing_to_finish_ends_when_it_is_drained),
                cmocka_unit_test(stops_when_the_supervisor_is_gone),
                cmocka_unit_test(reports_the_whole_reason_when_it_gives_up),
        };

        return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
