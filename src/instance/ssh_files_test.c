/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/ssh_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "join/identity_testing.h"
#include "os/file.h"
#include "os/file_testing.h"

struct fixture {
        struct fake_cluster cluster;
        struct host_identity id;
        char *dir;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        fake_cluster_init(&f->cluster, walltime_of_unix(1800000000));
        f->id = fake_identity(&f->cluster, "Node");
        f->id.certs.ssh_user_ca_keys[0] = f->id.certs.ssh_ca_keys[0]; /* any key will do */
        f->id.certs.ssh_user_ca_count = 1;
        f->dir = test_dir_new();
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        test_dir_free(f->dir);
        host_identity_release(&f->id);
        fake_cluster_release(&f->cluster);
        free(f);
        return 0;
}

static void store(struct fixture *f)
{
        AUTO(ssh_files) files = { 0 };

        assert_done(ssh_files_make(&f->id, &files));
        assert_done(ssh_files_write(f->dir, &files));
}

static struct stat stat_of(const struct fixture *f, const char *name)
{
        struct stat st;
        AUTO_MEM char *path = mem_printf("%s/ssh/%s", f->dir, name);

        assert_int_equal(stat(path, &st), 0);
        return st;
}

/* The first line that a shell command prints. */
static char *sent_by(const char *command)
{
        char line[1024] = "";
        FILE *program = popen(command, "re");

        assert_non_null(fgets(line, sizeof(line), program));
        pclose(program);
        return str_dup(str_trim(str_of(line)));
}

static void writes_files_that_sshd_reads(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) ours = BUF_MAX(4 * KiB);

        store(f);
        assert_int_equal(stat_of(f, "host_key").st_mode & 07777, 0600);
        assert_int_equal(stat_of(f, "user_ca.pub").st_mode & 07777, 0644);
        assert_int_equal(stat_of(f, "host_key-cert.pub").st_mode & 07777, 0644);
        AUTO_MEM char *show = mem_printf("ssh-keygen -L -f %s/ssh/host_key-cert.pub | grep -o 'Type: .* host certificate'", f->dir);
        AUTO_MEM char *shown = sent_by(show);
        assert_string_equal(shown, "Type: ssh-ed25519-cert-v01@openssh.com host certificate");
        AUTO_MEM char *fingerprint = mem_printf("ssh-keygen -y -f %s/ssh/host_key > %s/ssh/x.pub && ssh-keygen -l -f "
                                                "%s/ssh/x.pub; rm %s/ssh/x.pub", f->dir, f->dir, f->dir, f->dir);
        AUTO_MEM char *of_key = sent_by(fingerprint);
        AUTO_MEM char *of_cert_command = mem_printf("ssh-keygen -L -f %s/ssh/host_key-cert.pub | grep -o 'Public key: .*'", f->dir);
        AUTO_MEM char *of_cert = sent_by(of_cert_command);
        struct str rest = str_of(of_key);
        (void)str_split(&rest, ' ');
        assert_true(str_contains(str_of(of_cert), str_split(&rest, ' ')));
}

static void leaves_files_alone_that_are_right(void **state)
{
        struct fixture *f = *state;

        store(f);
        struct stat before = stat_of(f, "host_key"), ca_before = stat_of(f, "user_ca.pub");
        store(f);
        assert_int_equal(stat_of(f, "host_key").st_ino, before.st_ino);
        assert_int_equal(stat_of(f, "user_ca.pub").st_ino, ca_before.st_ino);
}

/* Also over what a crash left of an earlier write. */
static void replaces_all_files_in_one_step(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *fresh = mem_printf("%s/ssh.new", f->dir);
        AUTO_MEM char *left = mem_printf("%s/host_key", fresh);
        AUTO_MEM char *dir = mem_printf("%s/ssh", f->dir);
        struct stat before, after;

        store(f);
        assert_int_equal(stat(dir, &before), 0);
        assert_done(dir_make(fresh, 0700));
        assert_done(file_write_atomic(left, STR("rest"), 0600));
        f->id.certs.ssh_user_ca_keys[f->id.certs.ssh_user_ca_count++] = f->id.certs.ssh_user_ca_keys[0];
        store(f);
        assert_int_equal(stat(dir, &after), 0);
        assert_int_not_equal(before.st_ino, after.st_ino);
        assert_int_not_equal(access(fresh, F_OK), 0);
        AUTO_MEM char *count = mem_printf("wc -l < %s/user_ca.pub", dir);
        AUTO_MEM char *lines = sent_by(count);
        assert_string_equal(lines, "2");
}

static ino_t inode_at(int dir, const char *name)
{
        struct stat st;

        assert_int_equal(fstatat(dir, name, &st, 0), 0);
        return st.st_ino;
}

/* As for an sshd that opens them one after the other while the identity is renewed. */
static void a_process_in_the_directory_keeps_its_files(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *dir = mem_printf("%s/ssh", f->dir);

        for (int renewal = 0; renewal < 2; renewal++) {
                store(f);
                AUTO_FD int opened = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
                ino_t key = inode_at(opened, "host_key"), cert = inode_at(opened, "host_key-cert.pub");

                f->id.certs.ssh_user_ca_keys[f->id.certs.ssh_user_ca_count++] = f->id.certs.ssh_user_ca_keys[0];
                store(f);
                assert_true(stat_of(f, "host_key").st_ino != key);
                assert_true(inode_at(opened, "host_key") == key && inode_at(opened, "host_key-cert.pub") == cert);
        }
        AUTO_MEM char *command = mem_printf("ls %s | tr '\\n' ' '", f->dir);
        AUTO_MEM char *names = sent_by(command);
        assert_string_equal(names, "ssh ssh.former"); /* the last one only */
}

static void writes_nothing_without_the_user_ca(void **state)
{
        struct fixture *f = *state;
        AUTO(ssh_files) files = { 0 };

        f->id.certs.ssh_user_ca_count = 0;
        assert_code(ssh_files_make(&f->id, &files), ERROR_FAILED_PRECONDITION);
        assert_null(files.host_cert);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(writes_files_that_sshd_reads, set_up, tear_down),
                cmocka_unit_test_setup_teardown(leaves_files_alone_that_are_right, set_up, tear_down),
                cmocka_unit_test_setup_teardown(replaces_all_files_in_one_step, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_process_in_the_directory_keeps_its_files, set_up, tear_down),
                cmocka_unit_test_setup_teardown(writes_nothing_without_the_user_ca, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("ssh_files", tests, NULL, NULL);
}
