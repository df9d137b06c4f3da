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

#include "audit/audit_names.h"
#include "audit/audit_reader.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/file.h"
#include "base/text.h"
#include "loop/loop.h"

enum {
        PIECE = AUDIT_READER_PIECE,
        HEAD = 2 * LIMIT_AUDIT_RECORD,
        MARGIN_SECONDS = 24 * 3600,
        LISTINGS = 3, /* of the directory for one page: a file is renamed once, and compressed once */
};

/* ---- one line -------------------------------------------------------------------------------------------- */

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
        struct str time = audit_line_time(line);

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
        uint64_t id; /* of its first line, which stays the same when the file is renamed or compressed */
        char first[AUDIT_TIME_LEN + 1]; /* time of its first event; "" if there is none near its beginning */
        bool is_live; /* events.log itself, which is being written */
        bool is_packed;
        bool is_ours; /* the Auth Service has renamed it */
        off_t size;
};

struct log_files {
        struct log_file *files;
        size_t count;
        uint64_t unreadable; /* compressed files without a line */
};

static void log_files_release(struct log_files *l)
{
        for (size_t i = 0; i < l->count; i++)
                free(l->files[i].path);
        free(l->files);
        *l = (struct log_files){ 0 };
}

/* FNV-1a. A line has a random UUID, so that two files do not have the same first one by accident. */
static uint64_t id_of(struct str line)
{
        uint64_t id = 0xcbf29ce484222325;

        for (size_t i = 0; i < line.len; i++)
                id = (id ^ (uint8_t)line.ptr[i]) * 0x100000001b3;
        return id;
}

/* Reads id and first time. False: the file has no complete line. */
static bool identify(struct log_file *f, struct audit_reader *r)
{
        struct str head;
        AUTO_PTR(error) err = audit_reader_view(r, 0, HEAD, &head);

        if (err != NULL || (str_find_char(head, '\n') == head.len && head.len < HEAD))
                return false;
        f->id = id_of(str_slice(head, 0, str_find_char(head, '\n')));
        for (struct str rest = head; !str_is_empty(rest);) {
                struct str time = audit_line_time(str_split(&rest, '\n'));

                if (!str_is_empty(time)) {
                        memcpy(f->first, time.ptr, AUDIT_TIME_LEN);
                        break;
                }
        }
        return true;
}

static int open_log(struct log_file *f)
{
        AUTO_FD int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
                return -1;
        f->size = st.st_size;
        int ret = fd;
        fd = -1;
        return ret;
}

static void add_file(struct log_files *l, const char *dir, const char *name)
{
        struct audit_name parsed;
        struct log_file f = {
                .path = mem_printf("%s/%s", dir, name),
                .is_live = strcmp(name, AUDIT_LIVE_NAME) == 0,
                .is_packed = audit_name_is_packed(str_of(name)),
                .is_ours = audit_name_parse(str_of(name), &parsed),
        };
        int fd = open_log(&f);

        if (fd < 0 && errno == ENOENT && !f.is_packed) { /* it was compressed meanwhile */
                char *packed = mem_printf("%s.gz", f.path);

                free(f.path);
                f.path = packed;
                f.is_packed = true;
                fd = open_log(&f);
        }
        struct audit_reader *r = fd < 0 ? NULL : audit_reader_new(fd, f.is_packed);
        if (r != NULL && identify(&f, r))
                l->files[l->count++] = f;
        else
                free(f.path);
        l->unreadable += r != NULL && audit_reader_is_damaged(r) && f.id == 0;
        audit_reader_free(r);
}

static struct error *too_many_files(void)
{
        return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "the audit log has more than %d files to search", LIMIT_EVENTS_FILES),
                          "give a later --from, or move old files to another directory");
}

/*
 * Whether all events of a file are before the query: the Auth Service renamed it earlier, also if its clock was wrong by up to a day.
 */
static bool is_before(struct str name, const struct audit_query *q)
{
        struct audit_name parsed;

        return audit_name_parse(name, &parsed) && walltime_since(q->from, parsed.at).ns > SECONDS(MARGIN_SECONDS).ns;
}

/* Files of the Auth Service have all lines; a copy that somebody made of events.log has those of that moment. */
static int rank_of(const struct log_file *f)
{
        return f->is_live ? 4 : (f->is_ours ? 2 : 0) + (f->is_packed ? 0 : 1);
}

/* The same file twice: while it is compressed, or a copy of its beginning. One with all of its lines is kept. */
static bool is_better(const struct log_file *a, const struct log_file *b)
{
        return rank_of(a) != rank_of(b) ? rank_of(a) > rank_of(b) : a->size > b->size;
}

static void drop_copies(struct log_files *l)
{
        size_t count = 0;

        for (size_t i = 0; i < l->count; i++) {
                size_t k = 0;

                while (k < count && l->files[k].id != l->files[i].id)
                        k++;
                if (k == count) {
                        l->files[count++] = l->files[i];
                        continue;
                }
                struct log_file *worse = is_better(&l->files[i], &l->files[k]) ? &l->files[k] : &l->files[i];
                free(worse->path);
                if (worse == &l->files[k])
                        l->files[k] = l->files[i];
        }
        l->count = count;
}

static int compare_files(const void *a, const void *b)
{
        const struct log_file *x = a, *y = b;

        if (x->is_live != y->is_live)
                return x->is_live ? 1 : -1;
        int order = strcmp(x->first, y->first);
        return order != 0 ? order : strcmp(x->path, y->path);
}

/*
 * events.log comes first: when it is renamed meanwhile, its lines are in the list under this name, and search_file() finds that they have
 * moved. Were it opened later, the renamed file might be missing from a directory that is being read.
 */
static struct error *list_files(const char *dir, const struct audit_query *q, struct log_files *ret)
{
        const struct dirent *e;

        ret->files = mem_array(LIMIT_EVENTS_FILES + 1, sizeof *ret->files);
        add_file(ret, dir, AUDIT_LIVE_NAME);
        DIR *d = opendir(dir);
        if (d == NULL) {
                int errnum = errno;
                AUTO_MEM char *shown = path_shown(dir);

                return error_errno(errnum, "cannot open the directory '%s'", shown);
        }
        while ((e = readdir(d)) != NULL && ret->count <= LIMIT_EVENTS_FILES)
                if (strcmp(e->d_name, AUDIT_LIVE_NAME) != 0 && audit_name_is_log(str_of(e->d_name)) && !is_before(str_of(e->d_name), q))
                        add_file(ret, dir, e->d_name);
        closedir(d);
        if (ret->count > LIMIT_EVENTS_FILES)
                return too_many_files();
        drop_copies(ret);
        qsort(ret->files, ret->count, sizeof *ret->files, compare_files);
        return NULL;
}

/* ---- the position at which a page begins ------------------------------------------------------------------------ */

struct log_position {
        size_t file;
        off_t offset;
};

/* "<id>.<offset>": the position stays valid when the file is renamed or compressed. */
static void write_cursor(const struct log_files *l, struct log_position at, char next[AUDIT_CURSOR_SIZE])
{
        snprintf(next, AUDIT_CURSOR_SIZE, "%016llx.%lld", (unsigned long long)l->files[at.file].id, (long long)at.offset);
}

static struct error *parse_id(struct str text, uint64_t *ret)
{
        *ret = 0;
        for (size_t i = 0; i < text.len; i++) {
                char c = text.ptr[i];

                if (!char_is_digit(c) && (c < 'a' || c > 'f'))
                        text.len = 0;
                else
                        *ret = *ret << 4 | (uint64_t)(char_is_digit(c) ? c - '0' : c - 'a' + 10);
        }
        if (text.len == 0 || text.len > 16)
                return error_new(ERROR_INVALID_ARGUMENT, "the cursor of the next page is malformed");
        return NULL;
}

static struct error *read_cursor(const struct log_files *l, struct str cursor, struct log_position *ret)
{
        struct str rest = cursor;
        struct str first = str_split(&rest, '.');
        uint64_t id = 0;
        int64_t offset = 0;

        *ret = (struct log_position){ 0 };
        if (str_is_empty(cursor))
                return NULL;
        TRY(parse_id(first, &id));
        TRY(parse_int(rest, 0, INT64_MAX, "the cursor of the next page", &offset));
        for (size_t i = 0; i < l->count; i++) {
                if (l->files[i].id == id) {
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
static struct error *search_piece(struct search *s, struct audit_reader *r, off_t *at, bool *ret_end)
{
        struct str rest;
        size_t taken = 0;

        TRY(audit_reader_view(r, *at, PIECE, &rest));
        size_t got = rest.len;
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
        if (*ret_end && audit_reader_is_damaged(r))
                s->page->skipped++;
        return NULL;
}

/* Whether the file still begins as when it was listed: events.log may be a new file since, and the position is one in the former. */
static bool is_same(const struct log_file *f, int fd)
{
        struct log_file now = { 0 };
        struct audit_reader *r = audit_reader_new(fcntl(fd, F_DUPFD_CLOEXEC, 0), f->is_packed); /* its own: the other one begins at the position */
        bool has_same_begin = identify(&now, r) && now.id == f->id;

        audit_reader_free(r);
        return has_same_begin;
}

/* *ret_gone: the file has another name since it was listed. */
static struct error *search_file(struct search *s, const struct log_file *f, off_t *at, bool *ret_end, bool *ret_gone)
{
        int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        *ret_end = false;
        *ret_gone = fd < 0;
        if (fd < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "the audit log cannot be opened");
        *ret_gone = !is_same(f, fd);
        struct audit_reader *r = audit_reader_new(fd, f->is_packed);
        struct error *err = NULL;
        while (err == NULL && !*ret_gone && !*ret_end && !is_full(s) && !job_is_cancelled()) /* cancelled: the result is not needed */
                err = search_piece(s, r, at, ret_end);
        audit_reader_free(r);
        return err;
}

/* *ret_gone: page->next is in a file that has another name since it was listed. */
static struct error *search_files(struct search *s, const struct log_files *l, struct str after, bool *ret_gone)
{
        struct log_position at;

        *ret_gone = false;
        TRY(read_cursor(l, after, &at));
        while (at.file < l->count) {
                bool is_end = false;

                TRY(search_file(s, &l->files[at.file], &at.offset, &is_end, ret_gone));
                if (!is_end || *ret_gone) {
                        write_cursor(l, at, s->page->next);
                        return NULL;
                }
                at = (struct log_position){ at.file + 1, 0 };
        }
        return NULL;
}

struct error *audit_search(const char *dir, const struct audit_query *q, struct audit_page *ret)
{
        struct search s = { .q = q, .page = ret };
        char after[AUDIT_CURSOR_SIZE];
        struct str from = q->after;
        bool is_gone = true;

        ret->text = BUF_MAX(LIMIT_EVENTS_PAGE + LIMIT_AUDIT_RECORD + 1);
        s.most = q->most == 0 || q->most > LIMIT_EVENTS_COUNT ? LIMIT_EVENTS_COUNT : q->most;
        for (int i = 0; i < LISTINGS && is_gone; i++) {
                AUTO(log_files) files = { 0 };

                TRY(list_files(dir, q, &files));
                if (i == 0 && str_is_empty(q->after)) /* counted once, on the first page */
                        ret->skipped += files.unreadable;
                ret->next[0] = '\0';
                TRY(search_files(&s, &files, from, &is_gone));
                memcpy(after, ret->next, sizeof after);
                from = str_of(after);
        }
        return NULL;
}

void audit_page_release(struct audit_page *p)
{
        buf_release(&p->text);
        *p = (struct audit_page){ 0 };
}
