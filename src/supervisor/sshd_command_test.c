/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/sshd_command.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "session/sshd_preload.h"

static const struct sshd_command plain = {
        .exe = "/usr/bin/teleport",
        .data_dir = "/var/lib/teleport",
        .sftp_server = "/usr/lib/openssh/sftp-server",
        .socket = "cteleport-00112233445566778899aabbccddeeff",
        .connection_id = "11111111-2222-4333-8444-555555555555",
        .authorize_user = "sshd",
};

static bool has(char **argv, const char *option)
{
        for (; *argv != NULL; argv++)
                if (strcmp(*argv, option) == 0)
                        return true;
        return false;
}

static void accepts_only_certificates_with_a_permit_of_the_cluster(void **state)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        char **argv = sshd_command_arguments(&plain, a);
        static const char *const options[] = {
                "AuthenticationMethods=publickey",
                "PasswordAuthentication=no",
                "KbdInteractiveAuthentication=no",
                "AuthorizedKeysFile=none",
                "TrustedUserCAKeys=/var/lib/teleport/proc/ssh/user_ca.pub",
                "AuthorizedPrincipalsCommand=/usr/bin/env /usr/bin/teleport ssh-authorize "
                "--socket=cteleport-00112233445566778899aabbccddeeff --connection=11111111-2222-4333-8444-555555555555 %u %k",
                "ForceCommand=exec /usr/bin/teleport ssh-session --socket=cteleport-00112233445566778899aabbccddeeff "
                "--connection=11111111-2222-4333-8444-555555555555 --sftp=/usr/lib/openssh/sftp-server",
                "PermitUserRC=no",
                "PermitUserEnvironment=no",
                "Subsystem=sftp /usr/lib/openssh/sftp-server -e -l INFO",
                "UsePAM=no",
                "AuthorizedPrincipalsCommandUser=sshd",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(options); i++)
                if (!has(argv, options[i]))
                        fail_msg("%s is missing", options[i]);
        assert_string_equal(argv[0], "/usr/sbin/sshd");
        assert_true(has(argv, "-i") && has(argv, "none"));
}

static void gives_the_authorizing_program_the_host_and_cas(void **state)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        Cteleport__V1__SSHConfig config = CTELEPORT__V1__SSHCONFIG__INIT;
        static const char *const cas[] = { "sha256:00", "sha256:11" };
        struct sshd_command c = plain;

        (void)state;
        config.has_port_forwarding = true;
        c.config = &config;
        c.host_id = "the-host";
        c.cas = cas;
        c.ca_count = ARRAY_LEN(cas);
        assert_true(has(sshd_command_arguments(&c, a),
                        "AuthorizedPrincipalsCommand=/usr/bin/env /usr/bin/teleport ssh-authorize "
                        "--socket=cteleport-00112233445566778899aabbccddeeff --connection=11111111-2222-4333-8444-555555555555 "
                        "--host=the-host --ca=sha256:00 --ca=sha256:11 --no-port-forwarding %u %k"));
}

static void opens_sessions_through_pam_where_the_platform_has_it(void **state)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        Cteleport__V1__SSHConfig config = CTELEPORT__V1__SSHCONFIG__INIT;
        Cteleport__V1__PamConfig pam = CTELEPORT__V1__PAM_CONFIG__INIT;
        struct sshd_command c = plain;

        (void)state;
        c.has_pam = true;
        assert_true(has(sshd_command_arguments(&c, a), "UsePAM=yes"));
        c.config = &config;
        assert_true(has(sshd_command_arguments(&c, a), "UsePAM=yes"));
        config.pam = &pam;
        assert_true(has(sshd_command_arguments(&c, a), "UsePAM=yes"));
        pam.has_enabled = true;
        assert_true(has(sshd_command_arguments(&c, a), "UsePAM=no"));
}

static void opens_sessions_through_pam_when_configured(void **state)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        Cteleport__V1__SSHConfig config = CTELEPORT__V1__SSHCONFIG__INIT;
        Cteleport__V1__PamConfig pam = CTELEPORT__V1__PAM_CONFIG__INIT;
        struct sshd_command c = plain;

        (void)state;
        c.config = &config;
        config.pam = &pam;
        assert_true(has(sshd_command_arguments(&c, a), "UsePAM=no"));
        pam.has_enabled = pam.enabled = true;
        assert_true(has(sshd_command_arguments(&c, a), "UsePAM=yes"));
}

/* With -t it reads its options and ends; the only error may be that the files named by them are missing. library: as for our own. */
static int run_sshd(char **argv, struct str library, char *ret_sent, size_t size)
{
        char *const environment[] = { unconst("PATH=/usr/bin:/bin"), library.len > 0 ? unconst(SSHD_PRELOAD_ENV) : NULL, NULL };
        int ends[2], status;

        argv[1] = unconst("-t"); /* in the place of -i */
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        if (pid == 0) {
                int fd = memfd_create("library", 0);

                dup2(ends[1], STDERR_FILENO);
                if (write(fd, library.ptr, library.len) == (ssize_t)library.len && dup2(fd, SSHD_PRELOAD_FD) == SSHD_PRELOAD_FD)
                        execve(SSHD_PROGRAM, argv, environment);
                _exit(127);
        }
        close(ends[1]);
        for (size_t len = 0;;) {
                ssize_t n = read(ends[0], ret_sent + len, size - 1 - len);

                if (n <= 0)
                        break;
                len += (size_t)n;
                ret_sent[len] = '\0';
        }
        close(ends[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WEXITSTATUS(status);
}

static void uses_only_options_that_sshd_supports(void **state)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        char sent[4096] = "";

        (void)state;
        if (access(SSHD_PROGRAM, X_OK) < 0)
                skip();
        int code = run_sshd(sshd_command_arguments(&plain, a), STR(""), sent, sizeof(sent));
        if (strstr(sent, "option") != NULL || strstr(sent, "line 0") != NULL || code == 127)
                fail_msg("sshd says: %s", sent);
}

static void keeps_sshd_from_starting_without_our_library(void **state)
{
        AUTO_PTR(arena) a = arena_new(256 * KiB);
        struct sshd_command guarded = plain;
        char sent[4096] = "", with_library[4096] = "";

        (void)state;
        if (access(SSHD_PROGRAM, X_OK) < 0)
                skip();
        guarded.guard = SSHD_PRELOAD_GUARD;
        assert_int_not_equal(run_sshd(sshd_command_arguments(&guarded, a), STR(""), sent, sizeof(sent)), 0);
        assert_non_null(strstr(sent, "Bad configuration option: Preload"));
        int code = run_sshd(sshd_command_arguments(&guarded, a), sshd_preload_image(), with_library, sizeof(with_library));
        if (strstr(with_library, "option") != NULL || strstr(with_library, "preload") != NULL || code == 127)
                fail_msg("sshd says: %s", with_library);
}

/* Whole programs, found in the library by their markers. */
static void carries_the_programs_of_sessions_in_the_library(void **state)
{
        const struct str images[] = { session_program_image(), authorize_program_image() };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(images); i++) {
                AUTO_FD int fd = memfd_create("image", MFD_CLOEXEC);
                char *const words[] = { unconst("program"), NULL };
                int status;

                assert_true(images[i].ptr > sshd_preload_image().ptr && str_starts_with(images[i], STR("\177ELF")));
                assert_int_equal(write(fd, images[i].ptr, images[i].len), (ssize_t)images[i].len);
                pid_t pid = fork();
                if (pid == 0) {
                        fexecve(fd, words, environ);
                        _exit(127);
                }
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_int_equal(WEXITSTATUS(status), 2); /* without arguments there is nothing to do */
        }
}

static void takes_paths_that_need_no_quotes(void **state)
{
        static const char *const good[] = { "/usr/local/bin/teleport", "/opt/t_1.2+3/bin/x", "/" };
        static const char *const bad[] = { "", "teleport", "/a b", "/a\"b", "/a%u", "/a'b", "/a$b", "/a\nb", "/a;b", "/\xc3\xa4" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(good); i++)
                assert_true(sshd_command_takes_path(good[i]));
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_false(sshd_command_takes_path(bad[i]));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(accepts_only_certificates_with_a_permit_of_the_cluster),
                cmocka_unit_test(gives_the_authorizing_program_the_host_and_cas),
                cmocka_unit_test(opens_sessions_through_pam_where_the_platform_has_it),
                cmocka_unit_test(opens_sessions_through_pam_when_configured),
                cmocka_unit_test(uses_only_options_that_sshd_supports),
                cmocka_unit_test(keeps_sshd_from_starting_without_our_library),
                cmocka_unit_test(carries_the_programs_of_sessions_in_the_library),
                cmocka_unit_test(takes_paths_that_need_no_quotes),
        };

        return cmocka_run_group_tests_name("sshd_command", tests, NULL, NULL);
}
