/* SPDX-License-Identifier: Apache-2.0 */
#include "os/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdlib.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/file_testing.h"

static const struct sandbox_paths no_paths;

/* Runs act in a child of this kind; returns its wait status. */
static int in_sandbox(enum sandbox_kind kind, struct sandbox_paths paths, int (*act)(void))
{
        int status;
        pid_t child = fork();

        if (child == 0) {
                struct error *err = sandbox_enter(kind, paths);

                if (err != NULL) {
                        error_print(err);
                        _exit(99);
                }
                _exit(act());
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        return status;
}

static void assert_killed(int status)
{
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void assert_exits(int status, int code)
{
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), code);
}

static bool kernel_has_landlock(void)
{
        return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

/* ---- state in /proc ------------------------------------------------------------------------------ */

static void assert_status(const char *status, const char *line)
{
        if (strstr(status, line) == NULL)
                fail_msg("/proc/PID/status lacks '%s'", line);
}

static void shows_in_proc_for_every_kind(void **state)
{
        (void)state;
        for (enum sandbox_kind kind = 0; kind < SANDBOX_KINDS; kind++) {
                int hold[2], entered[2];
                char byte;

                assert_int_equal(pipe(hold), 0);
                assert_int_equal(pipe(entered), 0);
                pid_t child = fork();
                if (child == 0) {
                        struct error *err = sandbox_enter(kind, no_paths);
                        ssize_t reported = write(entered[1], err == NULL ? "y" : "n", 1);
                        close(hold[1]);
                        _exit(reported == 1 && read(hold[0], &byte, 1) == 0 ? 0 : 1);
                }
                assert_int_equal(read(entered[0], &byte, 1), 1);
                assert_int_equal(byte, 'y');

                AUTO_MEM char *path = mem_printf("/proc/%ld/status", (long)child);
                AUTO(buf) status = BUF_MAX(16 * KiB);
                assert_null(file_read(path, &status));
                assert_status(buf_c(&status), "NoNewPrivs:\t1");
                assert_status(buf_c(&status), "CapEff:\t0000000000000000");
                assert_status(buf_c(&status), "CapPrm:\t0000000000000000");
                assert_status(buf_c(&status), "Seccomp:\t2");
                close(hold[1]);
                close(hold[0]);
                close(entered[0]);
                close(entered[1]);
                int code;
                assert_int_equal(waitpid(child, &code, 0), child);
                assert_exits(code, 0);
        }
}

/* ---- forbidden actions --------------------------------------------------------------------------- */

static int act_socket(void)
{
        return socket(AF_INET, SOCK_STREAM, 0) < 0;
}

static int act_netlink(void)
{
        return socket(AF_NETLINK, SOCK_RAW, 0) < 0;
}

static int act_packet(void)
{
        return socket(AF_PACKET, SOCK_RAW, 0) < 0;
}

static int act_execute(void)
{
        execl("/bin/true", "true", (char *)NULL);
        return 1;
}

static int act_fork(void)
{
        return fork() < 0;
}

static int act_bind(void)
{
        struct sockaddr any = { .sa_family = AF_INET };

        return bind(0, &any, sizeof(any)) < 0;
}

static int act_listen(void)
{
        return listen(0, 8) < 0;
}

static int act_trace_parent(void)
{
        return syscall(SYS_ptrace, 16 /* PTRACE_ATTACH */, getppid(), 0, 0) < 0;
}

static int act_read_parents_memory(void)
{
        char byte;
        struct iovec here = { &byte, 1 }, there = { &byte, 1 };

        return syscall(SYS_process_vm_readv, getppid(), &here, 1, &there, 1, 0) < 0;
}

static int act_executable_memory(void)
{
        return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int act_writable_executable_memory(void)
{
        return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int act_regain_root(void)
{
        return setuid(0) < 0;
}

static int act_kill_parent(void)
{
        return kill(getppid(), 0) < 0;
}

static void kills_on_system_calls_that_the_row_does_not_allow(void **state)
{
        /* clang-format off */
        static const struct {
                enum sandbox_kind kind;
                int (*act)(void);
        } cases[] = {
                { SANDBOX_SIGNER, act_socket },  { SANDBOX_SIGNER, act_execute },
                { SANDBOX_SIGNER, act_fork },    { SANDBOX_SIGNER, act_executable_memory },
                { SANDBOX_STS, act_execute },    { SANDBOX_STS, act_fork },
                { SANDBOX_STS, act_bind },       { SANDBOX_STS, act_writable_executable_memory },
                { SANDBOX_STS, act_listen },     { SANDBOX_STS, act_trace_parent },
                { SANDBOX_STS, act_read_parents_memory },
                { SANDBOX_SIGNER, act_listen },  { SANDBOX_AUTH, act_listen },
                { SANDBOX_PROXY, act_listen },   { SANDBOX_SSH, act_listen },
                { SANDBOX_AUTH, act_trace_parent },  { SANDBOX_AUTH, act_read_parents_memory },
                { SANDBOX_PROXY, act_trace_parent }, { SANDBOX_PROXY, act_read_parents_memory },
                { SANDBOX_SSH, act_trace_parent },   { SANDBOX_SSH, act_read_parents_memory },
                { SANDBOX_AUTH, act_execute },   { SANDBOX_AUTH, act_fork },
                { SANDBOX_AUTH, act_socket },    { SANDBOX_AUTH, act_executable_memory },
                { SANDBOX_PROXY, act_execute },  { SANDBOX_PROXY, act_fork },
                { SANDBOX_PROXY, act_bind },     { SANDBOX_PROXY, act_writable_executable_memory },
                { SANDBOX_PROXY, act_regain_root },
                { SANDBOX_INSTANCE, act_execute },  { SANDBOX_INSTANCE, act_fork },
                { SANDBOX_INSTANCE, act_bind },     { SANDBOX_INSTANCE, act_writable_executable_memory },
                { SANDBOX_INSTANCE, act_regain_root },
                { SANDBOX_INSTANCE_LOCAL, act_execute }, { SANDBOX_INSTANCE_LOCAL, act_socket },
                { SANDBOX_DIAG, act_execute },   { SANDBOX_DIAG, act_fork },
                { SANDBOX_DIAG, act_socket },    { SANDBOX_DIAG, act_executable_memory },
                { SANDBOX_ACME, act_execute },   { SANDBOX_ACME, act_fork },
                { SANDBOX_ACME, act_bind },      { SANDBOX_ACME, act_writable_executable_memory },
                { SANDBOX_ACME, act_listen },    { SANDBOX_ACME, act_trace_parent },
                { SANDBOX_ACME, act_read_parents_memory },
                { SANDBOX_SSH, act_execute },    { SANDBOX_SSH, act_fork },
                { SANDBOX_SSH, act_bind },       { SANDBOX_SSH, act_writable_executable_memory },
                { SANDBOX_AUTHORIZE, act_execute }, { SANDBOX_AUTHORIZE, act_fork },
                { SANDBOX_AUTHORIZE, act_socket },  { SANDBOX_AUTHORIZE, act_executable_memory },
                { SANDBOX_AUTHORIZE, act_trace_parent }, { SANDBOX_AUTHORIZE, act_read_parents_memory },
                { SANDBOX_AUTHORIZE, act_kill_parent }, { SANDBOX_AUTHORIZE, act_listen },
                { SANDBOX_INSTANCE, act_trace_parent }, { SANDBOX_INSTANCE, act_read_parents_memory },
                { SANDBOX_INSTANCE, act_listen },
        };
        /* clang-format on */
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                assert_killed(in_sandbox(cases[i].kind, no_paths, cases[i].act));
}

static void answers_families_it_does_not_have(void **state)
{
        (void)state;
        assert_exits(in_sandbox(SANDBOX_STS, no_paths, act_netlink), 1);
        assert_exits(in_sandbox(SANDBOX_PROXY, no_paths, act_packet), 1);
}

static void lets_those_with_network_open_internet_sockets(void **state)
{
        (void)state;
        assert_exits(in_sandbox(SANDBOX_STS, no_paths, act_socket), 0);
        assert_exits(in_sandbox(SANDBOX_PROXY, no_paths, act_socket), 0);
        assert_exits(in_sandbox(SANDBOX_INSTANCE, no_paths, act_socket), 0);
}

static int act_change_user(void)
{
        return setresuid(0, 0, 0) < 0 ? 0 : 1;
}

static void keeps_those_that_start_programs_from_changing_users(void **state)
{
        (void)state;
        assert_exits(in_sandbox(SANDBOX_AWS_SIGN, no_paths, act_change_user), 0);
        assert_exits(in_sandbox(SANDBOX_LABELS, no_paths, act_change_user), 0);
}

/* ---- permitted actions --------------------------------------------------------------------------- */

static void *send_seven(void *arg)
{
        (void)arg;
        return (void *)7;
}

static int act_thread(void)
{
        pthread_t thread;
        void *result = NULL;

        if (pthread_create(&thread, NULL, send_seven, NULL) != 0)
                return 1;
        pthread_join(thread, &result);
        return result == (void *)7 ? 0 : 2;
}

static void lets_the_pool_start_its_threads(void **state)
{
        (void)state;
        assert_exits(in_sandbox(SANDBOX_STS, no_paths, act_thread), 0);
        assert_exits(in_sandbox(SANDBOX_AUTH, no_paths, act_thread), 0);
        assert_exits(in_sandbox(SANDBOX_PROXY, no_paths, act_thread), 0);
}

static char *test_dir;

static int act_write_inside(void)
{
        AUTO_MEM char *path = path_in(test_dir, "identity");
        AUTO(buf) out = BUF_MAX(100);

        if (file_write_atomic(path, STR("x"), 0600) != NULL)
                return 1;
        return file_read(path, &out) == NULL ? 0 : 2;
}

static int act_open_passwd(void)
{
        return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0;
}

static void confines_files_to_the_named_trees(void **state)
{
        (void)state;
        test_dir = test_dir_new();
        const struct sandbox_paths inside = { .write = (const char *const[]){ test_dir, NULL } };
        assert_exits(in_sandbox(SANDBOX_INSTANCE_LOCAL, inside, act_write_inside), 0);
        assert_exits(in_sandbox(SANDBOX_AUTH, inside, act_write_inside), 0);
        assert_exits(in_sandbox(SANDBOX_INSTANCE, inside, act_write_inside), 0);
        for (enum sandbox_kind kind = SANDBOX_STS; kind < SANDBOX_KINDS; kind++)
                assert_exits(in_sandbox(kind, inside, act_open_passwd), kernel_has_landlock() ? 1 : 0);
        assert_killed(in_sandbox(SANDBOX_SIGNER, inside, act_open_passwd));
        assert_killed(in_sandbox(SANDBOX_AUTHORIZE, inside, act_open_passwd));
        assert_killed(in_sandbox(SANDBOX_DIAG, inside, act_open_passwd));
        test_dir_free(test_dir);
}

static int act_make_file(void)
{
        AUTO_MEM char *path = path_in(test_dir, "planted");

        return open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0;
}

static int act_change_file(void)
{
        AUTO_MEM char *path = path_in(test_dir, "kept");

        return open(path, O_WRONLY | O_APPEND | O_CLOEXEC) < 0;
}

static int act_remove_file(void)
{
        AUTO_MEM char *path = path_in(test_dir, "kept");

        return unlink(path) < 0;
}

/* Of a file that they may read, and of a world-writable directory. */
static void a_service_without_own_files_may_write_none(void **state)
{
        static const enum sandbox_kind kinds[] = { SANDBOX_STS, SANDBOX_PROXY };

        (void)state;
        test_dir = test_dir_new();
        assert_int_equal(chmod(test_dir, 0777), 0);
        AUTO_MEM char *kept = path_in(test_dir, "kept");
        assert_null(file_write_atomic(kept, STR("kept"), 0666));
        assert_int_equal(chmod(kept, 0666), 0);
        const struct sandbox_paths outside = { .read = (const char *const[]){ kept, NULL } };
        for (size_t i = 0; i < ARRAY_LEN(kinds) && kernel_has_landlock(); i++) {
                assert_exits(in_sandbox(kinds[i], outside, act_make_file), 1);
                assert_exits(in_sandbox(kinds[i], outside, act_change_file), 1);
                assert_killed(in_sandbox(kinds[i], outside, act_remove_file));
        }
        assert_int_equal(count_entries(test_dir), 1);
        test_dir_free(test_dir);
}

static void refuses_to_go_on_without_a_tree_it_must_write(void **state)
{
        const char *const trees[] = { "/nonexistent/data", NULL };

        (void)state;
        if (!kernel_has_landlock())
                skip();
        int status = in_sandbox(SANDBOX_AUTH, (struct sandbox_paths){ .write = trees }, act_thread);
        assert_exits(status, 99);
}

static void runs_credential_programs_from_readable_trees_only(void **state)
{
        const char *const trees[] = { "/bin", "/usr", "/lib", "/lib64", "/etc", NULL };

        (void)state;
        if (!kernel_has_landlock())
                skip();
        assert_exits(in_sandbox(SANDBOX_AWS_SIGN, (struct sandbox_paths){ .read = trees }, act_execute), 0);
        assert_exits(in_sandbox(SANDBOX_AWS_SIGN, no_paths, act_execute), 1);
}

/* ---- users and hardening ------------------------------------------------------------------------- */

static int act_check_user(void)
{
        int signum = 0;

        if (geteuid() == 0 || getuid() == 0 || getegid() == 0)
                return 1;
        return prctl(PR_GET_PDEATHSIG, &signum, 0, 0, 0) == 0 && signum == SIGKILL ? 0 : 2;
}

static const struct sandbox_user some_user = { "teleport-test", 61180 };

static void dies_with_its_parent_after_a_change_of_user(void **state)
{
        (void)state;
        if (geteuid() != 0)
                skip();
        pid_t child = fork();
        if (child == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
                struct error *err = sandbox_become_unprivileged(&some_user);
                if (err != NULL)
                        _exit(99);
                _exit(act_check_user());
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_exits(status, 0);
}

/* The IDs of the supervisor count, not those of the account database or the fallback. */
static void becomes_the_user_of_the_given_ids(void **state)
{
        (void)state;
        if (geteuid() != 0)
                skip();
        pid_t child = fork();
        if (child == 0) {
                uid_t uid = some_user.fallback + 1;

                sandbox_know_user(&some_user, uid, (gid_t)uid);
                struct error *err = sandbox_become_unprivileged(&some_user);
                _exit(err == NULL && getuid() == uid && getgid() == (gid_t)uid ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_exits(status, 0);
}

/* ---- giving files away ---------------------------------------------------------------------------------- */

struct tree {
        char *dir, *file, *deep, *outside, *link;
};

static void given_tree(struct tree *t)
{
        t->dir = test_dir_new();
        AUTO_MEM char *ours = path_in(t->dir, "ours");
        AUTO_MEM char *below = path_in(t->dir, "ours/below");
        assert_int_equal(mkdir(ours, 0700), 0);
        assert_int_equal(mkdir(below, 0700), 0);
        t->file = path_in(t->dir, "ours/file");
        t->deep = path_in(t->dir, "ours/below/file");
        t->outside = path_in(t->dir, "outside");
        t->link = path_in(t->dir, "ours/link");
        assert_null(file_write_atomic(t->file, STR("x"), 0600));
        assert_null(file_write_atomic(t->deep, STR("x"), 0600));
        assert_null(file_write_atomic(t->outside, STR("secret"), 0600));
}

static struct error *give(const struct tree *t)
{
        AUTO_MEM char *ours = path_in(t->dir, "ours");

        return sandbox_give(&some_user, ours);
}

static uid_t owner_of(const char *path)
{
        struct stat st;

        assert_int_equal(lstat(path, &st), 0);
        return st.st_uid;
}

static void remove_tree(struct tree *t)
{
        test_dir_free(t->dir);
        free(t->file);
        free(t->deep);
        free(t->outside);
        free(t->link);
}

static void gives_all_that_is_in_a_directory(void **state)
{
        struct tree t;

        (void)state;
        if (geteuid() != 0)
                skip();
        given_tree(&t);
        assert_null(give(&t));
        assert_int_equal(owner_of(t.file), some_user.fallback);
        assert_int_equal(owner_of(t.deep), some_user.fallback);
        assert_int_equal(owner_of(t.outside), 0);
        assert_null(give(&t)); /* as at each start */
        remove_tree(&t);
}

static void gives_no_file_that_has_another_name(void **state)
{
        struct tree t;

        (void)state;
        if (geteuid() != 0)
                skip();
        given_tree(&t);
        assert_int_equal(link(t.outside, t.link), 0);
        assert_code(give(&t), ERROR_PERMISSION_DENIED);
        assert_int_equal(owner_of(t.outside), 0);
        remove_tree(&t);
}

static void follows_no_link_when_it_gives(void **state)
{
        struct tree t;

        (void)state;
        if (geteuid() != 0)
                skip();
        given_tree(&t);
        assert_int_equal(symlink(t.outside, t.link), 0);
        assert_null(give(&t));
        assert_int_equal(owner_of(t.outside), 0);
        remove_tree(&t);
}

static void gives_no_file_of_another_user(void **state)
{
        struct tree t;

        (void)state;
        if (geteuid() != 0)
                skip();
        given_tree(&t);
        assert_int_equal(chown(t.deep, 12345, 12345), 0);
        assert_code(give(&t), ERROR_PERMISSION_DENIED);
        assert_int_equal(owner_of(t.deep), 12345);
        remove_tree(&t);
}

/* ---- signals and sockets ------------------------------------------------------------------------------------ */

static int act_tgkill_parent(void)
{
        return syscall(SYS_tgkill, getppid(), getppid(), 0) < 0;
}

static int act_pidfd(void)
{
        return syscall(SYS_pidfd_open, getppid(), 0) < 0;
}

static int act_signal_itself(void)
{
        return (int)syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 0);
}

static void no_profile_may_signal_another_process(void **state)
{
        static const enum sandbox_kind kinds[] = { SANDBOX_SIGNER, SANDBOX_STS, SANDBOX_AUTH, SANDBOX_PROXY,
                                                   SANDBOX_INSTANCE, SANDBOX_INSTANCE_LOCAL, SANDBOX_SSH };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                assert_killed(in_sandbox(kinds[i], no_paths, act_kill_parent));
                assert_killed(in_sandbox(kinds[i], no_paths, act_tgkill_parent));
                assert_killed(in_sandbox(kinds[i], no_paths, act_pidfd));
                assert_exits(in_sandbox(kinds[i], no_paths, act_signal_itself), 0);
        }
}

static int act_unix_socket(void)
{
        return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}

static int act_datagram_pair(void)
{
        int pair[2];

        return socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0;
}

static int act_stream_pair(void)
{
        int pair[2];

        return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
}

static void reaches_no_unix_socket_of_others(void **state)
{
        static const enum sandbox_kind kinds[] = { SANDBOX_STS, SANDBOX_PROXY, SANDBOX_INSTANCE, SANDBOX_SSH };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                assert_exits(in_sandbox(kinds[i], no_paths, act_unix_socket), 1);
                assert_killed(in_sandbox(kinds[i], no_paths, act_datagram_pair));
                assert_exits(in_sandbox(kinds[i], no_paths, act_stream_pair), 0);
        }
}

/* ---- kernels without Landlock ---------------------------------------------------------------------------------- */

/* The exit code of a process that enters the sandbox on a kernel that answers as one without Landlock. */
static int enter_without_landlock(const char *setting)
{
        int status;
        pid_t child = fork();

        if (child == 0) {
                scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

                if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(landlock_create_ruleset), 0) < 0 ||
                    seccomp_load(filter) < 0)
                        _exit(98);
                if (setting == NULL)
                        unsetenv(SANDBOX_LANDLOCK_SETTING);
                else
                        setenv(SANDBOX_LANDLOCK_SETTING, setting, 1);
                struct error *err = sandbox_enter(SANDBOX_PROXY, no_paths);
                _exit(err == NULL ? 0 : err->code == ERROR_FAILED_PRECONDITION && err->hint != NULL ? 1 : 2);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void refuses_a_kernel_without_landlock_unless_allowed(void **state)
{
        (void)state;
        assert_int_equal(enter_without_landlock(NULL), 1);
        assert_int_equal(enter_without_landlock(""), 1);
        assert_int_equal(enter_without_landlock("yes"), 1);
        assert_int_equal(enter_without_landlock("optional"), 0);
}

static int act_check_hardened(void)
{
        struct rlimit core;

        getrlimit(RLIMIT_CORE, &core);
        if (core.rlim_cur != 0 || core.rlim_max != 0)
                return 1;
        if (umask(0) != 0077)
                return 2;
        return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 ? 3 : 0;
}

static void hardens_a_process(void **state)
{
        (void)state;
        pid_t child = fork();
        if (child == 0) {
                process_harden();
                _exit(act_check_hardened());
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_exits(status, 0);
}

static void closes_descriptors_that_were_not_passed(void **state)
{
        (void)state;
        pid_t child = fork();
        if (child == 0) {
                int fd = open("/dev/null", O_RDONLY);

                process_close_from(fd);
                _exit(fcntl(fd, F_GETFD) < 0 && fcntl(2, F_GETFD) >= 0 ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_exits(status, 0);
}

static void *wait_for_end(void *arg)
{
        char byte;

        return read(*(int *)arg, &byte, 1) == 0 ? NULL : arg;
}

static void refuses_to_enter_beside_other_threads(void **state)
{
        (void)state;
        pid_t child = fork();
        if (child == 0) {
                int ends[2];
                pthread_t thread;

                if (pipe(ends) < 0 || pthread_create(&thread, NULL, wait_for_end, &ends[0]) != 0)
                        _exit(1);
                struct error *err = sandbox_enter(SANDBOX_AUTH, no_paths);
                _exit(err != NULL && err->code == ERROR_FAILED_PRECONDITION ? 0 : 2);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_exits(status, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(shows_in_proc_for_every_kind),
                cmocka_unit_test(kills_on_system_calls_that_the_row_does_not_allow),
                cmocka_unit_test(answers_families_it_does_not_have),
                cmocka_unit_test(lets_those_with_network_open_internet_sockets),
                cmocka_unit_test(keeps_those_that_start_programs_from_changing_users),
                cmocka_unit_test(lets_the_pool_start_its_threads),
                cmocka_unit_test(confines_files_to_the_named_trees),
                cmocka_unit_test(a_service_without_own_files_may_write_none),
                cmocka_unit_test(refuses_to_go_on_without_a_tree_it_must_write),
                cmocka_unit_test(runs_credential_programs_from_readable_trees_only),
                cmocka_unit_test(dies_with_its_parent_after_a_change_of_user),
                cmocka_unit_test(becomes_the_user_of_the_given_ids),
                cmocka_unit_test(gives_all_that_is_in_a_directory),
                cmocka_unit_test(gives_no_file_that_has_another_name),
                cmocka_unit_test(follows_no_link_when_it_gives),
                cmocka_unit_test(gives_no_file_of_another_user),
                cmocka_unit_test(no_profile_may_signal_another_process),
                cmocka_unit_test(reaches_no_unix_socket_of_others),
                cmocka_unit_test(refuses_a_kernel_without_landlock_unless_allowed),
                cmocka_unit_test(hardens_a_process),
                cmocka_unit_test(closes_descriptors_that_were_not_passed),
                cmocka_unit_test(refuses_to_enter_beside_other_threads),
        };

        return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
