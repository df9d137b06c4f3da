/* SPDX-License-Identifier: Apache-2.0 */
#include "signer/rotation.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/file.h"
#include "pki/pki_testing.h"

#define FIRST "11111111-1111-4111-8111-111111111111"
#define SECOND "22222222-2222-4222-8222-222222222222"

static const struct ca_template template = { .cluster = STR_INIT("example.com"), .now = { 1700000000000000000 }, .token_key = KEY_RSA_2048 };

/* Writes of the code under test, until the process ends in the middle of one; -1: it does not. */
static int writes_left = -1;

ssize_t pwrite(int fd, const void *from, size_t len, off_t at)
{
        if (writes_left == 0) {
                (void)syscall(SYS_pwrite64, fd, from, len / 2, at);
                _exit(9);
        }
        writes_left -= writes_left > 0;
        return syscall(SYS_pwrite64, fd, from, len, at);
}

struct fixture {
        enum authority_type type; /* of the CA that is rotated */
        char dir[64], ca[80];
        struct authorities authorities;
        struct rotations rotations;
};

static struct error *opened(struct fixture *f)
{
        TRY(rotations_open(&f->rotations, f->ca));
        TRY(authorities_load_from(&f->authorities, f->ca));
        return rotations_load(&f->rotations, &f->authorities, f->ca);
}

static void close_all(struct fixture *f)
{
        authorities_release(&f->authorities);
        rotations_release(&f->rotations);
}

static void restart(struct fixture *f)
{
        close_all(f);
        assert_done(opened(f));
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        f->type = AUTHORITY_USER;
        writes_left = -1;
        snprintf(f->dir, sizeof f->dir, "/tmp/rotation_test.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        snprintf(f->ca, sizeof f->ca, "%s/ca", f->dir);
        assert_done(authorities_create(f->dir, &template));
        assert_done(opened(f));
        *state = f;
        return 0;
}

static int set_up_jwt(void **state)
{
        int result = set_up(state);

        ((struct fixture *)*state)->type = AUTHORITY_JWT;
        return result;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        DIR *dir = opendir(f->ca);
        struct dirent *entry;

        close_all(f);
        while (dir != NULL && (entry = readdir(dir)) != NULL)
                unlinkat(dirfd(dir), entry->d_name, 0);
        closedir(dir);
        rmdir(f->ca);
        rmdir(f->dir);
        free(f);
        return 0;
}

static struct error *step(struct fixture *f, const char *id, enum ca_phase phase)
{
        return rotations_step(&f->rotations, &f->authorities, f->type, str_of(id), phase, &template);
}

static void take_steps(struct fixture *f, const char *id, const enum ca_phase *steps, size_t count)
{
        for (size_t i = 0; i < count; i++)
                assert_done(step(f, id, steps[i]));
}

#define STEPS(f, id, ...)                                                                                              \
        take_steps(f, id, (const enum ca_phase[]){ __VA_ARGS__ }, ARRAY_LEN(((const enum ca_phase[]){ __VA_ARGS__ })))

static struct str public_of(const struct authority *a)
{
        return buf_str(a->jwt_spki.len > 0 ? &a->jwt_spki : &a->tls_cert);
}

/* The certificate or key of the CA; free it with buf_release. */
static struct buf copy_of(const struct authority *a)
{
        struct buf copy = BUF_MAX(CERT_MAX);

        assert_true(authority_exists(a));
        buf_put(&copy, public_of(a));
        return copy;
}

static bool is(const struct authority *a, const struct buf *public)
{
        return str_equal(public_of(a), buf_str(public));
}

/* The last file of the CA, which has a private key. */
static char *key_file(const struct fixture *f)
{
        return mem_printf("%s/%s", f->ca, f->type == AUTHORITY_JWT ? "jwt.key.pem" : "user.ssh.key.pem");
}

static struct str private_key(const struct ca_keys *k)
{
        return secret_str(k->jwt_key.ptr != NULL ? &k->jwt_key : &k->ssh_key);
}

/* Whether a file of the CA's directory has this text. */
static bool is_on_disk(const struct fixture *f, struct str text)
{
        DIR *dir = opendir(f->ca);
        struct dirent *entry;
        bool is_found = false;

        while ((entry = readdir(dir)) != NULL) {
                AUTO_MEM char *path = mem_printf("%s/%s", f->ca, entry->d_name);
                AUTO(buf) file = BUF_MAX(1 * MiB);
                AUTO_PTR(error) err = entry->d_name[0] == '.' ? NULL : file_read(path, &file);

                is_found = is_found || (file.len > 0 && memmem(file.ptr, file.len, text.ptr, text.len) != NULL);
        }
        closedir(dir);
        return is_found;
}

static void keeps_both_cas_through_a_restart_in_each_phase(void **state)
{
        struct fixture *f = *state;
        struct authorities *as = &f->authorities;
        AUTO(buf) old = copy_of(&as->all[f->type]);

        STEPS(f, FIRST, CA_INIT);
        AUTO(buf) new = copy_of(&as->next[f->type]);
        assert_false(is(&as->all[f->type], &new));
        assert_false(authority_exists(&as->next[AUTHORITY_HOST]));
        static const enum ca_phase rest[] = { CA_INIT, CA_UPDATE_CLIENTS, CA_UPDATE_SERVERS, CA_ROLLBACK };
        for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
                assert_done(step(f, FIRST, rest[i]));
                restart(f);
                assert_int_equal(f->rotations.all[f->type].phase, rest[i]);
                assert_string_equal(f->rotations.all[f->type].id, FIRST);
                assert_true(is(&as->all[f->type], &old) && is(&as->next[f->type], &new));
                assert_int_equal(as->own_key_count, f->type == AUTHORITY_JWT ? 6 : 7);
        }
}

static void signs_with_the_ca_of_the_phase(void **state)
{
        struct fixture *f = *state;
        struct authorities *as = &f->authorities;

        STEPS(f, FIRST, CA_INIT, CA_UPDATE_CLIENTS);
        assert_ptr_equal(rotations_signing(&f->rotations, as, f->type, false), &as->next[f->type]);
        assert_ptr_equal(rotations_signing(&f->rotations, as, f->type, true), &as->all[f->type]);
        assert_ptr_equal(rotations_signing(&f->rotations, as, AUTHORITY_HOST, false), &as->all[AUTHORITY_HOST]);
        STEPS(f, FIRST, CA_ROLLBACK);
        assert_ptr_equal(rotations_signing(&f->rotations, as, f->type, false), &as->all[f->type]);
}

static void leaves_no_key_of_the_ca_that_it_drops(void **state)
{
        struct fixture *f = *state;
        struct authorities *as = &f->authorities;
        AUTO(buf) old_key = BUF_MAX(64 * KiB);
        AUTO_MEM char *path = key_file(f);

        assert_done(file_read(path, &old_key));
        STEPS(f, FIRST, CA_INIT);
        AUTO(buf) new = copy_of(&as->next[f->type]);
        STEPS(f, FIRST, CA_UPDATE_CLIENTS, CA_UPDATE_SERVERS);
        assert_true(is_on_disk(f, buf_str(&old_key)));
        STEPS(f, FIRST, CA_STANDBY);
        assert_false(is_on_disk(f, buf_str(&old_key)));
        assert_true(is(&as->all[f->type], &new));
        assert_false(authority_exists(&as->next[f->type]));
        assert_int_equal(as->own_key_count, 5);
        restart(f);
        assert_true(is(&as->all[f->type], &new));

        STEPS(f, SECOND, CA_INIT);
        AUTO(buf) dropped = BUF_MAX(64 * KiB);
        buf_put(&dropped, private_key(&f->rotations.all[f->type].next));
        assert_true(is_on_disk(f, buf_str(&dropped)));
        STEPS(f, SECOND, CA_ROLLBACK, CA_STANDBY);
        assert_false(is_on_disk(f, buf_str(&dropped)));
        assert_true(is(&as->all[f->type], &new));
        restart(f);
        assert_true(is(&as->all[f->type], &new));
}

static void accepts_the_last_step_again_and_no_other(void **state)
{
        struct fixture *f = *state;
        struct authorities *as = &f->authorities;

        assert_refused(step(f, "no-uuid", CA_INIT), ERROR_INVALID_ARGUMENT, "");
        assert_refused(step(f, FIRST, CA_UPDATE_CLIENTS), ERROR_FAILED_PRECONDITION, "");
        STEPS(f, FIRST, CA_INIT);
        AUTO(buf) new = copy_of(&as->next[f->type]);
        STEPS(f, FIRST, CA_INIT);
        assert_true(is(&as->next[f->type], &new));
        assert_refused(step(f, SECOND, CA_INIT), ERROR_FAILED_PRECONDITION, "");
        assert_refused(step(f, SECOND, CA_UPDATE_CLIENTS), ERROR_FAILED_PRECONDITION, "");
        assert_refused(step(f, FIRST, CA_UPDATE_SERVERS), ERROR_FAILED_PRECONDITION, "");
        STEPS(f, FIRST, CA_UPDATE_CLIENTS, CA_UPDATE_SERVERS, CA_STANDBY, CA_STANDBY);
        assert_refused(step(f, FIRST, CA_INIT), ERROR_FAILED_PRECONDITION, ""); /* it has ended: a step that auth repeats begins no new one */
        assert_true(is(&as->all[f->type], &new));
        STEPS(f, SECOND, CA_INIT);
}

/* The steps of a whole rotation and of one that is rolled back, with a crash in every write, each followed by a start and the same step. */
static void survives_a_crash_in_every_write_of_every_step(void **state)
{
        static const struct {
                const char *id;
                enum ca_phase phase;
        } all[] = {
                { FIRST, CA_INIT },  { FIRST, CA_UPDATE_CLIENTS },  { FIRST, CA_UPDATE_SERVERS }, { FIRST, CA_STANDBY },
                { SECOND, CA_INIT }, { SECOND, CA_UPDATE_CLIENTS }, { SECOND, CA_ROLLBACK },      { SECOND, CA_STANDBY },
        };
        struct fixture *f = *state;
        unsigned crashes = 0;

        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                int status = 9 << 8;

                for (int n = 0; WEXITSTATUS(status) == 9; n++) {
                        fflush(NULL);
                        pid_t pid = fork();
                        if (pid == 0) {
                                writes_left = n;
                                struct error *err = step(f, all[i].id, all[i].phase);
                                _exit(err == NULL ? 0 : 1);
                        }
                        assert_int_equal(waitpid(pid, &status, 0), pid);
                        restart(f);
                        bool is_taken = f->rotations.all[f->type].phase == all[i].phase;
                        bool is_before = f->rotations.all[f->type].phase == (i == 0 ? CA_STANDBY : all[i - 1].phase);
                        assert_true(is_taken || is_before);
                        crashes += WEXITSTATUS(status) == 9;
                        if (is_taken) /* what is left is done by the start */
                                break;
                }
                assert_done(step(f, all[i].id, all[i].phase));
                restart(f);
        }
        assert_true(crashes > ARRAY_LEN(all));
        assert_int_equal(f->rotations.all[f->type].phase, CA_STANDBY);
}

static ino_t inode_of(const char *path)
{
        struct stat st;

        assert_int_equal(stat(path, &st), 0);
        return st.st_ino;
}

/* Crashes after the record is durable: the start writes the files of the new CA in place, and a file that is missing. */
static void finishes_files(struct fixture *f, bool has_all_files)
{
        struct authorities *as = &f->authorities;
        AUTO_MEM char *path = mem_printf("%s/user.tls.key.pem", f->ca);
        AUTO_MEM char *other = mem_printf("%s/user.ssh.key.pem", f->ca);
        AUTO(buf) old_key = BUF_MAX(64 * KiB);
        ino_t inode = inode_of(path);

        assert_done(file_read(path, &old_key));
        STEPS(f, FIRST, CA_INIT, CA_UPDATE_CLIENTS, CA_UPDATE_SERVERS);
        AUTO(buf) new = copy_of(&as->next[f->type]);
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
                writes_left = 2; /* the record, and the wiping of the other slot: the next write is of a file */
                struct error *err = step(f, FIRST, CA_STANDBY);
                _exit(err == NULL ? 0 : 1);
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), 9);
        if (!has_all_files)
                assert_int_equal(unlink(other), 0);
        restart(f);
        assert_true(is(&as->all[f->type], &new));
        assert_false(is_on_disk(f, buf_str(&old_key)));
        assert_false(ca_keys_exist(&f->rotations.all[f->type].current));
        assert_int_equal(inode_of(path) == inode, has_all_files);

        /* The files that are open are those of the directory: the next rotation replaces them, too. */
        STEPS(f, SECOND, CA_INIT, CA_UPDATE_CLIENTS, CA_UPDATE_SERVERS, CA_STANDBY);
        AUTO(buf) last = copy_of(&as->all[f->type]);
        restart(f);
        assert_true(is(&as->all[f->type], &last));
}

static void finishes_the_files_of_the_new_ca_at_the_next_start(void **state)
{
        finishes_files(*state, true);
}

static void replaces_a_missing_file_of_the_new_ca(void **state)
{
        finishes_files(*state, false);
}

/* As `teleport store check` does, while the Auth Service is stopped. */
static void the_check_reads_the_journal_and_changes_nothing(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = mem_printf("%s/rotation", f->ca);
        AUTO(buf) before = BUF_MAX(1 * MiB);
        AUTO(buf) after = BUF_MAX(1 * MiB);

        assert_done(rotations_check(f->ca, STR("example.com")));
        STEPS(f, FIRST, CA_INIT, CA_UPDATE_CLIENTS);
        assert_done(file_read(path, &before));
        assert_done(rotations_check(f->ca, STR("example.com")));
        assert_done(file_read(path, &after));
        assert_true(str_equal(buf_str(&before), buf_str(&after)));
        assert_code(rotations_check(f->ca, STR("example.org")), ERROR_FAILED_PRECONDITION); /* the new CA is of another cluster */
        before.ptr[f->rotations.journal.slot * CA_JOURNAL_SLOT + 100] ^= 1;
        assert_done(file_write_atomic(path, buf_str(&before), 0600));
        assert_code(rotations_check(f->ca, STR("example.com")), ERROR_FAILED_PRECONDITION);
        assert_int_equal(unlink(path), 0);
        assert_done(rotations_check(f->ca, STR("example.com"))); /* of a release without rotations */
        assert_int_equal(access(path, F_OK), -1);
}

/* The size of the record that is on the disk. */
static size_t record_size(const struct fixture *f)
{
        AUTO(buf) record = BUF_MAX(CA_JOURNAL_RECORD);

        assert_done(ca_journal_read(f->ca, &record));
        return record.len;
}

/* A release without the CA jwt reads two entries, and refuses more. */
static void an_earlier_release_reads_the_record_without_jwt(void **state)
{
        struct fixture *f = *state;

        STEPS(f, FIRST, CA_INIT, CA_ROLLBACK, CA_STANDBY);
        /* The phase standby with its length, once with no ID and once with one, and twice two bytes for "no keys". */
        assert_int_equal(record_size(f), 2 * (4 + 7 + 4 + 1 + 1) + 36);
        restart(f);
        assert_int_equal(f->rotations.all[AUTHORITY_JWT].phase, CA_STANDBY);
        f->type = AUTHORITY_JWT;
        STEPS(f, SECOND, CA_INIT, CA_ROLLBACK, CA_STANDBY);
        assert_int_equal(record_size(f), 3 * (4 + 7 + 4 + 1 + 1) + 2 * 36);
        restart(f);
        assert_string_equal(f->rotations.all[AUTHORITY_JWT].id, SECOND);
}

static void a_ca_that_does_not_exist_is_not_rotated(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = key_file(f);

        assert_int_equal(unlink(path), 0);
        restart(f);
        assert_refused(step(f, FIRST, CA_INIT), ERROR_FAILED_PRECONDITION, "no jwt CA yet");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(keeps_both_cas_through_a_restart_in_each_phase, set_up, tear_down),
                { "jwt_keeps_both_cas_through_a_restart_in_each_phase", keeps_both_cas_through_a_restart_in_each_phase, set_up_jwt, tear_down, NULL },
                cmocka_unit_test_setup_teardown(signs_with_the_ca_of_the_phase, set_up, tear_down),
                { "jwt_signs_with_the_ca_of_the_phase", signs_with_the_ca_of_the_phase, set_up_jwt, tear_down, NULL },
                cmocka_unit_test_setup_teardown(leaves_no_key_of_the_ca_that_it_drops, set_up, tear_down),
                { "jwt_leaves_no_key_of_the_ca_that_it_drops", leaves_no_key_of_the_ca_that_it_drops, set_up_jwt, tear_down, NULL },
                cmocka_unit_test_setup_teardown(accepts_the_last_step_again_and_no_other, set_up, tear_down),
                cmocka_unit_test_setup_teardown(survives_a_crash_in_every_write_of_every_step, set_up, tear_down),
                { "jwt_survives_a_crash_in_every_write_of_every_step", survives_a_crash_in_every_write_of_every_step, set_up_jwt, tear_down, NULL },
                cmocka_unit_test_setup_teardown(finishes_the_files_of_the_new_ca_at_the_next_start, set_up, tear_down),
                cmocka_unit_test_setup_teardown(replaces_a_missing_file_of_the_new_ca, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_check_reads_the_journal_and_changes_nothing, set_up, tear_down),
                cmocka_unit_test_setup_teardown(an_earlier_release_reads_the_record_without_jwt, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_ca_that_does_not_exist_is_not_rotated, set_up_jwt, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
