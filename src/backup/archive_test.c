/* SPDX-License-Identifier: Apache-2.0 */
/* Archives: headers of tar, lists of files, hostile archives. The archives are encrypted for a key that everybody has. */
#include "backup/archive_testing.h"
#include "backup/tree.h"
#include "base/error_testing.h"
#include "base/mem.h"
#include "os/file_testing.h"

enum { FILE_MAX = 4 * MiB };

/* ---- names and headers ------------------------------------------------------------------------------- */

static void knows_names_that_stay_below_a_directory(void **state)
{
        static const char *const good[] = { "a", "ca/host.tls.key.pem", "log/records/0-1_2.rec", "..a", "a/.b", "a.." };
        static const char *const bad[] = { "", "/", "/etc/passwd", "a/", "a//b", "..", "a/..", "../a", "a/../b", "a/./b", ".", "a b", "a\nb", "a\\b", "\xc3\xa4" };
        char longest[TAR_NAME_MAX + 2] = { 0 };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(good); i++)
                assert_true(tar_name_is_valid(str_of(good[i])));
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_false(tar_name_is_valid(str_of(bad[i])));
        assert_false(tar_name_is_valid(STR("a\0b")));
        memset(longest, 'x', TAR_NAME_MAX);
        assert_true(tar_name_is_valid(str_of(longest)));
        longest[TAR_NAME_MAX] = 'x';
        assert_false(tar_name_is_valid(str_of(longest)));
}

static void reads_the_headers_that_it_writes(void **state)
{
        const struct tar_entry entry = { .name = "ca/cluster", .size = 8589934591, .modified = 1700000000, .mode = 0640 };
        const struct tar_entry too_large = { .name = "a", .size = 8589934592 };
        struct tar_entry read;
        char block[TAR_BLOCK];
        bool is_end = true;

        (void)state;
        assert_done(tar_header_write(&entry, block));
        assert_done(tar_header_read(block, &read, &is_end));
        assert_false(is_end);
        assert_memory_equal(&read, &entry, sizeof read);
        memset(block, 0, sizeof block);
        assert_done(tar_header_read(block, &read, &is_end));
        assert_true(is_end);
        assert_code(tar_header_write(&too_large, block), ERROR_INVALID_ARGUMENT);
        assert_int_equal(tar_padding(0), 0);
        assert_int_equal(tar_padding(1), 511);
        assert_int_equal(tar_padding(512), 0);
        assert_int_equal(tar_padding(8589934591), 1);
}

/* The sum of all bytes, with blanks in place of the sum, as six octal digits. */
static void sum_up(char block[TAR_BLOCK])
{
        unsigned sum = 0;

        memset(block + 148, ' ', 8);
        for (size_t i = 0; i < TAR_BLOCK; i++)
                sum += (unsigned char)block[i];
        for (int i = 5; i >= 0; i--, sum >>= 3)
                block[148 + i] = (char)('0' + (sum & 7));
        block[154] = '\0';
}

static void refuses_other_kinds_of_tar(void **state)
{
        static const struct {
                const char *name;
                size_t at;
                const char *bytes;
                size_t len;
        } changes[] = {
                { "a symbolic link", 156, "2", 1 },      { "a hard link", 156, "1", 1 },         { "a directory", 156, "5", 1 },
                { "a device", 156, "3", 1 },             { "an extended header", 156, "x", 1 },  { "a long name of GNU tar", 156, "L", 1 },
                { "the old type of files", 156, "\0", 1 }, { "a link's target", 157, "/etc", 4 }, { "GNU's magic", 257, "ustar  ", 8 },
                { "no magic", 257, "\0\0\0\0\0", 5 },    { "a prefix", 345, "x", 1 },            { "bytes behind the prefix", 511, "x", 1 },
                { "a size in binary", 124, "\x80", 1 },  { "a size with a blank", 124, " ", 1 }, { "a size that is not ended", 135, "7", 1 },
                { "a digit 8", 124, "8", 1 },            { "a sign", 124, "-", 1 },              { "no name", 0, "\0\0\0\0\0\0\0\0\0\0", 10 },
                { "a path upwards", 0, "../cluster", 10 }, { "an absolute path", 0, "/a/cluster", 10 }, { "bytes behind the name", 20, "x", 1 },
                { "a control character", 3, "\n", 1 },
        };
        const struct tar_entry entry = { .name = "ca/cluster", .size = 10, .mode = 0600 };
        struct tar_entry read;
        char block[TAR_BLOCK];
        bool is_end;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
                print_message("  %s\n", changes[i].name);
                assert_done(tar_header_write(&entry, block));
                memcpy(block + changes[i].at, changes[i].bytes, changes[i].len);
                assert_code(tar_header_read(block, &read, &is_end), ERROR_INVALID_ARGUMENT); /* the sum is that of before */
                sum_up(block);
                assert_code(tar_header_read(block, &read, &is_end), ERROR_INVALID_ARGUMENT);
        }
        assert_done(tar_header_write(&entry, block));
        sum_up(block);
        block[155] = ' ';
        assert_done(tar_header_read(block, &read, &is_end));
}

/* ---- archives ---------------------------------------------------------------------------------------- */

/* Reads a whole archive; *ret_text: "name=content;" of each file. */
static struct error *read_archive(struct str file, struct buf *ret_text)
{
        AUTO_PTR(age_reader) from = testing_reader(&file);
        AUTO_PTR(archive_reader) r = archive_reader_new(from);
        struct tar_entry entry;
        char piece[7];
        bool is_end;

        for (;;) {
                size_t n = 1;

                TRY(archive_next(r, &entry, &is_end));
                if (is_end)
                        return NULL;
                buf_printf(ret_text, "%s=", entry.name);
                while (n > 0) {
                        TRY(archive_get(r, piece, sizeof piece, &n));
                        buf_put(ret_text, (struct str){ piece, n });
                }
                buf_put_char(ret_text, ';');
        }
}

static void reads_the_archives_that_it_writes(void **state)
{
        AUTO(buf) file = BUF_MAX(FILE_MAX);
        AUTO(buf) text = BUF_MAX(FILE_MAX);
        AUTO_PTR(age_writer) to = testing_writer(&file);
        AUTO_PTR(archive_writer) w = archive_writer_new(to);

        (void)state;
        assert_done(archive_put_file(w, "a", STR("content of a"), 0));
        assert_done(archive_put_file(w, "b/empty", STR(""), 0));
        assert_done(archive_put_file(w, "c", STR("x"), 0));
        assert_code(archive_put_file(w, "../c", STR("x"), 0), ERROR_INVALID_ARGUMENT);
        assert_done(archive_writer_finish(w));
        assert_done(age_writer_finish(to));
        assert_done(read_archive(buf_str(&file), &text));
        assert_string_equal(buf_c(&text), "a=content of a;b/empty=;c=x;");
}

/* An archive of these parts, each a header for a file or plain bytes. */
static struct error *read_parts(const struct tar_entry *entries, const char *const *bodies, size_t count, size_t zeros)
{
        AUTO(buf) file = BUF_MAX(FILE_MAX);
        AUTO(buf) text = BUF_MAX(FILE_MAX);
        AUTO_PTR(age_writer) to = testing_writer(&file);
        static const char none[3 * TAR_BLOCK];

        for (size_t i = 0; i < count; i++) {
                char block[TAR_BLOCK];

                if (entries[i].name[0] != '\0') {
                        assert_done(tar_header_write(&entries[i], block));
                        assert_done(age_writer_put(to, (struct str){ block, sizeof block }));
                }
                assert_done(age_writer_put(to, str_of(bodies[i])));
                assert_done(age_writer_put(to, (struct str){ none, tar_padding(strlen(bodies[i])) }));
        }
        assert_done(age_writer_put(to, (struct str){ none, zeros }));
        assert_done(age_writer_finish(to));
        return read_archive(buf_str(&file), &text);
}

static void refuses_hostile_archives(void **state)
{
        static const char sums_of_a[] = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  a\n";
        const struct tar_entry a = { .name = "a", .size = 1 }, sums = { .name = ARCHIVE_SUMS, .size = sizeof sums_of_a - 1 };
        const struct tar_entry large = { .name = "a", .size = 1000000 }, none = { .size = 0 }, short_sums = { .name = ARCHIVE_SUMS, .size = 0 };

        (void)state;
        assert_done(read_parts((struct tar_entry[]){ a, sums }, (const char *[]){ "x", sums_of_a }, 2, 1024));
        /* Nothing, no list, a list that is not the last, of other files, or empty; too few and too many zeros; bytes behind the end. */
        assert_code(read_parts(NULL, NULL, 0, 0), ERROR_INVALID_ARGUMENT);
        assert_code(read_parts((struct tar_entry[]){ a }, (const char *[]){ "x" }, 1, 1024), ERROR_INVALID_ARGUMENT);
        assert_code(read_parts((struct tar_entry[]){ a, sums, a }, (const char *[]){ "x", sums_of_a, "y" }, 3, 1024), ERROR_INVALID_ARGUMENT);
        assert_code(read_parts((struct tar_entry[]){ a, sums }, (const char *[]){ "y", sums_of_a }, 2, 1024), ERROR_DATA_LOSS);
        assert_code(read_parts((struct tar_entry[]){ a, short_sums }, (const char *[]){ "x", "" }, 2, 1024), ERROR_DATA_LOSS);
        assert_code(read_parts((struct tar_entry[]){ a, sums }, (const char *[]){ "x", sums_of_a }, 2, 512), ERROR_INVALID_ARGUMENT);
        assert_code(read_parts((struct tar_entry[]){ a, sums, none }, (const char *[]){ "x", sums_of_a, "" }, 3, 1025), ERROR_INVALID_ARGUMENT);
        assert_code(read_parts((struct tar_entry[]){ large }, (const char *[]){ "x" }, 1, 1024), ERROR_INVALID_ARGUMENT);
        assert_code(read_parts((struct tar_entry[]){ none }, (const char *[]){ "no archive" }, 1, 1024), ERROR_INVALID_ARGUMENT);
}

/* ---- files of a directory ------------------------------------------------------------------------------- */

struct renaming {
        struct buf file;
        const char *from, *to; /* NULL: it was renamed */
};

static struct error *rename_and_take(void *ctx, struct str bytes)
{
        struct renaming *r = ctx;

        if (r->from != NULL)
                assert_int_equal(rename(r->from, r->to), 0);
        r->from = NULL;
        return testing_sink(&r->file, bytes);
}

/* The number of files that are written while one of 512 KiB, `name`, is read in dir, and `from` is renamed to `to`. */
static uint64_t count_written(char *dir, const char *name, const char *from, const char *to)
{
        AUTO_MEM char *bytes = mem_alloc(512 * KiB), *path = path_in(dir, name);
        struct renaming r = { .file = BUF_MAX(4 * MiB) };
        uint8_t key[1][AGE_KEY_SIZE];
        struct age_writer *age = NULL;
        uint64_t count = 0;

        assert_done(age_recipient_of(testing_identity, key[0]));
        assert_done(age_writer_new((struct age_recipients){ .keys = key, .key_count = 1 }, (struct age_sink){ rename_and_take, &r }, &age));
        assert_done(file_write_atomic(path, (struct str){ bytes, 512 * KiB }, 0600));
        struct archive_writer *w = archive_writer_new(age);
        r.from = from;
        r.to = to;
        assert_done(tree_write(&(struct tree){ .dir = dir, .prefix = "log", .last = "events.log" }, w, &count));
        assert_null(r.from);
        archive_writer_free(w);
        age_writer_free(age);
        buf_release(&r.file);
        return count;
}

/* Two copies of the beginning of a log would be two logs after the restore. */
static void writes_a_file_that_gets_another_name_once(void **state)
{
        char *dir = test_dir_new(), *other = test_dir_new();
        AUTO_MEM char *live = path_in(dir, "events.log"), *rotated = path_in(dir, "events.log-1"), *packed = path_in(dir, "events.log-1.gz");
        AUTO_MEM char *packing = path_in(other, "packing");

        (void)state;
        assert_int_equal(count_written(dir, "events.log", live, rotated), 1);
        given_file(other, "packing", "packed");
        assert_int_equal(count_written(dir, "events.log-1", packing, packed), 1);
        test_dir_free(dir);
        test_dir_free(other);
}

/* As the audit log, whose files are rotated and compressed at any time. */
static void finds_a_file_that_gets_another_name_meanwhile(void **state)
{
        char *dir = test_dir_new();
        AUTO_MEM char *from = path_in(dir, "events.log-1"), *to = path_in(dir, "events.log-1.gz"), *first = path_in(dir, "a");
        AUTO_MEM char *bytes = mem_alloc(512 * KiB);
        struct renaming r = { .file = BUF_MAX(4 * MiB) };
        uint8_t key[1][AGE_KEY_SIZE];
        struct age_writer *age = NULL;
        uint64_t count = 0;
        bool is_end = false, is_found = false;

        (void)state;
        assert_done(age_recipient_of(testing_identity, key[0]));
        assert_done(age_writer_new((struct age_recipients){ .keys = key, .key_count = 1 }, (struct age_sink){ rename_and_take, &r }, &age));
        assert_done(file_write_atomic(first, (struct str){ bytes, 512 * KiB }, 0600));
        given_file(dir, "events.log-1", "an event");
        struct archive_writer *w = archive_writer_new(age);
        r.from = from;
        r.to = to;
        assert_done(tree_write(&(struct tree){ .dir = dir, .prefix = "log" }, w, &count));
        assert_null(r.from);
        assert_done(archive_writer_finish(w));
        assert_done(age_writer_finish(age));
        assert_int_equal(count, 2);
        archive_writer_free(w);
        age_writer_free(age);
        struct str rest = buf_str(&r.file);
        AUTO_PTR(age_reader) age_in = testing_reader(&rest);
        AUTO_PTR(archive_reader) in = archive_reader_new(age_in);
        while (!is_end) {
                struct tar_entry entry = { 0 };
                size_t len = 1;

                assert_done(archive_next(in, &entry, &is_end));
                while (!is_end && len > 0)
                        assert_done(archive_get(in, bytes, 512 * KiB, &len));
                is_found = is_found || strcmp(entry.name, "log/events.log-1.gz") == 0;
        }
        assert_true(is_found);
        buf_release(&r.file);
        test_dir_free(dir);
}

/* A service could lead root to a file of another user; and a backup without one of its files is none. */
static void refuses_links(void **state)
{
        struct buf file = BUF_MAX(1 * MiB);
        uint8_t key[1][AGE_KEY_SIZE];
        struct age_writer *age = NULL;
        uint64_t count = 0;

        (void)state;
        assert_done(age_recipient_of(testing_identity, key[0]));
        assert_done(age_writer_new((struct age_recipients){ .keys = key, .key_count = 1 }, (struct age_sink){ testing_sink, &file }, &age));
        struct archive_writer *w = archive_writer_new(age);
        for (int kind = 0; kind < 3; kind++) {
                char *dir = test_dir_new(), *other = test_dir_new();
                AUTO_MEM char *outside = path_in(other, "shadow"), *link_path = path_in(dir, "key.pem");
                struct tree tree = { .dir = dir, .prefix = "ca", .inner = kind == 2 ? "key.pem" : NULL };

                given_file(other, "shadow", "a secret");
                assert_int_equal(kind == 0 ? symlink(outside, link_path) : kind == 1 ? link(outside, link_path) : symlink(other, link_path), 0);
                assert_code(tree_write(&tree, w, &count), ERROR_FAILED_PRECONDITION);
                test_dir_free(dir);
                test_dir_free(other);
        }
        assert_int_equal(count, 0);
        archive_writer_free(w);
        age_writer_free(age);
        buf_release(&file);
}

/* A log that nothing had rotated before, and a file that does not belong there: without a remedy, there is no backup any more. */
static void names_the_remedy_for_files_that_are_too_large(void **state)
{
        char *dir = test_dir_new();
        AUTO_MEM char *path = path_in(dir, "large");
        const struct tree tree = { .dir = dir, .prefix = "ca" };
        struct archive_writer *w = archive_writer_new(NULL); /* nothing is written */
        uint8_t digest[32];
        uint64_t count = 0;

        (void)state;
        given_file(dir, "large", "");
        assert_int_equal(truncate(path, INT64_C(8) << 30), 0);
        AUTO_PTR(error) err = tree_write(&tree, w, &count);
        assert_true(err != NULL && err->hint != NULL && strstr(err->hint, "8 GiB") != NULL);
        AUTO_PTR(error) no_key = tree_digest(&tree, digest);
        assert_true(no_key != NULL && no_key->hint != NULL && strstr(no_key->hint, "move it out") != NULL);
        archive_writer_free(w);
        test_dir_free(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(knows_names_that_stay_below_a_directory),
                cmocka_unit_test(reads_the_headers_that_it_writes),
                cmocka_unit_test(refuses_other_kinds_of_tar),
                cmocka_unit_test(reads_the_archives_that_it_writes),
                cmocka_unit_test(refuses_hostile_archives),
                cmocka_unit_test(writes_a_file_that_gets_another_name_once),
                cmocka_unit_test(finds_a_file_that_gets_another_name_meanwhile),
                cmocka_unit_test(refuses_links),
                cmocka_unit_test(names_the_remedy_for_files_that_are_too_large),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
