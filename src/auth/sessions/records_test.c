/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "auth/sessions/records.h"
#include "base/limits.h"
#include "os/file_testing.h"

#define SESSION "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"

static time_t ahead_s; /* of the time of day that records.c reads */

int clock_gettime(clockid_t id, struct timespec *ret)
{
        int result = (int)syscall(SYS_clock_gettime, id, ret);

        if (id == CLOCK_REALTIME)
                ret->tv_sec += ahead_s;
        return result;
}

struct fixture {
        char *dir, *records, *path;
        struct record_file file;
        struct buf whole; /* a recording with its end */
        struct record_mark noted;
        bool expects_altered;
};

static int open_fixture(void **state)
{
        struct fixture *f = NEW(struct fixture);
        struct recording_header header = { .columns = 80, .rows = 24, .term = STR("xterm") };
        struct recording_writer *w = recording_writer_new(&header);

        for (int i = 0; i < 20; i++) {
                recording_output(w, MILLISECONDS(i), STR("hello, world\r\n"));
                recording_flush(w);
        }
        recording_finish(w, SECONDS(1));
        f->whole = BUF_MAX(MiB);
        buf_put(&f->whole, recording_drain(w));
        recording_writer_free(w);
        f->dir = test_dir_new();
        f->records = path_in(f->dir, "records");
        f->path = mem_printf("%s/" SESSION ".rec", f->records);
        f->file.fd = -1;
        *state = f;
        return 0;
}

static int close_fixture(void **state)
{
        struct fixture *f = *state;

        record_file_release(&f->file);
        test_dir_free(f->dir);
        buf_release(&f->whole);
        free(f->path);
        free(f->records);
        free(f);
        return 0;
}

static void reopen(struct fixture *f)
{
        record_file_release(&f->file);
        bool was_altered = true;
        assert_null(record_file_open(f->records, STR(SESSION), &f->noted, &f->file, &was_altered));
        assert_int_equal(was_altered, f->expects_altered);
}

static struct error *append_bytes(struct record_file *f, struct str bytes)
{
        TRY(record_file_write(f, bytes));
        return record_file_sync(f, bytes);
}

static void append(struct fixture *f, size_t from, size_t len)
{
        assert_null(append_bytes(&f->file, str_slice(buf_str(&f->whole), from, len)));
}

static void assert_whole(struct fixture *f)
{
        AUTO(buf) text = BUF_MAX(MiB);
        uint64_t size = 0;

        assert_true(f->file.check.has_ended);
        assert_null(record_file_read(f->records, STR(SESSION), 0, 0, MiB, &text, &size));
        assert_int_equal(size, f->whole.len);
        assert_true(str_equal(buf_str(&text), buf_str(&f->whole)));
}

static void grows_by_pieces_cut_anywhere(void **state)
{
        struct fixture *f = *state;

        reopen(f);
        for (size_t at = 0; at < f->whole.len; at += 7)
                append(f, at, 7);
        assert_whole(f);
}

static void resumes_at_the_end_of_whole_chunks_after_any_loss(void **state)
{
        struct fixture *f = *state;

        for (size_t lost = 1; lost < f->whole.len; lost += 11) {
                reopen(f);
                append(f, (size_t)f->file.size, lost);
                reopen(f);
                assert_true(f->file.size <= f->whole.len);
                append(f, (size_t)f->file.size, f->whole.len);
                assert_whole(f);
                unlink(f->path);
        }
}

static void cuts_bytes_that_a_power_loss_left_in_the_file(void **state)
{
        struct fixture *f = *state;

        reopen(f);
        append(f, 0, f->whole.len / 2);
        int fd = open(f->path, O_WRONLY | O_APPEND);
        char zeros[5000] = { 0 };
        assert_int_equal(write(fd, zeros, sizeof zeros), sizeof zeros);
        close(fd);
        reopen(f);
        assert_true(f->file.size <= f->whole.len / 2);
        append(f, (size_t)f->file.size, f->whole.len);
        assert_whole(f);
}

static void refuses_an_invalid_recording_and_keeps_the_stored_one(void **state)
{
        struct fixture *f = *state;

        reopen(f);
        struct error *err = append_bytes(&f->file, STR("#!/bin/sh\nrm -rf /\n"));
        assert_int_equal(err->code, ERROR_DATA_LOSS);
        error_free(err);
        append(f, 0, 100);
        f->whole.ptr[150] ^= 1;
        err = append_bytes(&f->file, str_slice(buf_str(&f->whole), 100, f->whole.len));
        assert_int_equal(err->code, ERROR_DATA_LOSS);
        error_free(err);
        f->whole.ptr[150] ^= 1;
        append(f, 100, f->whole.len);
        assert_whole(f);
        err = append_bytes(&f->file, STR("more"));
        assert_int_equal(err->code, ERROR_DATA_LOSS);
        error_free(err);
}

static void discards_bytes_that_do_not_continue_the_saved_state(void **state)
{
        struct fixture *f = *state;
        uint8_t link[RECORDING_LINK_LEN];

        reopen(f);
        append(f, 0, f->whole.len / 2);
        memcpy(link, f->file.chain.link, sizeof link);
        f->noted = (struct record_mark){ .size = f->file.chain.whole, .digest = str_of_bytes(link, sizeof link) };
        reopen(f);
        assert_int_equal(f->file.size, f->noted.size); /* it begins as noted */
        append(f, (size_t)f->file.size, f->whole.len);
        reopen(f);
        assert_int_equal(f->file.size, f->whole.len); /* it may have grown */
        f->expects_altered = true;
        link[31] ^= 1;
        reopen(f);
        assert_int_equal(f->file.size, 0);
        link[31] ^= 1;
        append(f, 0, 100);
        reopen(f);
        assert_int_equal(f->file.size, 0); /* shorter than noted */
}

static void sets_damaged_files_aside_and_truncates_nothing(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *aside = mem_printf("%s/" SESSION ".damaged-1", f->records);

        reopen(f);
        append(f, 0, f->whole.len);
        int fd = open(f->path, O_WRONLY);
        assert_int_equal(pwrite(fd, "A", 1, (off_t)f->whole.len / 2), 1);
        close(fd);
        assert_int_equal(record_file_count_set_aside(f->records, STR(SESSION)), 0);
        f->expects_altered = true;
        reopen(f);
        assert_int_equal(f->file.size, 0);
        assert_int_equal(size_of(aside), f->whole.len);
        assert_int_equal(record_file_count_set_aside(f->records, STR(SESSION)), 1);
        append(f, 0, f->whole.len);
        assert_whole(f);
        AUTO(buf) text = BUF_MAX(MiB);
        uint64_t size = 0;
        assert_null(record_file_read(f->records, STR(SESSION), 1, 0, MiB, &text, &size));
        assert_int_equal(size, f->whole.len);
        assert_code(record_file_read(f->records, STR(SESSION), 2, 0, MiB, &text, &size), ERROR_NOT_FOUND);
}

static void keeps_no_more_than_some_damaged_files(void **state)
{
        struct fixture *f = *state;
        bool was_altered;

        f->expects_altered = true;
        for (int i = 0; i <= LIMIT_RECORDINGS_SET_ASIDE; i++) {
                int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

                if (fd < 0) { /* the folder is not there yet */
                        f->expects_altered = false;
                        reopen(f);
                        f->expects_altered = true;
                        fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
                }
                assert_int_equal(write(fd, "not a recording, and no begin of one", 36), 36);
                close(fd);
                if (i < LIMIT_RECORDINGS_SET_ASIDE)
                        reopen(f);
        }
        record_file_release(&f->file);
        assert_code(record_file_open(f->records, STR(SESSION), &f->noted, &f->file, &was_altered), ERROR_RESOURCE_EXHAUSTED);
        assert_int_equal(size_of(f->path), 36);
}

static void compares_a_file_with_its_note(void **state)
{
        struct fixture *f = *state;

        reopen(f);
        append(f, 0, f->whole.len);
        struct record_mark noted = { .size = f->whole.len, .first = str_of_bytes(f->file.chain.first, RECORDING_LINK_LEN) };
        assert_int_equal(record_file_compare(f->records, STR(SESSION), &noted, false), RECORD_SOUND);
        noted.size++;
        assert_int_equal(record_file_compare(f->records, STR(SESSION), &noted, true), RECORD_SHORT);
        noted.size -= 2;
        assert_int_equal(record_file_compare(f->records, STR(SESSION), &noted, false), RECORD_LONG);
        assert_int_equal(record_file_compare(f->records, STR(SESSION), &noted, true), RECORD_SOUND);
        f->file.chain.first[0] ^= 1;
        assert_int_equal(record_file_compare(f->records, STR(SESSION), &noted, true), RECORD_ALTERED);
        assert_int_equal(unlink(f->path), 0);
        assert_int_equal(record_file_compare(f->records, STR(SESSION), &noted, true), RECORD_MISSING);
}


static void flip_last_byte(const char *path)
{
        int fd = open(path, O_RDWR);
        off_t at = lseek(fd, -1, SEEK_END);
        char byte;

        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
}

static void compares_all_of_a_file_and_reads_it_once(void **state)
{
        struct fixture *f = *state;
        struct record_stamp stamp = { 0 }, none = { 0 };
        uint64_t count = 0;

        reopen(f);
        append(f, 0, f->whole.len);
        struct record_mark noted = { f->whole.len, str_of_bytes(f->file.chain.link, RECORDING_LINK_LEN), str_of_bytes(f->file.chain.first, RECORDING_LINK_LEN) };
        assert_int_equal(record_file_compare_all(f->records, STR(SESSION), &noted, f->whole.len, &stamp, &count), RECORD_SOUND);
        assert_int_equal(count, f->whole.len);
        assert_memory_equal(&stamp, &none, sizeof stamp); /* too new to be believed */
        ahead_s = 2; /* its last change is so long ago that its stamp is trusted */
        assert_int_equal(record_file_compare_all(f->records, STR(SESSION), &noted, f->whole.len - 1, &stamp, &count), RECORD_UNREAD);
        assert_int_equal(record_file_compare_all(f->records, STR(SESSION), &noted, f->whole.len, &stamp, &count), RECORD_SOUND);
        assert_int_equal(record_file_compare_all(f->records, STR(SESSION), &noted, 0, &stamp, &count), RECORD_SOUND);
        assert_int_equal(count, 0);
        flip_last_byte(f->path);
        assert_int_equal(record_file_compare_all(f->records, STR(SESSION), &noted, f->whole.len, &stamp, &count), RECORD_ALTERED);
        assert_memory_equal(&stamp, &none, sizeof stamp);
        flip_last_byte(f->path);
        f->file.chain.link[0] ^= 1;
        assert_int_equal(record_file_compare_all(f->records, STR(SESSION), &noted, f->whole.len, &stamp, &count), RECORD_ALTERED);
        ahead_s = 0;
}

static void finds_a_directory_in_place_of_a_file(void **state)
{
        struct fixture *f = *state;
        struct record_stamp stamp = { 0 };
        AUTO(buf) out = BUF_MAX(KiB);
        uint64_t count = 0;

        reopen(f);
        append(f, 0, f->whole.len);
        struct record_mark noted = { .size = f->whole.len, .digest = str_of_bytes(f->file.chain.link, RECORDING_LINK_LEN) };
        AUTO_MEM char *moved = mem_printf("%s.moved", f->path);
        assert_int_equal(rename(f->path, moved), 0);
        for (int way = 0; way < 3; way++) {
                assert_int_equal(way == 0 ? symlink(moved, f->path) : way == 1 ? mkdir(f->path, 0700) : mkfifo(f->path, 0600), 0);
                assert_int_equal(record_file_compare_all(f->records, STR(SESSION), &noted, f->whole.len, &stamp, &count), RECORD_UNREADABLE);
                assert_int_equal(record_file_compare(f->records, STR(SESSION), &noted, true), RECORD_UNREADABLE);
                assert_code(record_file_read(f->records, STR(SESSION), 0, 0, 100, &out, &count), ERROR_DATA_LOSS);
                assert_int_equal(remove(f->path), 0);
        }
}

static void removes_bytes_that_did_not_fit_on_the_disk(void **state)
{
        struct fixture *f = *state;

        reopen(f);
        append(f, 0, 100);
        limit_file_size(150);
        struct error *err = append_bytes(&f->file, str_slice(buf_str(&f->whole), 100, f->whole.len));
        limit_file_size(RLIM_INFINITY);
        assert_non_null(err);
        error_free(err);
        assert_int_equal(f->file.size, 100);
        append(f, 100, f->whole.len);
        assert_whole(f);
}

static void a_recording_given_up_ends_with_its_last_whole_chunk(void **state)
{
        struct fixture *f = *state;

        reopen(f);
        append(f, 0, f->whole.len - 3);
        assert_null(record_file_cut(&f->file));
        assert_int_equal(f->file.size, f->file.check.whole);
        assert_true(f->file.size > 100 && f->file.size < f->whole.len - 3);
}

static void does_not_follow_links(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *elsewhere = path_in(f->dir, "elsewhere");
        AUTO(buf) text = BUF_MAX(MiB);
        uint64_t size;

        reopen(f);
        unlink(f->path);
        close(open(elsewhere, O_CREAT | O_WRONLY, 0600));
        assert_int_equal(symlink(elsewhere, f->path), 0);
        record_file_release(&f->file);
        bool was_altered;
        struct error *err = record_file_open(f->records, STR(SESSION), &(struct record_mark){ 0 }, &f->file, &was_altered);
        assert_non_null(err);
        error_free(err);
        err = record_file_read(f->records, STR(SESSION), 0, 0, MiB, &text, &size);
        assert_non_null(err);
        error_free(err);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
        const struct CMUnitTest tests[] = {
                ROW(grows_by_pieces_cut_anywhere),
                ROW(resumes_at_the_end_of_whole_chunks_after_any_loss),
                ROW(cuts_bytes_that_a_power_loss_left_in_the_file),
                ROW(refuses_an_invalid_recording_and_keeps_the_stored_one),
                ROW(discards_bytes_that_do_not_continue_the_saved_state),
                ROW(sets_damaged_files_aside_and_truncates_nothing),
                ROW(keeps_no_more_than_some_damaged_files),
                ROW(compares_a_file_with_its_note),
                ROW(compares_all_of_a_file_and_reads_it_once),
                ROW(finds_a_directory_in_place_of_a_file),
                ROW(removes_bytes_that_did_not_fit_on_the_disk),
                ROW(a_recording_given_up_ends_with_its_last_whole_chunk),
                ROW(does_not_follow_links),
        };
#undef ROW
        return cmocka_run_group_tests(tests, NULL, NULL);
}
