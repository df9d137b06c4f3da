/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/sessions/records.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "os/file.h"
#include "pki/key.h"

enum { PIECE = 64 * KiB };

static char *path_of(const char *dir, struct str session_id)
{
        return mem_printf("%s/%.*s.rec", dir, STR_ARG(session_id));
}

static char *path_set_aside(const char *dir, struct str session_id, unsigned number)
{
        return mem_printf("%s/%.*s.damaged-%u", dir, STR_ARG(session_id), number);
}

static struct error *read_at(int fd, char *to, size_t room, uint64_t offset, size_t *ret_len)
{
        ssize_t got;

        do
                got = pread(fd, to, room, (off_t)offset);
        while (got < 0 && errno == EINTR);
        if (got < 0)
                return error_errno(errno, "a recording cannot be read");
        *ret_len = (size_t)got;
        return NULL;
}

static struct error *write_at(int fd, struct str bytes, uint64_t offset)
{
        while (bytes.len > 0) {
                ssize_t put = pwrite(fd, bytes.ptr, bytes.len, (off_t)offset);

                if (put < 0 && errno == EINTR)
                        continue;
                if (put <= 0)
                        return error_errno(put == 0 ? ENOSPC : errno, "a recording cannot be written");
                offset += (uint64_t)put;
                bytes = str_slice(bytes, (size_t)put, bytes.len);
        }
        return NULL;
}

static struct error *sync_file(int fd)
{
        return fdatasync(fd) == 0 ? NULL : error_errno(errno, "a recording cannot be written");
}

static struct error *cut_at(struct record_file *f, uint64_t size)
{
        if (ftruncate(f->fd, (off_t)size) != 0)
                return error_errno(errno, "a recording cannot be cut");
        return sync_file(f->fd);
}

/* Feeds the bytes to the check and to the chain; the error of the check if they do not continue the recording. */
static struct error *take(struct record_file *f, struct str bytes)
{
        TRY(recording_check_feed(&f->check, bytes));
        recording_chain_feed(&f->chain, bytes);
        return NULL;
}

static bool is_link(struct str link, const uint8_t *found)
{
        return str_equal(link, str_of_bytes(found, RECORDING_LINK_LEN));
}

/* Whether the bytes read so far have the noted digest; called when noted->size bytes have been read. */
static bool is_as_noted(const struct record_file *f, const struct record_mark *noted)
{
        return str_is_empty(noted->digest) || (f->chain.whole == noted->size && is_link(noted->digest, f->chain.link));
}

static void begin(struct record_file *f, struct str session_id)
{
        recording_chain_release(&f->chain);
        recording_chain_begin(&f->chain, session_id);
        f->check = (struct recording_check){ 0 };
        f->size = 0;
}

enum found {
        FOUND_WHOLE,   /* valid chunks only, the first of which match the noted mark */
        FOUND_TORN,    /* the same, followed by the tail that a crash leaves */
        FOUND_DAMAGED,
};

/* Whether the bytes after the last valid chunk are the tail that a crash leaves. */
static struct error *check_tail(struct record_file *f, bool *ret_is_torn)
{
        AUTO_MEM char *piece = mem_alloc(PIECE);
        AUTO_PTR(recording_scan) scan = recording_scan_new();
        struct recording_piece found = { 0 };
        size_t len = 0;
        bool have = false;

        *ret_is_torn = true;
        for (uint64_t at = 0; *ret_is_torn; at += len) {
                TRY(read_at(f->fd, piece, PIECE, at, &len));
                if (len == 0)
                        recording_scan_end(scan);
                else
                        recording_scan_feed(scan, (struct str){ piece, len });
                do {
                        struct error *err = recording_scan_next(scan, &found, &have);

                        *ret_is_torn = err == NULL && (!have || found.kind != RECORDING_PIECE_HOLE || found.is_marked) &&
                                       (!have || found.kind != RECORDING_PIECE_TAIL || found.is_torn);
                        error_free(err);
                } while (have && *ret_is_torn);
                if (len == 0)
                        return NULL;
        }
        return NULL;
}

/* Reads the whole file. f->check and f->chain then cover its valid part. */
static struct error *check_file(struct record_file *f, const struct record_mark *noted, enum found *ret)
{
        AUTO_MEM char *piece = mem_alloc(PIECE);
        bool is_noted = noted->size == 0, is_torn = false;
        size_t len = 0;

        for (;; f->size += len) {
                uint64_t to_mark = noted->size > f->size ? noted->size - f->size : PIECE;

                TRY(read_at(f->fd, piece, to_mark < PIECE ? (size_t)to_mark : PIECE, f->size, &len));
                if (len == 0)
                        break;
                struct error *err = take(f, (struct str){ piece, len });
                if (err != NULL) {
                        error_free(err);
                        TRY(check_tail(f, &is_torn));
                        *ret = is_noted && is_torn ? FOUND_TORN : FOUND_DAMAGED;
                        return NULL;
                }
                if (f->size + len == noted->size)
                        is_noted = is_as_noted(f, noted);
        }
        *ret = !is_noted ? FOUND_DAMAGED : f->check.whole == f->size ? FOUND_WHOLE : FOUND_TORN;
        return NULL;
}

unsigned record_file_count_set_aside(const char *dir, struct str session_id)
{
        unsigned count = 0;

        while (count < LIMIT_RECORDINGS_SET_ASIDE) {
                AUTO_MEM char *path = path_set_aside(dir, session_id, count + 1);

                if (access(path, F_OK) != 0)
                        break;
                count++;
        }
        return count;
}

static struct error *open_file(const char *path, struct record_file *ret)
{
        AUTO_MEM char *shown = path_shown(path);

        ret->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        return ret->fd < 0 ? error_errno(errno, "cannot open the recording '%s'", shown) : NULL;
}

/* Renames the damaged file, so that its bytes are not lost, and opens a new empty one. */
static struct error *set_aside(struct record_file *f, const char *dir, struct str session_id)
{
        AUTO_MEM char *path = path_of(dir, session_id);
        unsigned count = record_file_count_set_aside(dir, session_id);
        AUTO_MEM char *aside = path_set_aside(dir, session_id, count + 1);
        AUTO_MEM char *shown = path_shown(path);
        AUTO_MEM char *shown_dir = path_shown(dir);
        struct stat st;

        if (fstat(f->fd, &st) == 0 && st.st_size == 0)
                return NULL;
        if (count == LIMIT_RECORDINGS_SET_ASIDE)
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "the recording '%s' is damaged, as %u before it that were set aside", shown, count),
                                  "examine the disk, and move the files '%s/%.*s.damaged-*' away", shown_dir, STR_ARG(session_id));
        if (rename(path, aside) != 0)
                return error_errno(errno, "cannot set the damaged recording '%s' aside", shown);
        close(f->fd);
        return open_file(path, f);
}

/* The noted bytes were durable: a file that does not begin with them was altered after its sync. */
static struct error *load(struct record_file *f, const char *dir, struct str session_id, const struct record_mark *noted, bool *ret_was_altered)
{
        enum found found = FOUND_WHOLE;

        begin(f, session_id);
        TRY(check_file(f, noted, &found));
        *ret_was_altered = found == FOUND_DAMAGED;
        if (found == FOUND_WHOLE)
                return NULL;
        TRY(found == FOUND_TORN ? cut_at(f, f->check.whole) : set_aside(f, dir, session_id));
        begin(f, session_id);
        TRY(check_file(f, &(struct record_mark){ 0 }, &found));
        return found == FOUND_WHOLE ? NULL : error_new(ERROR_DATA_LOSS, "a recording changes while it is read");
}

struct error *record_file_open(const char *dir, struct str session_id, const struct record_mark *noted, struct record_file *ret,
                               bool *ret_was_altered)
{
        AUTO_MEM char *path = path_of(dir, session_id);

        *ret = (struct record_file){ .fd = -1 };
        TRY(dir_make(dir, 0700));
        TRY(open_file(path, ret));
        struct error *err = load(ret, dir, session_id, noted, ret_was_altered);
        if (err == NULL && ret->size == 0) /* a file with acknowledged bytes has a durable name already */
                err = dir_sync(dir);
        if (err != NULL)
                record_file_release(ret);
        return err;
}

static struct error *check_room(const struct record_file *f, size_t len)
{
        struct statfs disk;

        if (f->size + len > (uint64_t)LIMIT_RECORDING_MIB * MiB)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the recording is larger than %d MiB", LIMIT_RECORDING_MIB);
        if (fstatfs(f->fd, &disk) != 0)
                return error_errno(errno, "the disk of the recordings cannot be examined");
        if (disk.f_bavail < (uint64_t)LIMIT_RECORDS_FREE_MIB * MiB / (uint64_t)disk.f_bsize)
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "the disk of the Auth Service has no room for recordings"),
                                  "free some space below its data directory");
        return NULL;
}

/* Truncates the file to its last synced size: bytes that were not synced do not count. */
static struct error *take_back(const struct record_file *f, struct error *err)
{
        if (ftruncate(f->fd, (off_t)f->size) != 0)
                return error_because(err, error_errno(errno, "and the written part cannot be removed"));
        return err;
}

struct error *record_file_write(struct record_file *f, struct str bytes)
{
        struct recording_check check = f->check;

        TRY(check_room(f, bytes.len));
        TRY(recording_check_feed(&check, bytes));
        struct error *err = write_at(f->fd, bytes, f->size);
        if (err != NULL)
                return take_back(f, err);
        f->written_check = check;
        /* Starts the write-back while other files are written. The later sync reports its result. */
        (void)sync_file_range(f->fd, (off_t)f->size, (off_t)bytes.len, SYNC_FILE_RANGE_WRITE);
        return NULL;
}

struct error *record_file_sync(struct record_file *f, struct str bytes)
{
        struct error *err = sync_file(f->fd);

        if (err != NULL)
                return take_back(f, err);
        f->check = f->written_check;
        recording_chain_feed(&f->chain, bytes);
        f->size += bytes.len;
        return NULL;
}

struct error *record_file_cut(struct record_file *f)
{
        if (f->check.whole == f->size)
                return NULL;
        TRY(cut_at(f, f->check.whole));
        /* The file is not read again: the chain covers the received bytes, even if the disk has changed them. */
        recording_check_cut(&f->check);
        recording_chain_cut(&f->chain);
        f->size = f->check.whole;
        return NULL;
}

void record_file_release(struct record_file *f)
{
        if (f->fd >= 0)
                close(f->fd);
        recording_chain_release(&f->chain);
        *f = (struct record_file){ .fd = -1 };
}

static struct error *read_into(int fd, uint64_t offset, size_t most, struct buf *out, uint64_t *ret_size)
{
        struct stat st;

        if (fstat(fd, &st) != 0)
                return error_errno(errno, "a recording cannot be examined");
        *ret_size = (uint64_t)st.st_size;
        if (offset >= *ret_size)
                return NULL;
        size_t wanted = *ret_size - offset < most ? (size_t)(*ret_size - offset) : most;
        char *to = buf_extend(out, wanted);
        if (to == NULL)
                return error_new(ERROR_INTERNAL, "a page of a recording is larger than its buffer");
        for (size_t have = 0, len = 0; have < wanted; have += len) {
                TRY(read_at(fd, to + have, wanted - have, offset + have, &len));
                if (len == 0)
                        return error_new(ERROR_UNAVAILABLE, "the recording became shorter while it was read");
        }
        return NULL;
}

struct error *record_file_read(const char *dir, struct str session_id, unsigned set_aside, uint64_t offset, size_t most, struct buf *out,
                               uint64_t *ret_size)
{
        AUTO_MEM char *path = set_aside == 0 ? path_of(dir, session_id) : path_set_aside(dir, session_id, set_aside);
        AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct stat st;

        *ret_size = 0;
        if (fd < 0 && errno == ENOENT)
                return set_aside == 0 ? error_new(ERROR_NOT_FOUND, "the recording is missing on the Auth Service's disk")
                                      : error_new(ERROR_NOT_FOUND, "no file number %u of this session was set aside", set_aside);
        if ((fd < 0 && errno == ELOOP) || (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))))
                return error_new(ERROR_DATA_LOSS, "the recording's path on the Auth Service's disk is a link or another object that is not a file");
        if (fd < 0)
                return error_errno(errno, "the recording on the Auth Service's disk cannot be opened");
        return read_into(fd, offset, most, out, ret_size);
}

static bool has_first_chunk(int fd, struct str session_id, struct str first)
{
        enum { FIRST_CHUNK_MAX = RECORDING_CHUNK_MAX + KiB };
        AUTO(buf) head = BUF_MAX(FIRST_CHUNK_MAX);
        struct recording_chain chain;
        uint64_t size = 0;

        struct error *err = read_into(fd, 0, FIRST_CHUNK_MAX, &head, &size);
        recording_chain_begin(&chain, session_id);
        recording_chain_feed(&chain, buf_str(&head));
        bool is_same = err == NULL && chain.chunks > 0 && is_link(first, chain.first);
        recording_chain_release(&chain);
        error_free(err);
        return is_same;
}

/* O_NONBLOCK: opening a pipe must not wait for its writer. */
static enum record_state open_to_compare(const char *dir, struct str session_id, int *ret_fd, struct stat *ret_st)
{
        AUTO_MEM char *path = path_of(dir, session_id);
        AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

        if (fd < 0)
                return errno == ENOENT ? RECORD_MISSING : RECORD_UNREADABLE;
        if (fstat(fd, ret_st) != 0 || !S_ISREG(ret_st->st_mode))
                return RECORD_UNREADABLE;
        *ret_fd = fd;
        fd = -1;
        return RECORD_SOUND;
}

static enum record_state compare_start(int fd, const struct stat *st, struct str session_id, const struct record_mark *noted, bool is_growing)
{
        if ((uint64_t)st->st_size < noted->size)
                return RECORD_SHORT;
        if ((uint64_t)st->st_size > noted->size && !is_growing)
                return RECORD_LONG;
        return str_is_empty(noted->first) || has_first_chunk(fd, session_id, noted->first) ? RECORD_SOUND : RECORD_ALTERED;
}

enum record_state record_file_compare(const char *dir, struct str session_id, const struct record_mark *noted, bool is_growing)
{
        AUTO_FD int fd = -1;
        struct stat st;
        enum record_state state = open_to_compare(dir, session_id, &fd, &st);

        if (state == RECORD_MISSING && noted->size == 0)
                return RECORD_SOUND;
        return state == RECORD_SOUND ? compare_start(fd, &st, session_id, noted, is_growing) : state;
}

static struct record_stamp stamp_of(const struct stat *st)
{
        enum { NS = 1000000000 };

        return (struct record_stamp){ .device = st->st_dev, .inode = st->st_ino, .size = (uint64_t)st->st_size,
                                      .modified = st->st_mtim.tv_sec * NS + st->st_mtim.tv_nsec,
                                      .changed = st->st_ctim.tv_sec * NS + st->st_ctim.tv_nsec };
}

static bool is_same_stamp(const struct record_stamp *a, const struct record_stamp *b)
{
        return a->device == b->device && a->inode == b->inode && a->size == b->size && a->modified == b->modified && a->changed == b->changed;
}

/* Timestamps of file systems are coarse: a second change within one tick leaves the same stamp. */
static bool is_settled(const struct stat *st)
{
        struct timespec now;

        return clock_gettime(CLOCK_REALTIME, &now) == 0 && now.tv_sec - st->st_ctim.tv_sec > 1;
}

/* Whether the chunks of the file, in their order, have the digest of those received for this session. */
static bool has_digest(int fd, struct str session_id, struct str digest, uint64_t size)
{
        AUTO_MEM char *piece = mem_alloc(PIECE);
        struct recording_chain chain;
        struct error *err = NULL;
        uint64_t at = 0;
        size_t len = 0;

        recording_chain_begin(&chain, session_id);
        for (; err == NULL && at < size; at += len) {
                err = read_at(fd, piece, PIECE, at, &len);
                if (err == NULL && len == 0)
                        break;
                if (err == NULL)
                        recording_chain_feed(&chain, (struct str){ piece, len });
        }
        bool is_same = err == NULL && at == size && chain.whole == size && is_link(digest, chain.link);
        recording_chain_release(&chain);
        error_free(err);
        return is_same;
}

enum record_state record_file_compare_all(const char *dir, struct str session_id, const struct record_mark *noted, uint64_t most,
                                          struct record_stamp *stamp, uint64_t *ret_read)
{
        struct record_stamp known = *stamp;
        AUTO_FD int fd = -1;
        struct stat st;
        enum record_state state = open_to_compare(dir, session_id, &fd, &st);

        *stamp = (struct record_stamp){ 0 };
        *ret_read = 0;
        if (state == RECORD_SOUND)
                state = compare_start(fd, &st, session_id, noted, false);
        if (state != RECORD_SOUND || str_is_empty(noted->digest))
                return state;
        struct record_stamp now = stamp_of(&st);
        if (!is_same_stamp(&now, &known)) {
                if (now.size > most)
                        return RECORD_UNREAD;
                *ret_read = now.size;
                if (!has_digest(fd, session_id, noted->digest, now.size))
                        return RECORD_ALTERED;
        }
        if (is_settled(&st))
                *stamp = now;
        return RECORD_SOUND;
}

const char *record_state_name(enum record_state state)
{
        static const char *const names[] = { "", "missing", "short", "long", "altered", "unreadable", "unread" };

        return names[state];
}

/* ---- stamps of compared files -------------------------------------------------------------------------------------- */

struct record_stamp_slot {
        uint8_t key[32];
        struct record_stamp stamp;
};

/* The index of the slot of a recording, and its key. Another recording with the same index overwrites the slot. */
static size_t key_of(struct str session_id, struct str digest, uint8_t *key)
{
        AUTO(buf) text = BUF_MAX(KiB);

        buf_put(&text, session_id);
        buf_put(&text, digest);
        sha256(buf_str(&text), key);
        return ((size_t)key[0] << 8 | key[1]) % LIMIT_RECORDINGS_COMPARED;
}

void record_stamps_get(const struct record_stamps *s, struct str session_id, struct str digest, struct record_stamp *ret)
{
        uint8_t key[32];
        size_t at = key_of(session_id, digest, key);

        *ret = (struct record_stamp){ 0 };
        if (s->slots != NULL && memcmp(s->slots[at].key, key, sizeof key) == 0)
                *ret = s->slots[at].stamp;
}

void record_stamps_put(struct record_stamps *s, struct str session_id, struct str digest, const struct record_stamp *stamp)
{
        uint8_t key[32];
        size_t at = key_of(session_id, digest, key);

        if (s->slots == NULL)
                s->slots = mem_alloc(LIMIT_RECORDINGS_COMPARED * sizeof *s->slots);
        memcpy(s->slots[at].key, key, sizeof key);
        s->slots[at].stamp = *stamp;
}

void record_stamps_release(struct record_stamps *s)
{
        free(s->slots);
        s->slots = NULL;
}
