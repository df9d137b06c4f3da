/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: a supervisor in a process of its own with stand-ins for the services (stand_in.h), and its events.
 */
#ifndef SUPERVISOR_SUPERVISOR_TESTING_H
#define SUPERVISOR_SUPERVISOR_TESTING_H

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/file_testing.h"
#include "resource/config_file.h"
#include "supervisor/supervisor.h"

enum { TIMEOUT_SECONDS = 60 }; /* limit for an event that never comes; no test uses a shorter one */

/* ---- a supervisor under test --------------------------------------------------------------------------------- */

enum { EVENTS_MAX = 256 };

struct event {
        char *line;
        bool is_taken;
};

struct fixture {
        char *dir;
        struct launch launch;
        pid_t pid;
        FILE *events;
        struct event seen[EVENTS_MAX];
        size_t event_count;
        struct event *last;
};

static UNUSED const char base_config[] = "version: v3\n"
                                  "teleport:\n"
                                  "  join_params: {token_name: secret-token, method: token}\n"
                                  "  auth_server: 127.0.0.1\n"
                                  "auth_service: {listen_addr: \"127.0.0.1:0\", tokens: [\"node:static\"]}\n"
                                  "proxy_service: {web_listen_addr: \"127.0.0.1:0\"}\n";

static UNUSED const char agent_config[] = "version: v3\n"
                                   "teleport: {auth_server: 127.0.0.1, join_params: {token_name: t, method: iam}}\n"
                                   "auth_service: {enabled: no}\n"
                                   "proxy_service: {enabled: no}\n"
                                   "ssh_service: {enabled: yes}\n";

static inline UNUSED void timeout_is_over(int signum)
{
        (void)signum;
        static const char words[] = "an event did not come\n";
        ssize_t n = write(2, words, sizeof(words) - 1);
        (void)n;
        _exit(1);
}

static inline UNUSED int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        signal(SIGALRM, timeout_is_over);
        alarm(TIMEOUT_SECONDS);
        f->dir = test_dir_new();
        AUTO_MEM char *fifo = path_in(f->dir, "events");
        assert_int_equal(mkfifo(fifo, 0600), 0);
        *state = f;
        return 0;
}

static inline UNUSED int tear_down(void **state)
{
        struct fixture *f = *state;

        alarm(0);
        if (f->pid > 0) {
                kill(f->pid, SIGKILL);
                waitpid(f->pid, NULL, 0);
        }
        if (f->events != NULL)
                fclose(f->events);
        for (size_t i = 0; i < f->event_count; i++)
                free(f->seen[i].line);
        test_dir_free(f->dir);
        launch_release(&f->launch);
        free(f);
        return 0;
}

/* Reads data_dir/teleport.yaml, and data_dir/token if it exists. */
static inline UNUSED struct error *load(const void *ctx, struct launch *ret)
{
        const struct fixture *f = ctx;
        AUTO(buf) token = BUF_MAX(256);
        AUTO_MEM char *token_path = path_in(f->dir, "token"), *config_path = path_in(f->dir, "teleport.yaml"), *pid_path = path_in(f->dir, "pid");

        *ret = (struct launch){ .arena = arena_new(8 * MiB), .again = load, .again_ctx = f };
        TRY(config_file_load(ret->arena, config_path, NULL, &ret->config));
        ret->config->teleport->data_dir = f->dir;
        TRY(config_check(ret->config, ret->arena, NULL));
        ret->config_path = str_to_c(ret->arena, str_of(config_path));
        ret->nodename = "host";
        ret->data_dir = f->dir;
        ret->pid_file = str_to_c(ret->arena, str_of(pid_path));
        AUTO_PTR(error) none = file_read(token_path, &token);
        ret->token = secret_of(none == NULL ? buf_str(&token) : STR("secret-token"));
        return NULL;
}

/* Runs it in a process of its own; its log and its last error go to data_dir/log. */
static inline UNUSED void start_with(struct fixture *f, const char *config)
{
        AUTO_MEM char *fifo = path_in(f->dir, "events"), *log_path = path_in(f->dir, "log");

        given_file(f->dir, "teleport.yaml", config);
        assert_null(load(f, &f->launch));
        setenv("AWS_SECRET_ACCESS_KEY", "do not tell", 1);
        setenv("HTTPS_PROXY", "http://user:password@127.0.0.1:1", 1);
        f->pid = fork();
        if (f->pid == 0) {
                int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

                alarm(0);
                dup2(log, STDERR_FILENO);
                struct error *err = supervisor_run(&f->launch);
                if (err != NULL)
                        error_print(err);
                launch_release(&f->launch);
                bool failed = err != NULL;
                error_free(err);
                exit(failed ? 1 : 0);
        }
        f->events = fopen(fifo, "re");
        assert_non_null(f->events);
}

static inline UNUSED void start(struct fixture *f)
{
        start_with(f, base_config);
}

/* The next event of a service, kept until a test waits for it; false after the last. */
static inline UNUSED bool read_event(struct fixture *f)
{
        char line[512];

        if (fgets(line, sizeof(line), f->events) == NULL)
                return false;
        assert_in_range(f->event_count, 0, EVENTS_MAX - 1);
        f->seen[f->event_count++] = (struct event){ .line = str_dup(str_of(line)) };
        return true;
}

/* The first event with this prefix that no test has awaited yet. */
static inline UNUSED struct event *find_event(struct fixture *f, const char *prefix)
{
        for (size_t i = 0; i < f->event_count; i++)
                if (!f->seen[i].is_taken && strncmp(f->seen[i].line, prefix, strlen(prefix)) == 0)
                        return &f->seen[i];
        return NULL;
}

static inline UNUSED void fail_with_log(const struct fixture *f, const char *prefix)
{
        AUTO_MEM char *path = path_in(f->dir, "log");
        AUTO(buf) log = BUF_MAX(64 * KiB);
        AUTO_PTR(error) err = file_read(path, &log);

        fail_msg("'%s' did not come:\n%s", prefix, err == NULL ? buf_c(&log) : err->what);
}

/* Waits for events with these prefixes, in any order; f->last is the one of the last prefix. */
static inline UNUSED void await(struct fixture *f, const char *const *prefixes)
{
        for (; *prefixes != NULL; prefixes++) {
                while ((f->last = find_event(f, *prefixes)) == NULL)
                        if (!read_event(f))
                                fail_with_log(f, *prefixes);
                f->last->is_taken = true;
        }
}
#define AWAIT(f, ...) await(f, (const char *const[]){ __VA_ARGS__, NULL })

static inline UNUSED pid_t pid_of_last_line(const struct fixture *f)
{
        const char *at = strstr(f->last->line, "pid=");

        assert_non_null(at);
        return (pid_t)strtol(at + 4, NULL, 10);
}

static inline UNUSED int await_end(struct fixture *f)
{
        int status;

        assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
        f->pid = 0;
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static inline UNUSED void await_all_linked(struct fixture *f)
{
        AWAIT(f, "auth receives signer", "signer receives auth", "auth receives sts", "sts receives auth", "auth receives proxy",
              "proxy receives auth", "auth receives instance", "instance receives auth", "instance receives proxy",
              "proxy receives instance", "auth receives ssh", "ssh receives auth", "instance receives ssh", "ssh receives instance");
}

/* All services are ready and reported: an earlier death is a different case. */
static inline UNUSED void await_started(const struct fixture *f)
{
        AUTO_MEM char *pid_path = path_in(f->dir, "pid");

        while (access(pid_path, F_OK) < 0)
                sched_yield();
}

static inline UNUSED void assert_log(const struct fixture *f, const char *part)
{
        AUTO_MEM char *path = path_in(f->dir, "log");
        AUTO(buf) log = BUF_MAX(64 * KiB);

        assert_null(file_read(path, &log));
        if (!str_contains(buf_str(&log), str_of(part)))
                fail_msg("the log lacks '%s':\n%s", part, buf_c(&log));
}

static inline UNUSED size_t count_events(const struct fixture *f, const char *prefix)
{
        size_t count = 0;

        for (size_t i = 0; i < f->event_count; i++)
                count += strncmp(f->seen[i].line, prefix, strlen(prefix)) == 0;
        return count;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
