/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/audit_search.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "os/file.h"
#include "base/text.h"
#include "loop/loop.h"

/* The start of every line as written by audit_begin(): {"time":"2026-01-31T23:59:59.123Z", */
#define LINE_BEGIN "{\"time\":\""
enum { TIME_LEN = 24, TIME_AT = sizeof LINE_BEGIN - 1, PIECE = 256 * KiB };

/* ---- one line -------------------------------------------------------------------------------------------- */

/* The time as text; these texts sort like the times. Empty: not a line of the audit log. */
static struct str time_of(struct str line)
{
        static const char pattern[] = "dddd-dd-ddTdd:dd:dd.dddZ\"";

        if (!str_starts_with(line, STR(LINE_BEGIN)) || line.len < TIME_AT + TIME_LEN + 1)
                return STR("");
        for (size_t i = 0; i <= TIME_LEN; i++) {
                char c = line.ptr[TIME_AT + i];

                if (pattern[i] == 'd' ? !char_is_digit(c) : c != pattern[i])
                        return STR("");
        }
        return str_slice(line, TIME_AT, TIME_LEN);
}

static void put_time(struct buf *out, struct walltime t)
{
        walltime_put_rfc3339_ms(out, t.ns < 0 ? (struct walltime){ 0 } : t);
}

static bool is_one_of(const json_t *value, const struct str *wanted, size_t count)
{
        struct str text = { json_string_value(value), json_string_length(value) };

        if (count == 0)
                return true;
        for (size_t i = 0; json_is_string(value) && i < count; i++)
                if (str_equal(text, wanted[i]))
                        return true;
        return false;
}

enum audit_match audit_line_match(struct str line, const struct audit_query *q)
{
        AUTO(buf) from = BUF_MAX(64);
        AUTO(buf) to = BUF_MAX(64);
        struct str time = time_of(line);

        if (str_is_empty(time) || line.len > LIMIT_AUDIT_RECORD)
                return AUDIT_IS_NO_EVENT;
        put_time(&from, q->from);
        put_time(&to, q->to);
        if (str_compare(time, buf_str(&from)) < 0 || str_compare(time, buf_str(&to)) > 0)
                return AUDIT_PASSES;
        json_t *json = json_loadb(line.ptr, line.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        enum audit_match match = AUDIT_IS_NO_EVENT;
        if (json_is_object(json) && json_is_string(json_object_get(json, "event"))) {
                bool is_wanted = is_one_of(json_object_get(json, "event"), q->types, q->type_count) &&
                                 is_one_of(json_object_get(json, "user"), q->users, q->user_count);

                match = is_wanted ? AUDIT_MATCHES : AUDIT_PASSES;
        }
        json_decref(json);
        return match;
}

/* ---- the files, oldest first -------------------------------------------------------------------------------- */

struct log_file {
        char *path;
        ino_t inode;
        char first[TIME_LEN + 1]; /* time of its first event; "" if there is none near its beginning */
        bool is_live; /* events.log itself, which is being written */
};

struct log_files {
        struct log_file *files;
        size_t count;
};

static void log_files_release(struct log_files *l)
{
        for (size_t i = 0; i < l->count; i++)
                free(l->files[i].path);
        free(l->files);
        *l = (struct log_files){ 0 };
}

static bool is_log_name(struct str name)
{
        static const struct str packed[] = { STR_INIT(".gz"), STR_INIT(".xz"), STR_INIT(".zst"), STR_INIT(".bz2"), STR_INIT(".lz4") };

        for (size_t i = 0; i < ARRAY_LEN(packed); i++)
                if (str_ends_with(name, packed[i]))
                        return false;
        return str_starts_with(name, STR("events.log"));
}

static ssize_t read_piece(int fd, char *to, size_t room, off_t at)
{
        ssize_t got;

        do
                got = pread(fd, to, room, at);
        while (got < 0 && errno == EINTR);
        return got;
}

static void find_first_time(int fd, char first[TIME_LEN + 1])
{
        AUTO_MEM char *begin = mem_alloc(2 * LIMIT_AUDIT_RECORD);
        ssize_t len = read_piece(fd, begin, 2 * LIMIT_AUDIT_RECORD, 0);

        for (struct str rest = { begin, len > 0 ? (size_t)len : 0 }; !str_is_empty(rest);) {
                struct str time = time_of(str_split(&rest, '\n'));

                if (!str_is_empty(time)) {
                        memcpy(first, time.ptr, TIME_LEN);
                        return;
                }
        }
}

static void add_file(struct log_files *l, const char *dir, const char *name)
{
        struct log_file f = { .path = mem_printf("%s/%s", dir, name), .is_live = strcmp(name, "events.log") == 0 };
        AUTO_FD int fd = open(f.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) { /* it was rotated meanwhile, or is another kind of file */
                free(f.path);
                return;
        }
        f.inode = st.st_ino;
        find_first_time(fd, f.first);
        l->files[l->count++] = f;
}

static int compare_files(const void *a, const void *b)
{
        const struct log_file *x = a, *y = b;

        if (x->is_live != y->is_live)
                return x->is_live ? 1 : -1;
        int order = strcmp(x->first, y->first);
        return order != 0 ? order : strcmp(x->path, y->path);
}

static struct error *list_files(const char *dir, struct log_files *ret)
{
        DIR *d = opendir(dir);
        const struct dirent *e;

        if (d == NULL) {
                int errnum = errno;
                AUTO_MEM char *shown = path_shown(dir);

                return error_errno(errnum, "cannot open the directory '%s'", shown);
        }
        ret->files = mem_array(LIMIT_EVENTS_FILES, sizeof *ret->files);
        while ((e = readdir(d)) != NULL && ret->count < LIMIT_EVENTS_FILES)
                if (is_log_name(str_of(e->d_name)))
                        add_file(ret, dir, e->d_name);
        closedir(d);
        qsort(ret->files, ret->count, sizeof *ret->files, compare_files);
        return NULL;
}

/* ---- the position at which a page begins ------------------------------------------------------------------------ */

struct log_position {
        size_t file;
        off_t offset;
};

/* "<inode>.<offset>": rotation renames files, and the position stays valid. */
static void write_cursor(const struct log_files *l, struct log_position at, char next[AUDIT_CURSOR_SIZE])
{
        snprintf(next, AUDIT_CURSOR_SIZE, "%llu.%lld", (unsigned long long)l->files[at.file].inode, (long long)at.offset);
}

static struct error *read_cursor(const struct log_files *l, struct str cursor, struct log_position *ret)
{
        struct str rest = cursor;
        struct str first = str_split(&rest, '.');
        int64_t inode = 0, offset = 0;

        *ret = (struct log_position){ 0 };
        if (str_is_empty(cursor))
                return NULL;
        TRY(parse_int(first, 0, INT64_MAX, "the cursor of the next page", &inode));
        TRY(parse_int(rest, 0, INT64_MAX, "the cursor of the next page", &offset));
        for (size_t i = 0; i < l->count; i++) {
                if (l->files[i].inode == (ino_t)inode) {
                        *ret = (struct log_position){ i, (off_t)offset };
                        return NULL;
                }
        }
        return error_hint(error_new(ERROR_ABORTED, "the part of the audit log that was being read was removed"), "search again");
}

/* ---- the search ---------------------------------------------------------------------------------------------------- */

struct search {
        const struct audit_query *q;
        struct audit_page *page;
        size_t scanned;
        char *piece;
        size_t most;
};

static bool is_full(const struct search *s)
{
        return s->page->count >= s->most || s->page->text.len >= LIMIT_EVENTS_PAGE || s->scanned >= LIMIT_EVENTS_SCAN;
}

static void take_line(struct search *s, struct str line)
{
        switch (audit_line_match(line, s->q)) {
        case AUDIT_MATCHES:
                buf_put(&s->page->text, line);
                buf_put_char(&s->page->text, '\n');
                s->page->count++;
                break;
        case AUDIT_IS_NO_EVENT:
                s->page->skipped++;
                break;
        default:
                break;
        }
}

/*
 * Searches the complete lines of the piece at *at, and moves *at behind them. A line longer than the
 * piece is no event and is skipped piece by piece. *ret_end: the file has no more complete lines.
 */
static struct error *search_piece(struct search *s, int fd, off_t *at, bool *ret_end)
{
        ssize_t got = read_piece(fd, s->piece, PIECE, *at);

        if (got < 0)
                return error_errno(errno, "the audit log cannot be read");
        struct str rest = { s->piece, (size_t)got };
        size_t taken = 0;
        while (!is_full(s)) {
                size_t len = str_find_char(rest, '\n');

                if (len == rest.len)
                        break;
                take_line(s, str_slice(rest, 0, len));
                taken += len + 1;
                s->scanned += len + 1;
                rest = str_slice(rest, len + 1, rest.len);
        }
        *ret_end = got == 0 || (taken == 0 && got < PIECE && !is_full(s)); /* bytes after the last newline are incomplete */
        if (taken == 0 && got == PIECE && !is_full(s)) {
                taken = PIECE;
                s->scanned += PIECE;
                s->page->skipped++;
        }
        *at += (off_t)taken;
        return NULL;
}

static struct error *search_file(struct search *s, const struct log_file *f, off_t *at, bool *ret_end)
{
        AUTO_FD int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        *ret_end = fd < 0; /* it was rotated meanwhile: the next search finds its events under another name */
        while (!*ret_end && !is_full(s) && !job_is_cancelled()) /* cancelled: the result is not needed */
                TRY(search_piece(s, fd, at, ret_end));
        return NULL;
}

static struct error *search_files(struct search *s, const struct log_files *l)
{
        struct log_position at;

        TRY(read_cursor(l, s->q->after, &at));
        while (at.file < l->count) {
                bool is_end = false;

                TRY(search_file(s, &l->files[at.file], &at.offset, &is_end));
                if (!is_end) {
                        write_cursor(l, at, s->page->next);
                        return NULL;
                }
                at = (struct log_position){ at.file + 1, 0 };
        }
        return NULL;
}

struct error *audit_search(const char *dir, const struct audit_query *q, struct audit_page *ret)
{
        AUTO_MEM char *piece = mem_alloc(PIECE);
        AUTO(log_files) files = { 0 };
        struct search s = { .q = q, .page = ret, .piece = piece };

        ret->text = BUF_MAX(LIMIT_EVENTS_PAGE + LIMIT_AUDIT_RECORD + 1);
        s.most = q->most == 0 || q->most > LIMIT_EVENTS_COUNT ? LIMIT_EVENTS_COUNT : q->most;
        TRY(list_files(dir, &files));
        return search_files(&s, &files);
}

void audit_page_release(struct audit_page *p)
{
        buf_release(&p->text);
        *p = (struct audit_page){ 0 };
}
