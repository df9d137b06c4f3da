/* SPDX-License-Identifier: Apache-2.0 */
/* This process is the sshd of these tests: its children stop right after their execve and are then checked. */
#include "supervisor/helper_check.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "session/sshd_preload.h"

enum { ACCOUNT = 65534 };

struct fixture {
        struct own_program own;
        pid_t helper;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        assert_null(own_program_find(&f->own));
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        if (f->helper > 0) {
                kill(f->helper, SIGKILL);
                waitpid(f->helper, NULL, 0);
        }
        own_program_release(&f->own);
        free(f);
        return 0;
}

static int file_in_memory(struct str image, mode_t mode)
{
        int fd = memfd_create("helper", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, image.ptr, image.len), image.len);
        assert_int_equal(fchmod(fd, mode), 0);
        return fd;
}

static NO_RETURN void become(int fd)
{
        char *const argv[] = { unconst("helper"), NULL }, *const environment[] = { NULL };

        if (setresgid(ACCOUNT, ACCOUNT, ACCOUNT) == 0 && setresuid(ACCOUNT, ACCOUNT, ACCOUNT) == 0 &&
            ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
                syscall(SYS_execveat, fd, "", argv, environment, AT_EMPTY_PATH);
        _exit(1);
}

/* The program, as the account, traced by this process and before its first instruction. */
static void start_traced(struct fixture *f, struct str image, mode_t mode)
{
        int fd = file_in_memory(image, mode), status;

        f->helper = fork();
        if (f->helper == 0)
                become(fd);
        close(fd);
        assert_int_equal(waitpid(f->helper, &status, 0), f->helper);
        assert_true(WIFSTOPPED(status));
}

/* The same, and no process traces it. */
static void start(struct fixture *f, struct str image, mode_t mode)
{
        int status;

        start_traced(f, image, mode);
        assert_int_equal(ptrace(PTRACE_DETACH, f->helper, NULL, SIGSTOP), 0);
        assert_int_equal(waitpid(f->helper, &status, WUNTRACED), f->helper);
        assert_true(WIFSTOPPED(status));
}

static void accepts_a_session_that_no_other_process_can_inspect(void **state)
{
        struct fixture *f = *state;

        if (geteuid() != 0)
                skip();
        start(f, session_program_image(), 0111);
        assert_null(helper_check_process(&f->own, getpid(), f->helper));
}

static void refuses_a_session_that_its_account_can_look_into(void **state)
{
        struct fixture *f = *state;

        if (geteuid() != 0)
                skip();
        start(f, session_program_image(), 0555);
        assert_string_equal(helper_check_process(&f->own, getpid(), f->helper), "other processes of its account can read its memory");
}

static void refuses_a_helper_that_is_traced(void **state)
{
        struct fixture *f = *state;

        if (geteuid() != 0)
                skip();
        start_traced(f, session_program_image(), 0111);
        assert_string_equal(helper_check_process(&f->own, getpid(), f->helper), "another process traces it");
}

static void drop_ptrace_capability(void)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

        if (syscall(SYS_capget, &header, sets) < 0)
                _exit(1);
        sets[CAP_TO_INDEX(CAP_SYS_PTRACE)].effective &= ~CAP_TO_MASK(CAP_SYS_PTRACE);
        sets[CAP_TO_INDEX(CAP_SYS_PTRACE)].permitted &= ~CAP_TO_MASK(CAP_SYS_PTRACE);
        if (syscall(SYS_capset, &header, sets) < 0)
                _exit(1);
}

/* As in a container: root, without SYS_PTRACE. */
static void refuses_processes_that_the_kernel_does_not_show(void **state)
{
        static const char expected[] = "the kernel does not show which program it runs: teleport lacks the capability SYS_PTRACE";
        struct fixture *f = *state;
        pid_t sshd = getpid();
        int status;

        if (geteuid() != 0)
                skip();
        start(f, session_program_image(), 0111);
        pid_t looks = fork();
        if (looks == 0) {
                drop_ptrace_capability();
                const char *objection = helper_check_process(&f->own, sshd, f->helper);
                _exit(objection != NULL && strcmp(objection, expected) == 0 ? 0 : 2);
        }
        assert_int_equal(waitpid(looks, &status, 0), looks);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void refuses_any_other_program(void **state)
{
        struct fixture *f = *state;
        struct str image = session_program_image();
        AUTO_MEM char *changed = mem_alloc(image.len);

        if (geteuid() != 0)
                skip();
        memcpy(changed, image.ptr, image.len);
        changed[image.len - 1] ^= 1;
        start(f, str_of_bytes(changed, image.len), 0111);
        assert_string_equal(helper_check_process(&f->own, getpid(), f->helper), "it is not this program");
}

static void refuses_a_helper_of_another_sshd(void **state)
{
        struct fixture *f = *state;

        if (geteuid() != 0)
                skip();
        start(f, session_program_image(), 0111);
        assert_string_equal(helper_check_process(&f->own, f->helper, f->helper), "it was not started by the sshd of this connection");
        assert_string_equal(helper_check_process(&f->own, getpid(), getpid()), "it was not started by the sshd of this connection");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(accepts_a_session_that_no_other_process_can_inspect),
                TEST(refuses_a_session_that_its_account_can_look_into),
                TEST(refuses_a_helper_that_is_traced),
                TEST(refuses_processes_that_the_kernel_does_not_show),
                TEST(refuses_any_other_program),
                TEST(refuses_a_helper_of_another_sshd),
        };

        return cmocka_run_group_tests_name("helper_check", tests, NULL, NULL);
}
